"""F1 to F4: workers that are killed, frozen and restarted while they send."""

import signal
import time
from collections.abc import Callable

import pytest

from sending import planning, queues
from sending.models import Departure, QueuedText, SentLog, State
from subscribers import clock
from tests.chaos.conftest import LONG
from tests.chaos.installation import CALL_TIMEOUT, LEASE
from tests.chaos.proxy import On
from tests.chaos.scene import Scene

PAUSE = 0.25  # seconds between two kills


def test_f1_random_workers_are_killed_four_times_a_second(scene: Callable[..., Scene]) -> None:
    with scene("F1 SIGKILL of random workers") as it:
        people = 3334 if LONG else 500
        for gateway in ("lime", "mitto", "twilio"):
            it.launch(it.brand(gateway, people=people, rate=250 if LONG else 100))
        it.stop_people(0.05)
        workers = it.staff(6)
        it.wait_for(lambda: it.ids(State.ACCEPTED), "text")
        while QueuedText.objects.filter(brand__in=it.brands).exists():
            victim = it.random.choice(workers)
            workers.remove(victim)
            it.kill(victim, wait=PAUSE)
            workers.append(it.start("worker"))
        it.settle()

        verdict = it.judge()

        assert verdict.kills >= 10
        unknown = SentLog.objects.filter(brand__in=it.brands, state=State.UNKNOWN)
        assert set(unknown.values_list("reason", flat=True)) <= {"worker_lost"}


TAKE = b"SELECT due.id, due.brand_id"
DEPARTURE = b"INSERT INTO sending_departure"
RECORD = b"SET provider_message_id"
POST = b"POST /2010-04-01"


def test_f2_a_worker_dies_at_each_numbered_point(scene: Callable[..., Scene]) -> None:
    """The wire kills the worker: a real one, at the moment when certain bytes pass by."""
    with scene("F2 death at each point") as it:
        database, provider = it.installation.database, it.installation.provider
        points = {
            "after taking": (database, TAKE, On.ANSWER, b""),
            "before the point of no return": (database, b"COMMIT", On.REQUEST, DEPARTURE),
            "after the point of no return": (database, b"COMMIT", On.ANSWER, DEPARTURE),
            "after the bytes left": (provider, POST, On.WRITTEN, b""),
            "after the answer": (provider, POST, On.ANSWER, b""),
            "before recording": (database, RECORD, On.REQUEST, b""),
            "after recording": (database, b"COMMIT", On.ANSWER, RECORD),
        }
        brands = {}
        for point, (wire, pattern, on, after) in points.items():
            brand = brands[point] = it.brand("twilio", people=8, in_flight=4)
            it.launch(brand)
            planning.plan_due()
            worker = it.start("worker")
            with it.crash(of_process=True):
                trap = wire.trap(pattern, on, act=worker.kill, after=after)
                queues.ring(brand.pk)
                assert trap.sprung.wait(10), f"the worker never came to {point}"
            assert not worker.lives()
            it.processes.remove(worker)
        it.staff(1)
        it.settle()
        it.judge()

        unknown = {
            point: SentLog.objects.filter(brand=brand, state=State.UNKNOWN).count()
            for point, brand in brands.items()
        }
        assert unknown["after taking"] == unknown["before the point of no return"] == 0
        assert unknown["after recording"] < 8
        for point in ("after the point of no return", "before recording"):
            assert unknown[point] > 0
        # At most one a call in flight, and those that had departed behind them.
        assert max(unknown.values()) <= 8


@pytest.mark.long
def test_f3_a_worker_that_slept_past_its_lease_sends_nothing_again(
    scene: Callable[..., Scene],
) -> None:
    with scene("F3 SIGSTOP for twice the lease") as it:
        it.turn(latency=0.3)
        it.launch(it.brand("lime", "mitto", "twilio", people=400, rate=60, in_flight=5))
        sleeper = it.staff(1)[0]
        it.wait_for(lambda: len(it.ids(State.ACCEPTED)) > 30, "text")
        with it.crash(of_process=True):
            sleeper.signal(signal.SIGSTOP)
        frozen = it.ids(State.SENDING)
        assert frozen
        it.start("worker")
        time.sleep(2 * LEASE)
        assert not Departure.objects.filter(
            brand__in=it.brands, expires_at__lt=clock.now()
        ).exists()
        woken = clock.now()
        sleeper.signal(signal.SIGCONT)
        it.hold_still(2 * CALL_TIMEOUT)  # it may do what it was about to
        it.settle()

        it.judge()

        # What it held goes out only where it departed anew.
        rows = SentLog.objects.filter(id__in=frozen)
        departed = dict(rows.values_list("phone", "sent_at"))
        late = {line["to"] for line in it.accepted() if line["at"] > woken.isoformat()}
        assert [to for to in late & departed.keys() if departed[to] < woken] == []
        assert sleeper.lives(), "it should have gone on"


@pytest.mark.long
def test_f4_workers_are_restarted_while_they_send(scene: Callable[..., Scene]) -> None:
    restarts = 100 if LONG else 6
    with scene("F4 SIGTERM restarts") as it:
        people = 12 * restarts + 150
        for gateway in ("lime", "mitto", "twilio"):
            it.launch(it.brand(gateway, people=people, rate=60, in_flight=5))
        workers = it.staff(3)
        it.wait_for(lambda: it.ids(State.ACCEPTED), "text")
        slowest = 0.0
        for _ in range(restarts):
            leaving = workers.pop(0)
            it.verdict.kills += 1
            leaving.signal(signal.SIGTERM)
            asked = time.monotonic()
            workers.append(it.start("worker"))
            assert leaving.gone_within(30), "it did not stop within 30 s"
            slowest = max(slowest, time.monotonic() - asked)
            it.processes.remove(leaving)
            time.sleep(0.1)
        it.settle()

        verdict = it.judge()

        assert verdict.unknown == 0, "a restart is no crash: nothing may be left in doubt"
        assert slowest < 30
