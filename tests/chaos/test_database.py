"""F7 and F8: PostgreSQL stops, loses an answer, kills a transaction, is full, is restored."""

from collections.abc import Callable

import psycopg
import pytest
from django.db import connection

from campaigns.models import Campaign, PlatformPolicy
from sending.models import QueuedText, SafeMode, State
from subscribers import clock
from tests.chaos.conftest import LONG
from tests.chaos.scene import Scene

RESUMES_WITHIN = 60.0  # seconds after its return
# Statements, each in a transaction whose COMMIT is answered into the void.
TRANSACTIONS = {
    "point of no return": b"INSERT INTO sending_departure",
    "record": b"SET provider_message_id",
    "planning": b"INSERT INTO sending_sentlog",
    "reaping": b"worker_lost",
}


def sending(it: Scene, people: int = 600) -> None:
    """Brands in the midst of their texts, on all three gateways."""
    it.launch(it.brand("lime", "mitto", "twilio", people=people, rate=40))
    it.stop_people(0.05)
    it.staff(2)
    it.wait_for(lambda: len(it.ids(State.ACCEPTED)) > 20, "text")


def resumes(it: Scene) -> float:
    accepted = len(it.ids(State.ACCEPTED))
    assert QueuedText.objects.filter(brand__in=it.brands).exists(), "it was all sent before"
    return it.wait_for(lambda: len(it.ids(State.ACCEPTED)) > accepted, "text sent again", 65)


def test_f7_postgresql_stops_at_once_and_comes_back(scene: Callable[..., Scene]) -> None:
    with scene("F7 PostgreSQL immediate stop") as it:
        sending(it, people=600 if LONG else 300)
        for _ in range(3 if LONG else 1):
            with it.crash():
                it.installation.stop_postgresql()
                it.hold_still(it.random.uniform(0, 3 if LONG else 1))
                it.installation.revive()
            it.replace_the_dead()
            assert resumes(it) < RESUMES_WITHIN
        it.settle()
        it.judge()


@pytest.mark.long
def test_f7_postgresql_stays_away_longer_than_anybodys_patience(
    scene: Callable[..., Scene],
) -> None:
    """Answers come in while nobody can write down those before them, of the same batches."""
    with scene("F7 PostgreSQL away for 30 s") as it:
        it.turn(latency=0.5)
        for gateway in ("lime", "twilio"):
            it.launch(it.brand(gateway, people=600, rate=60, in_flight=20))
        it.staff(3)
        it.wait_for(lambda: len(it.ids(State.ACCEPTED)) > 60, "text")
        with it.crash():
            it.installation.stop_postgresql()
            it.hold_still(30.0)
            it.installation.revive()
        it.replace_the_dead()
        assert resumes(it) < RESUMES_WITHIN
        it.settle()
        it.judge()


@pytest.mark.long
@pytest.mark.parametrize("what", TRANSACTIONS)
def test_f7_the_reply_to_a_commit_is_lost(scene: Callable[..., Scene], what: str) -> None:
    """PostgreSQL did it, and whoever asked does not know."""
    with scene(f"F7 lost COMMIT of {what}") as it:
        database = it.installation.database
        pattern = TRANSACTIONS[what] if what == "claim" else b"COMMIT"
        after = b"" if what == "claim" else TRANSACTIONS[what]
        it.turn(latency=0.5)
        brand = it.brand("lime", "mitto", "twilio", people=300, rate=40)
        workers = it.staff(2)
        if what == "reaping":
            it.launch(brand)
            it.wait_for(lambda: it.ids(State.SENDING), "text on its way")
            for worker in workers:
                it.kill(worker)
            it.start("worker")
        launch = (lambda: None) if what == "reaping" else (lambda: it.launch(brand))
        times = 1 if what in ("planning", "reaping") else 2
        assert it.lose_answers(
            database, pattern, after=after, times=times, within=15.0, meanwhile=launch
        )
        it.settle()
        it.judge()


