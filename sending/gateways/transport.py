"""Makes the calls of a gateway: many at a time, each one at most once.

libcurl, left alone, sends a request again on a new connection when a kept-alive one dies before the
first byte of the answer, also a POST whose body the provider has read to the end (seen with libcurl
8.23; `tests/sending/gateways/test_reuse.py` shows it). libcurl has no option against that. But
it asks PREREQFUNCTION before every request that it writes, so here the second question of a call is
answered with "abort": the call ends as maybe written, and what it carries becomes unknown. The same
callback is the proof of the opposite: a call that was never asked about has not written a byte.
REQUEST_SIZE is looked at as well; error codes are not enough, for a time-out may be either.

Nor does libcurl look more than once a second whether a kept connection still lives (since 8.21), so
a provider that closes one quietly would put the next text in doubt. The callback looks itself, and
a call that met a closed connection, unwritten, starts over on a new one.
"""

from __future__ import annotations

import os
import select
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import certifi
import pycurl

from sending.gateways.base import Answer, Call, NoAnswer

LONGEST_BODY = 1_000_000  # bytes
LONGEST_WAIT = 0.5  # seconds between two looks at the clock
# Seconds that an idle connection may wait for its next call. A provider that closes it in the very
# moment of a write makes a text unknown, so this is below the shortest usual keep-alive (5 s).
LONGEST_IDLE = 4
KEPT_CONNECTIONS = 256
LEASE_EXPIRED = "lease-expired"
KNOWN_SOCKETS = 4096
# The provider has closed its side. Waiting bytes alone say nothing: TLS sends tickets when it likes.
GONE = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR

# What ended a call without an answer. libcurl's own messages are not used: they can hold addresses.
WORDS = {
    pycurl.E_COULDNT_RESOLVE_HOST: "dns",
    pycurl.E_COULDNT_CONNECT: "connect",
    pycurl.E_OPERATION_TIMEDOUT: "timeout",
    pycurl.E_SSL_CONNECT_ERROR: "tls",
    pycurl.E_PEER_FAILED_VERIFICATION: "tls-certificate",
    pycurl.E_URL_MALFORMAT: "malformed-url",
    pycurl.E_GOT_NOTHING: "closed-without-answer",
    pycurl.E_PARTIAL_FILE: "answer-cut-short",
    pycurl.E_RECV_ERROR: "reset",
    pycurl.E_SEND_ERROR: "reset",
    pycurl.E_FILESIZE_EXCEEDED: "answer-too-large",
    pycurl.E_ABORTED_BY_CALLBACK: "connection-lost",
}


def always() -> bool:
    """A fence that is never down."""
    return True


def nothing() -> None:
    """Do nothing."""


