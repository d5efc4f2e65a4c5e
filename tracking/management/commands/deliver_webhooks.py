"""`manage.py deliver_webhooks`: tells integrators' endpoints what happened."""

import signal
import time
from typing import Any

import structlog
from django.core.management.base import BaseCommand, CommandParser
from django.db import DatabaseError, close_old_connections, connections

from tracking.outbound import courier

log = structlog.get_logger("carillon.webhooks_out")


class Command(BaseCommand):
    help = "Deliver webhooks to integrators' endpoints. One is enough; several share the work."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="end when nothing is due")

    def handle(self, *args: Any, once: bool, **options: Any) -> None:
        self.stopping = False
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        if once:
            courier.deliver_due()
            return
        with courier.hired() as hired:
            while not self.stopping:
                if not self._turn(hired):
                    time.sleep(courier.IDLE)

    def _turn(self, hired: courier.Courier) -> bool:
        close_old_connections()
        try:
            return hired.turn()
        except DatabaseError:
            log.exception("webhooks_not_delivered")
            connections.close_all()
            time.sleep(1)
            return False

    def _stop(self, *args: Any) -> None:
        self.stopping = True
