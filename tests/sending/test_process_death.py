"""F2: a worker that is killed at any point of the loop. Another one goes on and the books balance.

The worker is a process of its own. It is stopped at a point by what is around it (a provider that
does not answer, a row that somebody else has locked) and killed there with SIGKILL.
"""

import datetime as dt
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as project
from django.db import connection, transaction
from psycopg.conninfo import conninfo_to_dict

from sending import dispatch, reaper
from sending.models import Departure, QueuedText, Sender, SentLog, State
from subscribers import clock
from subscribers.models import Brand
from tests import sending_world as world
from tests.sending.conftest import Carrier

PREPARE = """
import os, django
django.setup()
from sending import dispatch, gate, queues
from sending.models import Sender
from subscribers.models import Brand
brand = Brand.objects.get(pk={brand})
sender = Sender.objects.get(brand=brand)
"""
TAKEN = """
from django.db import transaction
with transaction.atomic():
    assert queues.take({{brand.pk: 500}})
    os.kill(os.getpid(), 9)
"""
IN_THE_GATE = """
from django.db import transaction
with transaction.atomic():
    assert gate.pass_gate([gate.Share(brand, [sender], {{sender.pk: 500}}, 500)])[0].departing
    os.kill(os.getpid(), 9)
"""
ASLEEP_IN_THE_GATE = """
from django.db import transaction
with transaction.atomic():
    assert gate.pass_gate([gate.Share(brand, [sender], {{sender.pk: 500}}, 500)])[0].departing
    os.kill(os.getpid(), 19)
"""
AFTER_THE_GATE = """
assert gate.pass_gate([gate.Share(brand, [sender], {{sender.pk: 500}}, 500)])[0].departing
os.kill(os.getpid(), 9)
"""
WHOLE_LOOP = """
dispatch.drain(brand.pk)
"""
AFTER_RECORDING = WHOLE_LOOP + "os.kill(os.getpid(), 9)"
TEXTS = 6


def start_worker(brand: Brand, program: str, **environment: str) -> subprocess.Popen[bytes]:
    """A process that runs a part of the loop on the tests' database."""
    parts = conninfo_to_dict(os.environ["DATABASE_URL"])
    name = connection.settings_dict["NAME"]
    url = os.environ["DATABASE_URL"].replace(f"/{parts['dbname']}?", f"/{name}?", 1)
    assert name in url
    return subprocess.Popen(
        [sys.executable, "-c", PREPARE.format(brand=brand.pk) + program.format()],
        cwd=project.BASE_DIR,
        env=os.environ
        | {
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "DATABASE_URL": url,
            "REDIS_URL": project.REDIS_URL,
            "FAKE_CARRIER_URL": project.FAKE_CARRIER_URL,
            **environment,
        },
    )


def wait_until(condition: Callable[[], Any], what: str) -> None:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError(f"in 20 s there was no {what}")


@contextmanager
def killed_when(
    brand: Brand, condition: Callable[[], Any], what: str
) -> Iterator[subprocess.Popen[bytes]]:
    """A worker that runs the loop and is killed once the condition holds."""
    worker = start_worker(brand, WHOLE_LOOP)
    try:
        wait_until(condition, what)
        assert worker.poll() is None, "the worker ended before it could be killed"
    finally:
        worker.send_signal(signal.SIGKILL)
        worker.wait(10)
    yield worker


def a_worker_waits_for_a_lock() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        return cursor.fetchone()[0] > 0


def recover(brand: Brand) -> None:
    """Let departures run out, reap, and let another worker go on."""
    past = clock.now() - dt.timedelta(minutes=2)
    Departure.objects.update(expires_at=past)
    world.all_due()
    reaper.reap()
    for _ in range(3):
        dispatch.drain(brand.pk)
        world.all_due()
    assert not Departure.objects.exists()
    assert not QueuedText.objects.exists()


@pytest.fixture
def texts(brand: Brand, sender: Sender, provider: Carrier) -> list[SentLog]:
    return world.planned_texts(brand, TEXTS)