class Transport:
    """The kept-alive connections of one process.

    Not for threads and not across a fork: two processes on one connection would mix their requests.
    """

    def __init__(self, *, ca_file: str = "") -> None:
        """`ca_file` holds the trusted certificates; by default the system's, else certifi's."""
        trusted = ca_file or ssl.get_default_verify_paths().cafile or certifi.where()
        self._ca_file = trusted
        self._sockets: dict[int, int] = {}  # local port -> descriptor
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_MAXCONNECTS, KEPT_CONNECTIONS)
        self._idle: list[_Slot] = []
        self._flying: dict[Any, _Slot] = {}
        self._busy = False
        self._process = os.getpid()

    def exchange(
        self,
        calls: Sequence[Call],
        *,
        in_flight: int,
        timeout: float,
        connect_timeout: float = 5.0,
        may_start: Callable[[], bool] = always,
        meanwhile: Callable[[], None] = nothing,
    ) -> Iterator[tuple[Call, Answer | NoAnswer]]:
        """Make `calls`, at most `in_flight` at a time, and yield each one as it completes.

        `timeout` and `connect_timeout` are seconds per call, the first including the second.
        `may_start` is asked before each call is started and again when its connection stands,
        right before the first byte; once it says no, that call and the rest come back unwritten as
        `lease-expired`. `meanwhile` is called at least twice a second, also while nothing comes.
        Network trouble is yielded, never raised. The clock of the calls in flight goes on while
        the caller handles a yield. Closing the generator early cuts the calls in flight, whose
        texts may have been accepted.

        Raises ValueError for a method other than GET and POST, before anything is sent, and
        RuntimeError when another exchange is under way or the process has forked.
        """
        if in_flight < 1:
            raise ValueError("in_flight must be 1 or more")
        for call in calls:
            if call.method not in ("GET", "POST"):
                raise ValueError(f"the transport knows no method {call.method!r}")
        if self._busy or self._process != os.getpid():
            raise RuntimeError("a transport serves one exchange at a time, in its own process")
        # Milliseconds; libcurl takes 0 for "no limit".
        limits = (max(1, round(timeout * 1000)), max(1, round(connect_timeout * 1000)))
        return self._run(deque(calls), in_flight, limits, may_start, meanwhile)

    def close(self) -> None:
        """Close every connection. The transport cannot be used afterwards."""
        self._cut()
        for slot in self._idle:
            slot.handle.close()
        self._idle.clear()
        self._multi.close()

    def __enter__(self) -> Transport:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def _run(
        self,
        waiting: deque[Call],
        in_flight: int,
        limits: tuple[int, int],
        may_start: Callable[[], bool],
        meanwhile: Callable[[], None],
    ) -> Iterator[tuple[Call, Answer | NoAnswer]]:
        if self._busy:
            raise RuntimeError("a transport serves one exchange at a time, in its own process")
        self._busy = True
        try:
            while waiting or self._flying:
                while waiting and len(self._flying) < in_flight:
                    if not may_start():
                        break
                    call = waiting.popleft()
                    if not self._launch(call, limits, may_start):
                        yield call, NoAnswer(written=False, detail="malformed-request")
                if waiting and len(self._flying) < in_flight:  # fenced out
                    yield from ((call, NoAnswer(False, LEASE_EXPIRED)) for call in waiting)
                    waiting.clear()
                if self._flying:
                    yield from self._land()
                    meanwhile()
        finally:
            self._cut()
            self._busy = False

    def _launch(self, call: Call, limits: tuple[int, int], may_start: Callable[[], bool]) -> bool:
        """Start a call; False when libcurl refuses its URL or headers as such."""
        slot = self._idle.pop() if self._idle else _Slot(self._ca_file, self._sockets)
        try:
            slot.load(call, limits, may_start)
        except (ValueError, TypeError, pycurl.error):
            slot.handle.close()
            return False
        self._flying[slot.handle] = slot
        self._multi.add_handle(slot.handle)
        return True

    def _land(self) -> list[tuple[Call, Answer | NoAnswer]]:
        """Drive the calls in flight once; those that completed, or nothing after a short wait."""
        self._multi.perform()
        landed: list[tuple[Call, Answer | NoAnswer]] = []
        more = 1
        while more:
            more, succeeded, failed = self._multi.info_read()
            landed += [self._unload(handle, 0) for handle in succeeded]
            for handle, error, _message in failed:
                if not self._restarted(handle):
                    landed.append(self._unload(handle, error))
        if not landed:
            self._wait()
        return landed

    def _wait(self) -> None:
        """Sleep until a connection has news or a time-out of libcurl's is due."""
        due = self._multi.timeout()  # milliseconds, negative when there is none
        seconds = LONGEST_WAIT if due < 0 else min(due / 1000, LONGEST_WAIT)
        if seconds and self._multi.select(seconds) < 0:
            time.sleep(0.002)  # nothing to wait for, or a descriptor above what select() can hold

    def _restarted(self, handle: Any) -> bool:
        """Whether the call had met a closed connection and now starts over on a new one."""
        slot = self._flying[handle]
        if not slot.stale:
            return False
        self._multi.remove_handle(handle)
        slot.start_over()
        self._multi.add_handle(handle)
        return True

    def _unload(self, handle: Any, error: int) -> tuple[Call, Answer | NoAnswer]:
        slot = self._flying.pop(handle)
        self._multi.remove_handle(handle)
        result = slot.result(error)
        self._idle.append(slot)
        return slot.call, result

    def _cut(self) -> None:
        """End the calls in flight, if any."""
        for handle in self._flying:
            self._multi.remove_handle(handle)
            handle.close()
        self._flying.clear()


