"""A web process applies what it stored: a thread that wakes when something is told.

The ticker does the same each second, but its other jobs may keep it for longer, and a campaign's
totals are to move within a second. Only processes that were told to (`config/wsgi.py`) do it.
"""

import threading
import time

import structlog
from django.db import DatabaseError, close_old_connections, connections

from tracking import inbox

log = structlog.get_logger("carillon.inbox")

GATHER = 0.2  # seconds from the first event on, so that a batch is worth its statements
REST = 1.0  # seconds after an error
IDLE = 60.0  # seconds without an event after which the thread ends, and its connection with it


class Applier:
    """One thread a process, started by an event: a server may fork after it has loaded us."""

    def __init__(self, *, idle: float = IDLE) -> None:
        self.on = False
        self._idle = idle
        self._told = threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def kick(self) -> None:
        """Something is stored. Costs nothing while the thread knows already."""
        if not self.on or self._told.is_set():
            return
        self._told.set()
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="applier", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        try:
            while self._is_told():
                time.sleep(GATHER)
                self._told.clear()
                self._apply()
        finally:
            connections.close_all()

    def _is_told(self) -> bool:
        """Wait for an event; False where none comes: then the next one starts another thread."""
        if self._told.wait(self._idle):
            return True
        with self._starting:
            if not self._told.is_set():
                self._thread = None
            return self._told.is_set()

    def _apply(self) -> None:
        try:
            close_old_connections()
            inbox.apply_due()
        except DatabaseError:
            log.exception("apply_failed")
            connections.close_all()
            time.sleep(REST)
            self._told.set()


applier = Applier()
