"""Threads that have something to write at the same time write it together."""

import threading
import time
from collections.abc import Callable, Sequence

GATHER = 0.003  # seconds that a writer waits for more, where the last one had company


class _Entry[Item]:
    def __init__(self, item: Item) -> None:
        self.item = item
        self.turn = threading.Event()
        self.done = False
        self.error: BaseException | None = None


class Together[Item]:
    """Calls `write` with the items of all threads that came while it was writing the last ones.

    The first of them writes for the others, then the next one's turn comes: nobody waits longer
    than for the writing that goes on and its own. A database that commits in 5 ms is asked for 200
    commits a second, whatever comes.
    """

    def __init__(self, write: Callable[[Sequence[Item]], None]) -> None:
        self._write = write
        self._lock = threading.Lock()
        self._waiting: list[_Entry[Item]] = []
        self._busy = self._crowded = False

    def add(self, item: Item) -> None:
        """Returns when the item is written. Raises what `write` raised."""
        entry = _Entry(item)
        with self._lock:
            self._waiting.append(entry)
            leads, self._busy = not self._busy, True
        if not leads:
            entry.turn.wait()
        if not entry.done:
            self._lead()
        if entry.error is not None:
            raise entry.error

    def _lead(self) -> None:
        if self._crowded:
            time.sleep(GATHER)
        with self._lock:
            batch, self._waiting = self._waiting, []
        error: BaseException | None = None
        try:
            self._write([entry.item for entry in batch])
        except BaseException as raised:  # noqa: BLE001 - each thread raises it, the writing one too
            error = raised
        with self._lock:
            following = self._waiting[0] if self._waiting else None
            self._busy = following is not None
            self._crowded = len(batch) > 1
        for entry in batch:
            entry.done, entry.error = True, error
            entry.turn.set()
        if following:
            following.turn.set()
