"""Makes the calls of a gateway: up to a thousand at a time, each one at most once.

`stream` takes calls from a feed for as long as it is open, so the next batch starts while the last
one is still on the wire; `exchange` does the same for calls that are all there. What a single
connection must never do is in `slot.py`, waiting for a thousand of them in `readiness.py`.
"""

from __future__ import annotations

import os
import ssl
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import certifi
import pycurl

from sending.gateways.base import Answer, Call, NoAnswer
from sending.gateways.readiness import Readiness
from sending.gateways.slot import LEASE_EXPIRED, Slot

LONGEST_WAIT = 0.5  # seconds between two looks at the clock
# An open feed is looked at this often while there is room for its calls.
FEED_WAIT = 0.005
KEPT_CONNECTIONS = 2000


class Feed(Protocol):
    """Where calls come from. All methods are called in the thread that streams."""

    def open(self) -> bool:
        """Whether more calls may come."""
        ...

    def take(self, room: int) -> Sequence[Call]:
        """Calls to start now, at most `room`; none where there are none at present."""
        ...

    def may_start(self, call: Call) -> bool:
        """Whether a call may still start: asked before it starts and again before its first byte."""
        ...

    def meanwhile(self) -> None:
        """Called at least twice a second, also while nothing comes."""
        ...


class _Given:
    """A feed of calls that are all there."""

    def __init__(
        self,
        calls: Sequence[Call],
        may_start: Callable[[], bool] | None,
        meanwhile: Callable[[], None] | None,
    ) -> None:
        self._calls = deque(calls)
        self._may_start, self._meanwhile = may_start, meanwhile

    def open(self) -> bool:
        return False

    def take(self, room: int) -> Sequence[Call]:
        return [self._calls.popleft() for _ in range(min(room, len(self._calls)))]

    def may_start(self, call: Call) -> bool:
        return self._may_start is None or self._may_start()

    def meanwhile(self) -> None:
        if self._meanwhile is not None:
            self._meanwhile()


class Transport:
    """The kept-alive connections of one process.

    Not for threads and not across a fork: two processes on one connection would mix their requests.
    """

    def __init__(self, *, ca_file: str = "") -> None:
        """`ca_file` holds the trusted certificates; by default the system's, else certifi's."""
        self._ca_file = ca_file or ssl.get_default_verify_paths().cafile or certifi.where()
        self._sockets: dict[int, int] = {}  # local port -> descriptor
        self._open()
        self._idle: list[Slot] = []
        self._flying: dict[Any, Slot] = {}
        self._busy = False
        self._process = os.getpid()

    def exchange(
        self,
        calls: Sequence[Call],
        *,
        in_flight: int,
        timeout: float,
        connect_timeout: float = 5.0,
        may_start: Callable[[], bool] | None = None,
        meanwhile: Callable[[], None] | None = None,
    ) -> Iterator[tuple[Call, Answer | NoAnswer]]:
        """`stream` for calls that are all there.

        Once `may_start` says no, that call and the rest come back unwritten as `lease-expired`.
        """
        _check_methods(calls)
        feed = _Given(calls, may_start, meanwhile)
        return self.stream(
            feed, in_flight=in_flight, timeout=timeout, connect_timeout=connect_timeout
        )

    def stream(
        self, feed: Feed, *, in_flight: int, timeout: float, connect_timeout: float = 5.0
    ) -> Iterator[tuple[Call, Answer | NoAnswer]]:
        """Make the calls of a feed, at most `in_flight` at a time, and yield each as it completes.

        `timeout` and `connect_timeout` are seconds per call, the first including the second.
        Ends when the feed is closed and everything has landed. Network trouble is yielded, never
        raised. The clock of the calls in flight goes on while the caller handles a yield. Closing
        the generator early cuts the calls in flight, whose texts may have been accepted.

        Raises ValueError for a method other than GET and POST, before it is sent, and
        RuntimeError when another stream is under way or the process has forked.
        """
        if in_flight < 1:
            raise ValueError("in_flight must be 1 or more")
        self._check_free()
        # Milliseconds; libcurl takes 0 for "no limit".
        limits = (max(1, round(timeout * 1000)), max(1, round(connect_timeout * 1000)))
        return self._run(feed, in_flight, limits)

    def close(self) -> None:
        """Close every connection. The transport cannot be used afterwards."""
        self._cut()
        for slot in self._idle:
            slot.handle.close()
        self._idle.clear()
        self._multi.close()
        self._readiness.close()

    def __enter__(self) -> Transport:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def _open(self) -> None:
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_MAXCONNECTS, KEPT_CONNECTIONS)
        self._readiness = Readiness(self._multi)

    def _check_free(self) -> None:
        if self._busy or self._process != os.getpid():
            raise RuntimeError("a transport serves one exchange at a time, in its own process")

    def _run(
        self, feed: Feed, in_flight: int, limits: tuple[int, int]
    ) -> Iterator[tuple[Call, Answer | NoAnswer]]:
        self._check_free()
        self._busy = True
        try:
            while True:
                more = feed.open()  # asked first: what comes after a "no" would be missed
                room = in_flight - len(self._flying)
                taken = feed.take(room) if room > 0 else ()
                for call in taken:
                    failure = self._launch(call, limits, feed.may_start)
                    if failure is not None:
                        yield call, failure
                if not (more or taken or self._flying):
                    return
                yield from self._land(FEED_WAIT if more and room > 0 else LONGEST_WAIT)
                feed.meanwhile()
        finally:
            self._cut()
            self._busy = False

    def _launch(
        self, call: Call, limits: tuple[int, int], may_start: Callable[[Call], bool]
    ) -> NoAnswer | None:
        """Start a call, or say why not: the fence is down, or libcurl refuses its URL or headers."""
        _check_methods([call])
        if not may_start(call):
            return NoAnswer(written=False, detail=LEASE_EXPIRED)
        slot = self._idle.pop() if self._idle else Slot(self._ca_file, self._sockets)
        try:
            slot.load(call, limits, may_start)
        except (ValueError, TypeError, pycurl.error):
            slot.handle.close()
            return NoAnswer(written=False, detail="malformed-request")
        self._flying[slot.handle] = slot
        self._multi.add_handle(slot.handle)
        return None

    def _land(self, longest: float) -> list[tuple[Call, Answer | NoAnswer]]:
        """Drive the calls in flight once; those that completed, or nothing after a short wait."""
        self._readiness.step(longest)
        landed: list[tuple[Call, Answer | NoAnswer]] = []
        more = 1
        while more:
            more, succeeded, failed = self._multi.info_read()
            landed += [self._unload(handle, 0) for handle in succeeded]
            for handle, error, _message in failed:
                if not self._restarted(handle):
                    landed.append(self._unload(handle, error))
        return landed

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
        """End the calls in flight, if any, and with them every connection.

        An error may have come out of libcurl's own callbacks: its timer is not to be trusted then.
        """
        if not self._flying:
            return
        for handle in self._flying:
            self._multi.remove_handle(handle)
            handle.close()
        self._flying.clear()
        self._multi.close()
        self._readiness.close()
        self._sockets.clear()
        self._open()


def _check_methods(calls: Sequence[Call]) -> None:
    for call in calls:
        if call.method not in ("GET", "POST"):
            raise ValueError(f"the transport knows no method {call.method!r}")
