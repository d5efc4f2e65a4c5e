"""`manage.py demo` (`make demo`): two brands' campaigns through a fake carrier, watched."""

import fcntl
import os
import signal
import time
from typing import Any
from urllib.parse import urlsplit

import requests
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection

from config import processes
from config.demo import books, funnel, world
from config.demo.world import World
from sending.queues import valkey
from subscribers import clock

LONGEST = 300  # seconds: a demo that takes longer has failed
QUIET = 3  # looks in a row that find nothing to do


class Command(BaseCommand):
    help = "Run the whole path on sandbox brands, print the funnel, then serve the admin."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="end after the funnel")

    def handle(self, *args: Any, once: bool, **options: Any) -> None:
        signal.signal(signal.SIGTERM, _interrupt)
        self.carrier_log = settings.DATA_DIR / "carrier.jsonl"
        self.children = processes.Processes(settings.DATA_DIR / "logs")
        with self._alone():
            try:
                self._run(once=once)
            except KeyboardInterrupt:
                self._say("Stopping ...")
            finally:
                self.children.stop()

    def _run(self, *, once: bool) -> None:
        self._reset()
        self._start_servers()
        made = world.build()
        self._introduce(made)
        call_command("sync_subscribers", brand="wswd", stdout=self.stdout)
        call_command("sync_subscribers", brand="ta", stdout=self.stdout)
        self._say("\nLaunching a broadcast (wswd) and an evergreen pool (ta) ...")
        world.launch(made)
        self._watch(made)
        balanced = self._print_funnel(made)
        if once:
            if not balanced:
                raise CommandError("The books do not balance: see above.")
            return
        self._serve(made)

    def _alone(self) -> Any:
        """Hold the demo's folder: two demos would wipe each other's database."""
        if os.environ.get("CARILLON_EMBEDDED") != "1":
            raise CommandError(
                "The demo wipes its database, so it runs on the embedded servers only:"
                " unset DATABASE_URL, or use make demo."
            )
        settings.DATA_DIR.mkdir(parents=True, exist_ok=True)
        lock = (settings.DATA_DIR / "demo.lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise CommandError("Another demo is running here; stop it first.") from None
        return lock

    def _reset(self) -> None:
        for url, variable in (
            (settings.PUBLIC_URL, "PORT=8001"),
            (settings.FAKE_CARRIER_URL, "CARRIER_PORT=8101"),
        ):
            try:
                processes.check_port(_port(url), variable)
            except processes.PortTakenError as error:
                raise CommandError(str(error)) from None
        self._say("Making a fresh database ...")
        with connection.cursor() as cursor:
            cursor.execute("DROP SCHEMA public CASCADE")
            cursor.execute("CREATE SCHEMA public")
        valkey().flushdb()
        self.carrier_log.unlink(missing_ok=True)
        call_command("migrate", verbosity=0)

    def _start_servers(self) -> None:
        carrier = _port(settings.FAKE_CARRIER_URL)
        self.children.start(
            "carrier",
            processes.manage_command(
                "fake_carrier", "--port", str(carrier), "--log", str(self.carrier_log)
            ),
        )
        self.children.start("web", processes.web_command("127.0.0.1", _port(settings.PUBLIC_URL)))
        self.children.start("ticker", processes.manage_command("ticker"))
        self.children.start("webhooks", processes.manage_command("deliver_webhooks"))
        for number in (1, 2):
            self.children.start(f"worker-{number}", processes.manage_command("worker"))
        for url in (f"{settings.FAKE_CARRIER_URL}/_carrier/stats", f"{settings.PUBLIC_URL}/readyz"):
            if not processes.wait_for(url):
                raise CommandError(f"{url} does not answer; see the logs in {self.children.logs}.")

    def _introduce(self, made: World) -> None:
        shown = (clock.now() + made.brands[0].clock_shift).astimezone(world.EASTERN)
        self._say(
            f"Two sandbox brands, wswd and ta: their texts go to a fake carrier on this machine.\n"
            f"Their clock is shifted to {shown:%A %H:%M} Eastern, so that the demo works at any"
            " hour.\n"
        )

    def _watch(self, made: World) -> None:
        started = time.monotonic()
        quiet = 0
        last = ""
        while quiet < QUIET:
            self.children.watch()
            time.sleep(1)
            line = funnel.line(made.brands)
            if line != last:
                self._say(f"  {time.monotonic() - started:5.0f} s  {line}")
                last = line
            idle = not funnel.busy([made.broadcast, made.evergreen]) and not self._pending()
            quiet = quiet + 1 if idle else 0
            if time.monotonic() - started > LONGEST:
                raise CommandError(
                    f"The demo did not finish in {LONGEST} s; see the logs in {self.children.logs}."
                )

    def _pending(self) -> int:
        """Receipts and replies that the carrier has still to deliver."""
        stats = requests.get(f"{settings.FAKE_CARRIER_URL}/_carrier/stats", timeout=5).json()
        return int(stats["callbacks"]["pending"])

    def _print_funnel(self, made: World) -> bool:
        self._say("")
        for campaign in (made.broadcast, made.evergreen):
            campaign.refresh_from_db()
            self._say("\n".join(funnel.of_campaign(campaign)) + "\n")
        self._say(funnel.confirmations(made.brands))
        result = books.audit(self.carrier_log)
        self._say(f"\nThe carrier's own log has {result.accepted:,} texts, {result.twice} twice.")
        for difference in result.differences:
            self._say(f"  DIFFERENCE: {difference}")
        if self.children.restarts:
            self._say(f"{self.children.restarts} processes died and were started again.")
        if not result.differences:
            self._say("The books balance: planned = sum of states, and the log = the carrier's.")
        return not result.differences

    def _serve(self, made: World) -> None:
        self._say(
            f"\nThe admin is at {settings.PUBLIC_URL}/admin/\n"
            f"  login     {world.LOGIN}\n  password  {made.password}\n"
            f"  API key   {made.api_key}\n"
            f"The API's documentation is at {settings.PUBLIC_URL}/api/docs\n"
            "Ctrl-C stops everything."
        )
        while True:
            self.children.watch()
            time.sleep(1)

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()


def _port(url: str) -> int:
    return urlsplit(url).port or 80


def _interrupt(*args: Any) -> None:
    raise KeyboardInterrupt
