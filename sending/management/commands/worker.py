"""`manage.py worker`: an RQ worker for whichever brand rings, one after the other."""

import signal
import time
from typing import Any

import redis
import structlog
from django.core.management.base import BaseCommand, CommandParser
from django.db import DatabaseError, connections
from rq import SimpleWorker

from sending import dispatch, queues

log = structlog.get_logger("carillon.worker")

IDLE_SECONDS = 0.1


class QuietWorker(SimpleWorker):
    """RQ's in-process worker, without its own signal handlers: `Command` has them."""

    def _install_signal_handlers(self) -> None:
        pass


class Command(BaseCommand):
    help = "Send what is due, brand by brand. Start as many as the machine has room for."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--burst", action="store_true", help="end when nothing rings")

    def handle(self, *args: Any, burst: bool, **options: Any) -> None:
        self.stopping = False
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        while not self.stopping:
            try:
                busy = self._serve_one()
            except redis.RedisError:
                log.error("valkey_away")
                busy = False
                time.sleep(1)
            except DatabaseError:
                log.exception("database_away")
                connections.close_all()
                time.sleep(1)
                busy = False
            if not busy:
                if burst:
                    return
                time.sleep(IDLE_SECONDS)

    def _stop(self, *args: Any) -> None:
        self.stopping = True
        dispatch.stop()

    def _serve_one(self) -> bool:
        """Give the next ringing brand to a fresh RQ worker that listens to its queue alone.

        A worker that listened to every brand's queue would pay for each of them with every job.
        """
        client = queues.valkey()
        brand_id = queues.next_ringing(client)
        if brand_id is None:
            return False
        worker = QuietWorker([queues.queue_of(brand_id, client)], connection=client)
        worker.work(burst=True, max_jobs=1, logging_level="WARNING", with_scheduler=False)
        return True
