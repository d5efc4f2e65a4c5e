"""One libcurl handle: at-most-once for the call that it carries.

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

import select
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache

import pycurl

from sending.gateways.base import Answer, Call, NoAnswer

LONGEST_BODY = 1_000_000  # bytes
# Seconds that an idle connection may wait for its next call. A provider that closes it in the very
# moment of a write makes a text unknown, so this is below the shortest usual keep-alive (5 s).
LONGEST_IDLE = 4
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


def always(_call: Call) -> bool:
    """A fence that is never down."""
    return True


class Slot:
    """One libcurl handle, with what belongs to the call that it carries."""

    __slots__ = (
        "_chunks",
        "_fenced",
        "_lines",
        "_loaded",
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
        self._may_start: Callable[[Call], bool] = always
        self._loaded: tuple[object, ...] = ()  # what the handle was told with the last call
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

    def load(self, call: Call, limits: tuple[int, int], may_start: Callable[[Call], bool]) -> None:
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
        told = (call.method, call.url, call.headers, limits)
        if told != self._loaded:
            self._loaded = ()
            self._tell(call, limits)
            self._loaded = told
        if call.method == "POST":
            handle.setopt(pycurl.POSTFIELDS, call.body or b"")

    def _tell(self, call: Call, limits: tuple[int, int]) -> None:
        """All but the body: most calls of a sender differ in nothing else."""
        handle = self.handle
        handle.setopt(pycurl.FRESH_CONNECT, 0)
        handle.setopt(pycurl.URL, call.url.encode())
        handle.setopt(pycurl.HTTPHEADER, _header_lines(call.headers))
        handle.setopt(pycurl.TIMEOUT_MS, limits[0])
        handle.setopt(pycurl.CONNECTTIMEOUT_MS, limits[1])
        handle.setopt(pycurl.POST if call.method == "POST" else pycurl.HTTPGET, 1)

    def start_over(self) -> None:
        """Prepare for a new connection, after an old one turned out to be closed."""
        self.stale = False
        self._loaded = ()  # so that the next call clears it
        self.handle.setopt(pycurl.FRESH_CONNECT, 1)

    def result(self, error: int) -> Answer | NoAnswer:
        """What came of the call, given libcurl's error number (0 for none)."""
        if not error:
            headers = Headers(self._lines)
            if not headers.whole:
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
        if not self._may_start(self.call):
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


@lru_cache(maxsize=256)
def _header_lines(headers: tuple[tuple[str, str], ...]) -> tuple[bytes, ...]:
    """The lines for libcurl, kept per sender. Raises ValueError for one that holds another line."""
    lines = [f"{name}: {value}" for name, value in headers]
    if any(ord(character) < 32 for line in lines for character in line):
        raise ValueError("a header holds a control character")
    # The empty Expect keeps libcurl from asking for leave before a large body.
    return tuple(line.encode() for line in (*lines, "Expect:"))


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


class Headers(Mapping[str, str]):
    """An answer's headers: names in lower case, the last of repeated ones, without interim answers.

    They are parsed when somebody asks; of most answers nobody does. `whole` is False where the
    connection ended before the blank line: libcurl takes that for an answer.
    """

    __slots__ = ("_lines", "_parsed", "whole")

    def __init__(self, lines: Sequence[bytes]) -> None:
        self._lines = tuple(lines)
        self._parsed: dict[str, str] | None = None
        self.whole = bool(lines) and not lines[-1].strip()
        if not self.whole:  # trailers may follow the blank line
            self._parse()

    def __getitem__(self, name: str) -> str:
        return self._parse()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._parse())

    def __len__(self) -> int:
        return len(self._parse())

    def _parse(self) -> dict[str, str]:
        if self._parsed is None:
            headers: dict[str, str] = {}
            for line in self._lines:
                if line.startswith(b"HTTP/"):
                    headers.clear()
                    self.whole = False
                    continue
                self.whole = self.whole or not line.strip()
                name, colon, value = line.decode("latin-1").partition(":")
                if colon:
                    headers[name.strip().lower()] = value.strip()
            self._parsed = headers
        return self._parsed