@pytest.mark.long
def test_f7_wires_to_postgresql_break_again_and_again(scene: Callable[..., Scene]) -> None:
    with scene("F7 cut wires to PostgreSQL") as it:
        sending(it)
        for _ in range(12):
            with it.crash(wait=0.2 + it.random.random()):
                it.installation.database.cut()
        it.settle()
        it.judge()


@pytest.mark.long
def test_f7_a_deadlock_is_survived(scene: Callable[..., Scene]) -> None:
    """We hold one text and then want the other while a worker, which writes both down, waits."""
    with scene("F7 deadlock") as it:
        it.turn(latency=1.0)
        it.launch(it.brand("twilio", people=40, in_flight=40))
        it.staff(1)
        it.wait_for(lambda: len(it.ids(State.SENDING)) == 40, "batch on its way")
        url = it.installation.database_url.replace("//carillon@", "//postgres@", 1)
        lock = "SELECT FROM sending_sentlog WHERE id = ANY(%s) FOR UPDATE"
        ids = sorted(it.ids(State.SENDING))
        with it.crash(wait=1.0), psycopg.connect(url) as other:
            other.execute("SET deadlock_timeout = '30s'")  # the worker is to find it first
            other.execute(lock, [ids[-20:]])
            it.wait_for(_somebody_waits, "worker that waits for us")
            other.execute(lock, [ids[:20]])
            other.rollback()
        it.settle()
        it.judge()


def _somebody_waits() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
        return cursor.fetchone()[0] > 0


@pytest.mark.long
def test_f7_there_is_no_connection_left(scene: Callable[..., Scene]) -> None:
    with scene("F7 no connection left") as it:
        sending(it, people=1500)
        held: list[psycopg.Connection] = []
        with it.crash(wait=1.0):
            try:
                while len(held) < 250:
                    held.append(psycopg.connect(it.installation.database_url))
            except psycopg.OperationalError:
                it.installation.database.cut()  # who has one must ask for a new one
            assert len(held) > 100, "the pool was not exhausted"
            while True:
                try:
                    held.append(psycopg.connect(it.installation.database_url))
                except psycopg.OperationalError:
                    break
            it.hold_still(5.0)
            for one in held:
                one.close()
        it.replace_the_dead()
        assert resumes(it) < RESUMES_WITHIN
        it.settle()
        it.judge()


@pytest.mark.long
def test_f8_the_database_is_restored_from_a_backup(scene: Callable[..., Scene]) -> None:
    """What left after the backup is planned again in its rows: nobody may get it twice."""
    with scene("F8 restored from a backup") as it:
        brand = it.brand("lime", "mitto", "twilio", people=500, rate=15)
        later = it.brand("twilio", people=100, rate=50)
        it.launch(brand)
        it.staff(2)
        it.wait_for(lambda: len(it.ids(State.ACCEPTED)) > 60, "text")
        since = clock.now()
        with it.crash():
            it.installation.back_up()
        forgotten = it.launch(later)  # the backup knows nothing of it
        it.wait_for(lambda: len(it.accepted()) > 250, "text after the backup")
        with it.crash(of_process=True):
            for process in it.processes:
                process.kill()
            it.installation.restore()
        it.processes.clear()

        it.start("enter_safe_mode", "--since", since.isoformat())
        it.wait_for(SafeMode.objects.filter(since=since).exists, "safe mode")
        it.staff(2)
        before = len(it.accepted())
        it.hold_still(3.0)
        assert len(it.accepted()) == before, "something was sent in safe mode"

        PlatformPolicy.objects.update(sending_enabled=True)
        assert not Campaign.objects.filter(pk=forgotten.pk).exists()
        it.verdict.texts -= 100
        it.brands.remove(later)
        it.in_doubt |= it.ids(State.UNKNOWN)
        it.settle()
        it.judge()
        assert it.verdict.unknown > 100
