"""An installation to send with, and the fake carrier on the way. The books must balance afterwards."""

from __future__ import annotations

import json
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from campaigns import policy
from config.demo import books
from sending import evergreen, limits, partitions, queues
from sending.models import Sender
from subscribers.models import Brand
from tests import sending_world as world
from tests.sending.carrier.conftest import QUIET, SOON, Running, launch


@pytest.fixture
def transactional_db(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """The database, where everything is committed; our tables are emptied afterwards.

    pytest-django's own empties every table there is and fills Django's again, which takes ten times
    as long. It knows by this name that a test needs a database.
    """
    with django_db_blocker.unblock():
        yield
        world.empty_tables()


@pytest.fixture
def installed(transactional_db: None, settings: Any) -> Iterator[None]:
    """What migrations and the ticker provide, on a database that commits; an empty Valkey.

    Messages may say little here, and may be broken: what they must say to be launched is claimed in
    tests/campaigns/test_lint.py.
    """
    lint = "campaigns.lint.check_launch"
    settings.LAUNCH_CHECKS = [check for check in settings.LAUNCH_CHECKS if check != lint]
    policy.load_send_windows()
    policy.platform()
    partitions.ensure_ahead()
    queues.valkey().flushdb()
    evergreen._admitted_at.clear()
    limits._blocks.clear()
    yield
    if queues._client is not None:
        queues._client.connection_pool.disconnect()
        queues._client = None


@pytest.fixture
def balanced(installed: None) -> Iterator[None]:
    """After the test each planned text is in one state, and in the queue while it waits."""
    yield
    world.assert_books_balance()


@pytest.fixture
def brand(balanced: None) -> Brand:
    return world.make_brand()


@pytest.fixture
def sender(brand: Brand) -> Sender:
    return world.make_sender(brand)


@dataclass
class Carrier:
    """The session's carrier as one test sees it: only what was accepted since the test began."""

    running: Running
    first_line: int

    @property
    def url(self) -> str:
        return self.running.url

    def turn(self, **knobs: Any) -> None:
        self.running.post("/_carrier/knobs", knobs)

    def accepted(self) -> list[dict[str, Any]]:
        return self.running.entries()[self.first_line :]

    def accepted_by_number(self) -> Counter[str]:
        return Counter(entry["to"] for entry in self.accepted())

    def audit(self, folder: Path) -> list[str]:
        """Differences between the carrier's log of this test and the sent log."""
        log = folder / "carrier.jsonl"
        log.write_text("".join(json.dumps(line) + "\n" for line in self.accepted()))
        return books.audit(log).differences


@pytest.fixture(scope="session")
def carrier_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    log = tmp_path_factory.mktemp("sending") / "log.jsonl"
    process = launch("--port", "0", "--log", str(log), *QUIET, *SOON)
    assert process.stdout is not None
    line = process.stdout.readline()
    assert "listening on http://" in line, process.communicate()
    yield Running(line.split()[-1], log, process)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=10)


@pytest.fixture
def provider(
    carrier_server: Running, balanced: None, settings: Any, tmp_path: Path
) -> Iterator[Carrier]:
    """The fake carrier, reached by sandbox brands; afterwards its log agrees with ours."""
    carrier_server.post("/_carrier/reset", {})
    settings.FAKE_CARRIER_URL = carrier_server.url
    seen = Carrier(carrier_server, len(carrier_server.entries()))
    yield seen
    assert seen.audit(tmp_path) == []
    assert all(count == 1 for count in seen.accepted_by_number().values())
