"""A whole installation for one test session: its own PostgreSQL (default durability), Valkey and carrier.

Its processes reach all three through proxies; the test looks at the servers directly.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import redis
from django.conf import settings
from django.db import OperationalError, connection

from campaigns import policy
from campaigns.models import PlatformPolicy
from config import embedded, processes
from sending import partitions, queues
from tests.chaos.nursery import ROOT, Nursery, Process
from tests.chaos.proxy import Proxy
from tests.sending.carrier.conftest import Running

LEASE, CALL_TIMEOUT = 6.0, 2.0  # seconds; a dead worker's texts are in doubt for the first
CARRIER = (
    "fake_carrier", "--port", "0", "--receipts", "false", "--reply", "0", "--stop", "0",
    "--undelivered", "0", "--latency", "0.02", "--hang", "10",
)  # fmt: skip


class Installation:
    """Started once, shared by the scenarios of a test process; each has brands of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._data = folder / "data"
        self._children: list[subprocess.Popen[bytes]] = []  # kept, so that they are waited for
        self._held = [embedded.start(self._data)]
        self.database_url = self._held[0].database_url
        self.redis_url = self._held[0].redis_url
        sockets = unquote(parse_qs(urlsplit(self.database_url).query)["host"][0])
        self.database = Proxy(f"{sockets}/.s.PGSQL.5432")
        self.valkey = Proxy(unquote(urlsplit(self.redis_url).path))
        self.log = folder / "carrier.jsonl"
        self.environment = self._environment()
        self.nursery = Nursery(folder / "processes.log")
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "manage.py"), *CARRIER, "--log", str(self.log)],
            cwd=ROOT, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            text=True,
        )  # fmt: skip
        assert process.stdout is not None
        self.carrier = Running(process.stdout.readline().split()[-1], self.log, process)
        address = urlsplit(self.carrier.url)
        assert address.hostname is not None
        assert address.port is not None
        self.provider = Proxy((address.hostname, address.port))
        self.environment["FAKE_CARRIER_URL"] = f"http://127.0.0.1:{self.provider.port}"
        self.nursery.load(self.environment)

    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "DATABASE_URL": f"postgresql://carillon@127.0.0.1:{self.database.port}/carillon"
            "?sslmode=disable&gssencmode=disable",
            "REDIS_URL": f"redis://127.0.0.1:{self.valkey.port}/0",
            "LOG_LEVEL": "WARNING",
            "SENDING_LEASE_SECONDS": str(LEASE),
            "SENDING_CALL_TIMEOUT_SECONDS": str(CALL_TIMEOUT),
            # The carrier errs on purpose, and its texts have to be sent all the same.
            "SENDING_CIRCUIT_ERROR_PERCENT": "100",
        }

    def close(self) -> None:
        """Stop everything."""
        self.nursery.close()
        self.carrier.process.send_signal(signal.SIGTERM)
        self.carrier.process.communicate(timeout=20)
        for proxy in (self.database, self.valkey, self.provider):
            proxy.close()
        for servers in self._held:
            servers.stop()

    def heal(self) -> None:
        """All wires whole, all servers up, the carrier as at the start."""
        for proxy in (self.database, self.valkey, self.provider):
            proxy.heal()
        self.revive()
        self.carrier.post("/_carrier/reset", {})

    def start(self, *arguments: str) -> Process:
        """Start `manage.py <arguments>` from the nursery."""
        return self.nursery.start(*arguments)

    def start_anew(self, *arguments: str, **environment: str) -> Process:
        """Start `manage.py <arguments>` as an interpreter of its own, with more environment."""
        with (self.folder / "processes.log").open("ab") as log:
            child = subprocess.Popen(
                processes.manage_command(*arguments),
                cwd=ROOT, env=self.environment | environment, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self._children.append(child)
        return Process(child.pid, " ".join(arguments))

    def stop_postgresql(self) -> None:
        """An immediate stop: what was not committed is gone, as after a power cut."""
        pid = int((self._data / "postgresql" / "postmaster.pid").read_text().split("\n", 1)[0])
        _end(Process(pid, "PostgreSQL"), signal.SIGQUIT)

    def back_up(self) -> None:
        """Keep PostgreSQL's files as they are now. It is stopped for a moment."""
        self.stop_postgresql()
        shutil.copytree(self._data / "postgresql", self.folder / "backup")
        self.revive()

    def restore(self) -> None:
        """Throw PostgreSQL's files away and put the backup in their place."""
        self.stop_postgresql()
        shutil.rmtree(self._data / "postgresql")
        (self.folder / "backup").rename(self._data / "postgresql")
        self.revive()

    def kill_valkey(self) -> None:
        """Valkey is gone and with it all it knew."""
        pid = int((self._data / "valkey" / "valkey.pid").read_text())
        _end(Process(pid, "Valkey"), signal.SIGKILL)

    def revive(self) -> None:
        """Start the servers that were stopped."""
        if not (self._postgresql_answers() and self._valkey_answers()):
            self._held.append(embedded.start(self._data))

    def doorbell(self) -> redis.Redis:
        """Valkey, past the proxy."""
        return redis.Redis.from_url(self.redis_url, socket_timeout=5)

    def _valkey_answers(self) -> bool:
        try:
            return bool(self.doorbell().ping())
        except redis.RedisError:
            return False

    def _postgresql_answers(self) -> bool:
        connection.close()
        try:
            connection.ensure_connection()
        except OperationalError:
            return False
        return True

    def accepted(self, since: int = 0) -> list[dict[str, Any]]:
        """What the carrier accepted, from that byte of its log on."""
        with self.log.open("rb") as log:
            log.seek(since)
            return [json.loads(line) for line in log.read().splitlines()]

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """This process's Django talks to this installation's servers, past the proxies."""
        from config.settings import _database

        before = dict(connection.settings_dict)
        redis_url, client = settings.REDIS_URL, queues._client
        connection.close()
        connection.settings_dict.update(_database(self.database_url))
        settings.REDIS_URL, queues._client = self.redis_url, None
        try:
            yield
        finally:
            connection.close()
            connection.settings_dict.clear()
            connection.settings_dict.update(before)
            settings.REDIS_URL, queues._client = redis_url, client

    def furnish(self) -> None:
        """What an installation needs before it can send. Call it once, entered."""
        self.nursery.ready()
        policy.load_send_windows()
        policy.platform()
        PlatformPolicy.objects.update(daily_cap=100_000_000)
        partitions.ensure_ahead()


def _end(process: Process, number: int) -> None:
    """End a server. It may be our own child, whose zombie must be buried."""
    process.signal(number)
    until = time.monotonic() + 20
    while process.lives():
        with contextlib.suppress(ChildProcessError):
            os.waitpid(process.pid, os.WNOHANG)
        if time.monotonic() > until:
            raise AssertionError(f"{process.name} does not end")
        time.sleep(0.01)
