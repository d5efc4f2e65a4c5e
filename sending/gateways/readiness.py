"""Waits for many connections at once: libcurl's socket interface on the system's selector.

Its simple interface asks every handle at every step and stops at 1,024 descriptors; with a thousand
calls in flight that costs more than the calls.
"""

from __future__ import annotations

import contextlib
import select
import selectors
import time
from collections.abc import Iterator
from typing import Any, Protocol

import pycurl

READ, WRITE = 1, 2
_EVENTS = {pycurl.POLL_IN: READ, pycurl.POLL_OUT: WRITE, pycurl.POLL_INOUT: READ | WRITE}
_MASKS = {
    READ: pycurl.CSELECT_IN,
    WRITE: pycurl.CSELECT_OUT,
    READ | WRITE: pycurl.CSELECT_IN | pycurl.CSELECT_OUT,
}


class Selector(Protocol):
    """What the system offers to wait for many descriptors."""

    def watch(self, descriptor: int, events: int) -> None:
        """Watch a descriptor for READ, WRITE or both, new or not."""
        ...

    def forget(self, descriptor: int) -> None:
        """Stop watching; the system may have forgotten a closed one itself."""
        ...

    def ready(self, longest: float) -> Iterator[tuple[int, int]]:
        """(descriptor, events) that are ready, after `longest` seconds at most."""
        ...

    def close(self) -> None:
        """Forget everything."""
        ...


class Epoll:
    """Linux's. Python's own wrapper around it takes a tenth of a call's time."""

    def __init__(self) -> None:
        self._epoll = select.epoll()

    def watch(self, descriptor: int, events: int) -> None:
        wanted = (select.EPOLLIN if events & READ else 0) | (
            select.EPOLLOUT if events & WRITE else 0
        )
        try:
            self._epoll.register(descriptor, wanted)
        except FileExistsError:
            self._epoll.modify(descriptor, wanted)

    def forget(self, descriptor: int) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._epoll.unregister(descriptor)

    def ready(self, longest: float) -> Iterator[tuple[int, int]]:
        for descriptor, told in self._epoll.poll(longest):
            # An error or a hang-up is for whoever waits, to read or to write.
            events = (READ if told & ~select.EPOLLOUT else 0) | (
                WRITE if told & ~select.EPOLLIN else 0
            )
            yield descriptor, events

    def close(self) -> None:
        self._epoll.close()


class Portable:
    """Every other system's."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()

    def watch(self, descriptor: int, events: int) -> None:
        try:
            self._selector.modify(descriptor, events)
        except (KeyError, OSError):
            # New, or the number of a socket that was closed behind the selector's back.
            self.forget(descriptor)
            self._selector.register(descriptor, events)

    def forget(self, descriptor: int) -> None:
        with contextlib.suppress(KeyError, ValueError, OSError):
            self._selector.unregister(descriptor)

    def ready(self, longest: float) -> Iterator[tuple[int, int]]:
        if not self._selector.get_map():
            time.sleep(longest)  # an empty selector of some systems does not wait
            return
        for key, events in self._selector.select(longest):
            yield key.fd, events

    def close(self) -> None:
        self._selector.close()


class Readiness:
    """The sockets and the one timer that a multi handle wants watched."""

    def __init__(self, multi: Any, selector: Selector | None = None) -> None:
        """`selector`: the system's best by default."""
        self._multi = multi
        self._selector = selector or (Epoll() if hasattr(select, "epoll") else Portable())
        self._due: float | None = None  # on the monotonic clock
        multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        multi.setopt(pycurl.M_TIMERFUNCTION, self._set_timer)

    def step(self, longest: float) -> None:
        """Wait until a socket is ready or the timer is due, `longest` seconds at most; tell libcurl."""
        wait = longest
        if self._due is not None:
            wait = min(longest, max(0.0, self._due - time.monotonic()))
        for descriptor, events in self._selector.ready(wait):
            self._multi.socket_action(descriptor, _MASKS[events])
        if self._due is not None and time.monotonic() >= self._due:
            self._due = None
            self._multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)

    def close(self) -> None:
        """Forget everything."""
        self._selector.close()

    def _watch(self, what: int, descriptor: int, _multi: Any, _data: Any) -> None:
        if what == pycurl.POLL_REMOVE:
            self._selector.forget(descriptor)
        else:
            self._selector.watch(descriptor, _EVENTS[what])

    def _set_timer(self, milliseconds: int) -> None:
        self._due = None if milliseconds < 0 else time.monotonic() + milliseconds / 1000
