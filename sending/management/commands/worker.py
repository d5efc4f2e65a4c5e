"""`manage.py worker`: an RQ worker for whichever brand rings, one after the other."""

import contextlib
import gc
import signal
import time
import uuid
from typing import Any

import redis
import structlog
from django.core.management.base import BaseCommand, CommandParser
from django.db import close_old_connections
from rq import Queue, SimpleWorker

from sending import dispatch, queues, turns

log = structlog.get_logger("carillon.worker")

IDLE_SECONDS = 0.1


class BrandWorker(SimpleWorker):
    """RQ's in-process worker, given one brand's queue at a time.

    One that listened to every brand's queue would pay for each of them with every job; a fresh one
    for each brand costs 13 ms.
    """

    @classmethod
    def started(cls, client: redis.Redis) -> "BrandWorker":
        worker = cls([], connection=client)
        worker.bootstrap(logging_level="WARNING")
        return worker

    def serve(self, queue: Queue) -> None:
        """Run one job of a queue, if it has any. Raises redis.RedisError.

        A job's own error is RQ's to record; the next ring drains again.
        """
        self.queues = [queue]
        self.heartbeat()
        found = Queue.dequeue_any([queue], None, connection=self.connection)
        if found is not None:
            self.execute_job(*found)


class Command(BaseCommand):
    help = "Send what is due, brand by brand. Start as many as the machine has room for."
    # They load every page and serializer, of which a worker needs none: 9 MB. The web checks.
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--burst", action="store_true", help="end when nothing rings")

    def handle(self, *args: Any, burst: bool, **options: Any) -> None:
        self.stopping = False
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        self.rq: BrandWorker | None = None
        gc.freeze()  # what was imported stays: no collection needs to look through it
        self.name = uuid.uuid4().hex
        with dispatch.shared_pipeline(self.name) as pipeline:
            while not self.stopping:
                busy = self._turn()
                pipeline.write(wait=0 if busy else IDLE_SECONDS)
                if burst and not busy:
                    break
        with contextlib.suppress(redis.RedisError):
            turns.end(queues.valkey(), self.name)
            if self.rq is not None:
                self.rq.teardown()

    def _stop(self, *args: Any) -> None:
        self.stopping = True
        dispatch.stop()

    def _turn(self) -> bool:
        """Serve the brand whose turn it is; False where none rings, or Valkey is away."""
        close_old_connections()
        try:
            client = queues.valkey()
            ringing = turns.take(client, self.name)
            if not ringing:
                return False
            if self.rq is None:
                self.rq = BrandWorker.started(client)
            self.rq.serve(queues.queue_of(ringing[0], client))
            return True
        except redis.RedisError:
            log.error("valkey_away")
            time.sleep(1)
            return False
