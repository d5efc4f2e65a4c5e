"""Waits for many connections at once: libcurl's socket interface on the system's selector.

Its simple interface asks every handle at every step and stops at 1,024 descriptors; with a thousand
calls in flight that costs more than the calls.
"""

from __future__ import annotations

import contextlib
import selectors
import time
from typing import Any

import pycurl

_EVENTS = {
    pycurl.POLL_IN: selectors.EVENT_READ,
    pycurl.POLL_OUT: selectors.EVENT_WRITE,
    pycurl.POLL_INOUT: selectors.EVENT_READ | selectors.EVENT_WRITE,
}


class Readiness:
    """The sockets and the one timer that a multi handle wants watched."""

    def __init__(self, multi: Any) -> None:
        self._multi = multi
        self._selector = selectors.DefaultSelector()
        self._due: float | None = None  # on the monotonic clock
        multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        multi.setopt(pycurl.M_TIMERFUNCTION, self._set_timer)

    def step(self, longest: float) -> None:
        """Wait until a socket is ready or the timer is due, `longest` seconds at most; tell libcurl."""
        wait = longest
        if self._due is not None:
            wait = min(longest, max(0.0, self._due - time.monotonic()))
        if not self._selector.get_map():
            time.sleep(wait)  # an empty selector of some systems does not wait
        else:
            for key, events in self._selector.select(wait):
                mask = (pycurl.CSELECT_IN if events & selectors.EVENT_READ else 0) | (
                    pycurl.CSELECT_OUT if events & selectors.EVENT_WRITE else 0
                )
                self._multi.socket_action(key.fd, mask)
        if self._due is not None and time.monotonic() >= self._due:
            self._due = None
            self._multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)

    def close(self) -> None:
        """Forget everything."""
        self._selector.close()

    def _watch(self, what: int, descriptor: int, _multi: Any, _data: Any) -> None:
        if what == pycurl.POLL_REMOVE:
            # The descriptor may be closed already: then the system has forgotten it itself.
            with contextlib.suppress(KeyError, ValueError, OSError):
                self._selector.unregister(descriptor)
            return
        events = _EVENTS[what]
        try:
            self._selector.modify(descriptor, events)
        except (KeyError, OSError):
            # New, or the number of a socket that was closed behind the selector's back.
            with contextlib.suppress(KeyError, ValueError, OSError):
                self._selector.unregister(descriptor)
            self._selector.register(descriptor, events)

    def _set_timer(self, milliseconds: int) -> None:
        self._due = None if milliseconds < 0 else time.monotonic() + milliseconds / 1000