class _Slot:
    """One libcurl handle, with what belongs to the call that it carries."""

    __slots__ = (
        "_chunks",
        "_fenced",
        "_lines",
        "_may_start",
        "_opened",
        "_requests",
        "_sockets",
        "call",
        "handle",
        "stale",
    )

    call: Call

    def __init__(self, ca_file: str, sockets: dict[int, int]) -> None:
        """`sockets` (local port -> descriptor) is shared by the slots of one transport."""
        self._sockets = sockets
        self._opened: list[int] = []
        self.stale = False
        self._lines: list[bytes] = []
        self._chunks: list[bytes] = []
        self._requests = 0
        self._fenced = False
        self._may_start: Callable[[], bool] = always
        self.handle = handle = pycurl.Curl()
        handle.setopt(pycurl.NOSIGNAL, 1)
        handle.setopt(pycurl.PROXY, "")  # an empty name switches off the environment's as well
        handle.setopt(pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)
        handle.setopt(pycurl.FOLLOWLOCATION, 0)
        handle.setopt(pycurl.SSL_VERIFYPEER, 1)
        handle.setopt(pycurl.SSL_VERIFYHOST, 2)
        handle.setopt(pycurl.CAINFO, ca_file)
        # One call a connection: with HTTP/2 the loss of one would put many texts in doubt.
        handle.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
        handle.setopt(pycurl.MAXAGE_CONN, LONGEST_IDLE)
        handle.setopt(pycurl.MAXFILESIZE_LARGE, LONGEST_BODY)
        handle.setopt(pycurl.USERAGENT, "Carillon")
        handle.setopt(pycurl.SOCKOPTFUNCTION, self._opens)
        handle.setopt(pycurl.PREREQFUNCTION, self._before_request)
        handle.setopt(pycurl.HEADERFUNCTION, self._lines.append)
        handle.setopt(pycurl.WRITEFUNCTION, self._chunks.append)

    def load(self, call: Call, limits: tuple[int, int], may_start: Callable[[], bool]) -> None:
        """Take a call. Raises ValueError, TypeError or pycurl.error when it cannot be a request."""
        handle = self.handle
        self.call = call
        self._may_start = may_start
        self._requests = 0
        self._fenced = False
        self.stale = False
        self._opened.clear()
        self._lines.clear()
        self._chunks.clear()
        handle.setopt(pycurl.FRESH_CONNECT, 0)
        handle.setopt(pycurl.URL, call.url.encode())
        headers = [f"{name}: {value}" for name, value in call.headers]
        if any(ord(character) < 32 for line in headers for character in line):
            raise ValueError("a header holds a control character")
        # The empty Expect keeps libcurl from asking for leave before a large body.
        handle.setopt(pycurl.HTTPHEADER, [line.encode() for line in (*headers, "Expect:")])
        handle.setopt(pycurl.TIMEOUT_MS, limits[0])
        handle.setopt(pycurl.CONNECTTIMEOUT_MS, limits[1])
        if call.method == "POST":
            handle.setopt(pycurl.POST, 1)
            handle.setopt(pycurl.POSTFIELDS, call.body or b"")
        else:
            handle.setopt(pycurl.HTTPGET, 1)

    def start_over(self) -> None:
        """Prepare for a new connection, after an old one turned out to be closed."""
        self.stale = False
        self.handle.setopt(pycurl.FRESH_CONNECT, 1)

    def result(self, error: int) -> Answer | NoAnswer:
        """What came of the call, given libcurl's error number (0 for none)."""
        if not error:
            headers = _headers(self._lines)
            if headers is None:
                return NoAnswer(written=True, detail="answer-cut-short")
            status = self.handle.getinfo(pycurl.RESPONSE_CODE)
            return Answer(status, headers, b"".join(self._chunks))
        if self._fenced:
            return NoAnswer(written=False, detail=LEASE_EXPIRED)
        written = self._requests > 0 or self.handle.getinfo(pycurl.REQUEST_SIZE) > 0
        return NoAnswer(written=written, detail=WORDS.get(error, f"curl-{error}"))

    def _opens(self, descriptor: int, _purpose: int) -> int:
        """libcurl has made a socket and is about to connect it."""
        self._opened.append(descriptor)
        return int(pycurl.SOCKOPT_OK)

    def _before_request(self, _to: str, _from: str, _to_port: int, from_port: int) -> int:
        """libcurl is about to write the request: yes the first time, if the fence is up."""
        if self._requests:
            self._requests += 1
            return int(pycurl.PREREQFUNC_ABORT)
        if self._opened:
            self._remember(from_port)
        elif _gone(self._sockets.get(from_port)):
            self.stale = True
            return int(pycurl.PREREQFUNC_ABORT)
        if not self._may_start():
            self._fenced = True
            return int(pycurl.PREREQFUNC_ABORT)
        self._requests = 1
        return int(pycurl.PREREQFUNC_OK)

    def _remember(self, port: int) -> None:
        """Note which of the sockets opened for this call (one per address tried) stands."""
        if len(self._sockets) > KNOWN_SOCKETS:
            self._sockets.clear()
        self._sockets.pop(port, None)
        for descriptor in self._opened:
            if _local_port(descriptor) == port:
                self._sockets[port] = descriptor


def _local_port(descriptor: int) -> int | None:
    """The port that a socket is bound to, or None when it is closed or no socket any more."""
    try:
        borrowed = socket.socket(fileno=descriptor)
    except OSError:
        return None
    try:
        return int(borrowed.getsockname()[1])
    except (OSError, IndexError):
        return None
    finally:
        borrowed.detach()  # libcurl owns it and will close it


def _gone(descriptor: int | None) -> bool:
    """Whether the provider has closed its side of a kept connection."""
    if descriptor is None:
        return False
    poll = select.poll()
    poll.register(descriptor, GONE)
    return bool(poll.poll(0))


def _headers(lines: Sequence[bytes]) -> dict[str, str] | None:
    """Names in lower case, the last of repeated ones; interim answers (1xx) are left out.

    None when the connection ended before the blank line: libcurl takes that for an answer.
    """
    headers: dict[str, str] = {}
    whole = False
    for line in lines:
        if line.startswith(b"HTTP/"):
            headers.clear()
            whole = False
            continue
        whole = whole or not line.strip()
        name, colon, value = line.decode("latin-1").partition(":")
        if colon:
            headers[name.strip().lower()] = value.strip()
    return headers if whole else None
