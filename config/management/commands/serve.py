"""`manage.py serve` (`make run`): migrate, then the web, the ticker and the workers, until Ctrl-C."""

import signal
import time
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import OperationalError

from config import processes


class Command(BaseCommand):
    help = "Run everything that one machine needs: the web, the ticker and the workers."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=int, default=8000)
        parser.add_argument("--workers", type=int, default=2, help="sending workers")

    def handle(self, *args: Any, port: int, workers: int, **options: Any) -> None:
        try:
            processes.check_port(port, "PORT=8001")
        except processes.PortTakenError as error:
            raise CommandError(str(error)) from None
        try:
            call_command("migrate", verbosity=0)
        except OperationalError as error:
            raise CommandError(
                f"The database cannot be reached: {str(error).splitlines()[0]} Check DATABASE_URL."
            ) from None
        signal.signal(signal.SIGTERM, _interrupt)
        children = processes.Processes(settings.DATA_DIR / "logs")
        try:
            children.start("web", processes.web_command("127.0.0.1", port))
            children.start("ticker", processes.manage_command("ticker"))
            children.start("webhooks", processes.manage_command("deliver_webhooks"))
            for number in range(1, workers + 1):
                children.start(f"worker-{number}", processes.manage_command("worker"))
            self.stdout.write(
                f"Carillon is at http://127.0.0.1:{port}/ (logs in {children.logs}); Ctrl-C stops it."
            )
            self.stdout.flush()
            while True:
                children.watch()
                time.sleep(0.5)
        except KeyboardInterrupt:
            self.stdout.write("Stopping ...")
        finally:
            children.stop()


def _interrupt(*args: Any) -> None:
    raise KeyboardInterrupt
