"""`manage.py ticker`: rings brands that have something due, plans campaigns, reaps lost workers."""

import gc
import signal
import time
from typing import Any

import redis
import structlog
from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.db import DatabaseError, connection, connections
from django.utils.module_loading import import_string

from sending import heartbeat

log = structlog.get_logger("carillon.ticker")

ADVISORY_LOCK = 0x6361726C  # "carl": one ticker at a time in one database


class Command(BaseCommand):
    help = "Ring brands, plan campaigns and reap lost workers, every few seconds. One at a time."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="run each job once and end")

    def handle(self, *args: Any, once: bool, **options: Any) -> None:
        self.stopping = False
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        jobs = [[import_string(path), every, 0.0] for path, every in settings.TICKER_JOBS]
        gc.freeze()  # what was imported stays: looking through it took a tenth of planning
        while not self.stopping:
            if self._is_single():
                self._tick(jobs)
                heartbeat.beat()
            if once:
                return
            time.sleep(0.2)

    def _stop(self, *args: Any) -> None:
        self.stopping = True

    def _is_single(self) -> bool:
        """Whether this is the one ticker: the lock lives with the connection, so it is asked for
        again after the database was away. Holding it already answers True as well."""
        try:
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory'"
                    " AND objid = %s AND pid = pg_backend_pid()) OR pg_try_advisory_lock(%s)",
                    [ADVISORY_LOCK, ADVISORY_LOCK],
                )
                return cursor.fetchone()[0]
        except DatabaseError:
            log.error("database_away")
            connections.close_all()
            time.sleep(1)
            return False

    def _tick(self, jobs: list[list[Any]]) -> None:
        for job in jobs:
            run, every, last = job
            if self.stopping or time.monotonic() - last < every:
                continue
            job[2] = time.monotonic()
            try:
                run()
            except DatabaseError:
                log.exception("job_failed", job=run.__qualname__)
                connections.close_all()
            except redis.RedisError:
                log.error("valkey_away", job=run.__qualname__)
            except Exception:
                log.exception("job_failed", job=run.__qualname__)