@pytest.mark.parametrize("program", [TAKEN, IN_THE_GATE], ids=["taken", "in-the-gate"])
def test_before_the_point_of_no_return_a_dead_worker_changes_nothing(
    brand: Brand, texts: list[SentLog], provider: Carrier, program: str
) -> None:
    worker = start_worker(brand, program)
    assert worker.wait(20) == -signal.SIGKILL
    assert provider.accepted() == []
    assert world.states() == {State.PLANNED: TEXTS}

    recover(brand)

    assert world.states() == {State.ACCEPTED: TEXTS}


def test_a_worker_that_freezes_in_the_gate_holds_up_nobodys_stop_for_long(
    brand: Brand, texts: list[SentLog], provider: Carrier
) -> None:
    worker = start_worker(brand, ASLEEP_IN_THE_GATE, SENDING_LEASE_SECONDS="4")
    try:
        wait_until(lambda: _is_stopped(worker.pid), "worker that froze")
        person = texts[0].subscriber
        began = time.monotonic()
        world.opt_out(brand, person)
        took = time.monotonic() - began
    finally:
        worker.send_signal(signal.SIGKILL)
        worker.wait(10)

    assert took < 10
    assert world.states() == {State.PLANNED: TEXTS}
    recover(brand)
    assert world.states() == {State.ACCEPTED: TEXTS - 1, State.SKIPPED: 1}


def _is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def test_past_the_point_of_no_return_a_dead_workers_texts_are_never_sent_again(
    brand: Brand, texts: list[SentLog], provider: Carrier
) -> None:
    worker = start_worker(brand, AFTER_THE_GATE)
    assert worker.wait(20) == -signal.SIGKILL

    recover(brand)

    assert world.states(reason="worker_lost") == {State.UNKNOWN: TEXTS}
    assert provider.accepted() == []


@pytest.mark.parametrize(("digits", "accepted"), [("0408", 0), ("0409", 1)])
def test_a_worker_that_dies_while_the_provider_is_silent_leaves_one_text_in_doubt(
    brand: Brand, sender: Sender, provider: Carrier, digits: str, accepted: int
) -> None:
    silent = world.number(digits)
    provider.turn(hang=60)
    world.planned_texts(brand, [world.number() for _ in range(TEXTS)] + [silent])

    def all_but_one() -> bool:
        return world.states() == {State.ACCEPTED: TEXTS, State.SENDING: 1}

    with killed_when(brand, all_but_one, "text without an answer"):
        recover(brand)

    (doubtful,) = SentLog.objects.filter(state=State.UNKNOWN)
    assert doubtful.phone == silent
    assert provider.accepted_by_number()[silent] == accepted
    assert world.states() == {State.ACCEPTED: TEXTS, State.UNKNOWN: 1}


def test_a_worker_that_dies_before_it_wrote_the_answers_down_leaves_them_unknown(
    brand: Brand, texts: list[SentLog], provider: Carrier
) -> None:
    provider.turn(latency=0.5)

    with transaction.atomic():

        def answered_but_not_written() -> bool:
            sending = SentLog.objects.filter(state=State.SENDING).values_list("id", flat=True)
            list(SentLog.objects.select_for_update(no_key=True).filter(pk__in=list(sending)))
            return len(provider.accepted()) == TEXTS and a_worker_waits_for_a_lock()

        with killed_when(brand, answered_but_not_written, "answer that waits to be written"):
            pass
    provider.turn(latency=0)
    recover(brand)

    assert world.states(reason="worker_lost") == {State.UNKNOWN: TEXTS}
    assert len(provider.accepted()) == TEXTS


def test_a_worker_that_dies_after_it_wrote_the_answers_down_leaves_nothing_in_doubt(
    brand: Brand, texts: list[SentLog], provider: Carrier
) -> None:
    worker = start_worker(brand, AFTER_RECORDING)
    assert worker.wait(20) == -signal.SIGKILL

    recover(brand)

    assert world.states() == {State.ACCEPTED: TEXTS}
    assert len(provider.accepted()) == TEXTS
