"""F12 and F13: STOPs and caps against twenty workers. F15: a worker whose clock is wrong."""

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from campaigns.models import BrandPolicy
from sending import queues
from sending.models import QueuedText, SentLog, State
from tests.chaos.conftest import LONG
from tests.chaos.nursery import Process
from tests.chaos.scene import Scene

SKEWED = Path(__file__).parent / "skewed"


@pytest.mark.long
def test_f12_a_thousand_stops_while_workers_send(scene: Callable[..., Scene]) -> None:
    """Those whose text is about to leave say STOP: the next ones in the queue."""
    with scene("F12 a thousand STOPs") as it:
        brand = it.brand("lime", "twilio", people=4000, rate=15, in_flight=20)
        people = {one.pk: one for one in it.people[brand.pk]}
        it.launch(brand)
        it.staff(4)
        it.wait_for(lambda: it.ids(State.ACCEPTED), "text")

        def stop_those_ahead(part: int) -> None:
            """250 STOPs of every fourth person, from near the head of the queue."""
            seed = random.Random(f"{it.verdict.seed}/{part}")
            due = QueuedText.objects.filter(brand=brand).order_by("due_at", "id")
            said: set[int] = set()
            while len(said) < 250:
                head = list(due.values_list("subscriber_id", flat=True)[:100])
                if not head:
                    return
                ahead = [pk for pk in head if pk % 4 == part and pk not in said]
                for pk in seed.sample(ahead, min(5, len(ahead))):
                    said.add(pk)
                    it.say_stop(brand, people[pk])

        for thread in [it.beside(lambda part=part: stop_those_ahead(part)) for part in range(4)]:
            thread.join(240)
        assert len(it.stopped) >= 1000, "everything was sent before there were a thousand STOPs"
        it.settle()
        verdict = it.judge()

        late = SentLog.objects.filter(brand=brand, subscriber_id__in=it.stopped)
        assert late.filter(sent_at=None).exists()
        assert verdict.after_stop == 0


@pytest.mark.long
def test_f13_twenty_workers_and_two_campaigns_never_exceed_a_cap(
    scene: Callable[..., Scene],
) -> None:
    with scene("F13 cap race") as it:
        brand = it.brand("lime", "twilio", people=150, rate=200)
        BrandPolicy.objects.filter(brand=brand).update(daily_limit=3)
        for _ in range(6):  # two campaigns three times: each person is planned six texts
            it.launch(brand)
        it.staff(20)
        counted = SentLog.objects.filter(brand=brand)
        it.wait_for(lambda: counted.count() == 900, "plan", 60)
        it.wait_for(lambda: counted.filter(state=State.ACCEPTED).count() == 450, "texts", 60)
        it.wait_for(lambda: not it.ids(State.SENDING), "end of what was on its way")
        it.hold_still(3.0)

        sent = Counter(counted.exclude(sent_at=None).values_list("subscriber_id", flat=True))
        assert set(sent.values()) == {3}
        accepted = Counter(line["to"] for line in it.accepted())
        assert set(accepted.values()) == {3}
        # The rest waits for tomorrow or has ended: it is not this scene's to send.
        it.give_up_the_rest()
        it.judge()


@pytest.mark.long
def test_f15_a_workers_clock_is_ten_minutes_off(scene: Callable[..., Scene]) -> None:
    """One is ahead and dies, one is behind and finishes: leases are the database's."""
    with scene("F15 clocks ten minutes off") as it:
        it.turn(latency=0.2)
        it.launch(it.brand("lime", "mitto", "twilio", people=200, rate=30, in_flight=5))
        it.start("ticker")
        ahead = it.start_anew("worker", PYTHONPATH=str(SKEWED), CLOCK_OFF="600")
        behind = it.start_anew("worker", PYTHONPATH=str(SKEWED), CLOCK_OFF="-600")
        rung: list[float] = []
        doorbell = it.installation.doorbell()

        def underway() -> bool:
            rung.extend(at for _, at in doorbell.zrange(queues.RINGING, 0, -1, withscores=True))
            return len(it.ids(State.ACCEPTED)) > 40

        it.wait_for(underway, "text")
        clock = doorbell.time()[0]
        assert all(abs(at - clock) < 60 for at in rung), "a brand's turn is by a wrong clock"
        assert ahead.lives()
        assert behind.lives()
        it.kill(ahead)
        if LONG:
            slow_ticker(it)
        it.settle()
        it.judge()

        texts = SentLog.objects.filter(brand__in=it.brands).exclude(sent_at=None)
        times = [text.sent_at for text in texts]
        assert (max(times) - min(times)).total_seconds() < 300


def slow_ticker(it: Scene) -> Process:
    """A ticker whose clock is wrong as well takes over."""
    it.kill(next(one for one in it.processes if one.name == "ticker"))
    return it.start_anew("ticker", PYTHONPATH=str(SKEWED), CLOCK_OFF="-600")
