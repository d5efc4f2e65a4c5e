"""Preparing in a second thread what is planned next, while PostgreSQL writes what was planned last."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from django.db import connection


class Ahead[Made]:
    """Makes what will be asked for, each by its key (a run, a brand), one after the other.

    The thread has a connection of its own, which ends with the block. `until` is on the monotonic
    clock: what would not be ready by then is not begun.
    """

    def __init__(self, until: float) -> None:
        self._until = until
        self._took = 0.0  # seconds, the last one
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="planning")
        self._coming: dict[int, Future[Made]] = {}

    def __enter__(self) -> Ahead[Made]:
        return self

    def __exit__(self, *_exc: object) -> None:
        if self._coming or self._took:
            self._thread.submit(lambda: connection.close())  # noqa: PLW0108 - the thread's own
        self._thread.shutdown()

    def begin(self, key: int, make: Callable[[], Made]) -> None:
        """Make this, if there is time."""
        if time.monotonic() + self._took < self._until:
            self._coming[key] = self._thread.submit(self._make, make)

    def take(self, key: int) -> Made | None:
        """What was begun for a key, as soon as it is ready; None where nothing was."""
        coming = self._coming.pop(key, None)
        return coming.result() if coming else None

    def _make(self, make: Callable[[], Made]) -> Made:
        began = time.monotonic()
        try:
            return make()
        finally:
            self._took = time.monotonic() - began
