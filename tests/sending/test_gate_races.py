"""Many at the gate at once: an opt-out, a cap, and the moment in between.

TEST_ROUNDS=1000 makes the race between a STOP and a send as long as `faults.md` (F12) asks.
"""

import datetime as dt
import os
import random
import threading
import time
from collections import Counter

from campaigns.models import BrandPolicy, PlatformPolicy
from sending.models import DailyTotal, QueuedText, Sender, SentLog, State
from subscribers import clock
from subscribers.models import Brand, Subscriber
from tests import sending_world as world

ROUNDS = int(os.environ.get("TEST_ROUNDS", "100"))


def test_nobody_is_sent_to_after_their_stop_has_committed(brand: Brand, sender: Sender) -> None:
    people = {one.pk: one for one in world.make_people(brand, ROUNDS)}
    world.plan(world.make_campaign(brand))
    world.due_one_after_the_other()
    ready = threading.Barrier(2, timeout=30)
    held: list[Subscriber] = []
    committed: dict[int, dt.datetime] = {}
    wait = random.Random(12).random

    def send() -> None:
        for _ in range(ROUNDS):
            next_one = QueuedText.objects.order_by("due_at", "pk").first()
            held[:] = [people[next_one.subscriber_id]]
            ready.wait()
            time.sleep(wait() * 0.003)
            world.pass_gate(brand, sender, at_most=1)
            ready.wait()

    def stop() -> None:
        for _ in range(ROUNDS):
            ready.wait()
            person = held[0]
            time.sleep(wait() * 0.003)
            world.opt_out(brand, person)
            committed[person.pk] = clock.now()
            ready.wait()

    world.at_once(send, stop)

    world.all_due()  # whoever was passed over while their STOP was under way
    assert world.pass_gate(brand, sender)[1] == []
    sent = dict(SentLog.objects.filter(state=State.SENDING).values_list("subscriber_id", "sent_at"))
    assert [pk for pk, moment in sent.items() if moment > committed[pk]] == []
    assert sent, "the STOP was always first: this raced nothing"
    assert world.states()[State.SKIPPED] == ROUNDS - len(sent) > 0


def gates(brand: Brand, sender: Sender, *, workers: int, at_most: int) -> list[str]:
    """Numbers that departed while many workers emptied the queue."""

    def work() -> list[str]:
        gone: list[str] = []
        for _ in range(500):
            batch = world.gate_batch(brand, sender, at_most=at_most)
            if not batch.taken and not world.due_soon():
                return gone
            gone += [one.text.to for one in batch.departing]
        raise AssertionError("the queue never empties")

    return [to for part in world.at_once(*[work] * workers) for to in part]


def test_twenty_workers_with_two_campaigns_never_exceed_a_persons_limit(
    brand: Brand, sender: Sender
) -> None:
    BrandPolicy.objects.update(daily_limit=3)
    PlatformPolicy.objects.update(text_lifetime=dt.timedelta(hours=48))
    people = world.make_people(brand, 12)
    for _ in range(2):
        for _ in range(3):
            world.plan(world.make_campaign(brand))

    gone = gates(brand, sender, workers=20, at_most=2)

    assert Counter(gone) == {one.phone: 3 for one in people}
    assert world.states() == {State.SENDING: 36, State.PLANNED: 36}


def test_the_platforms_cap_is_exact_whoever_sends(brand: Brand, sender: Sender) -> None:
    PlatformPolicy.objects.update(daily_cap=25, text_lifetime=dt.timedelta(hours=48))
    world.planned_texts(brand, 60)

    gone = gates(brand, sender, workers=8, at_most=4)

    assert len(gone) == len(set(gone)) == 25
    assert DailyTotal.objects.get().sent == 25
    assert QueuedText.objects.filter(due_at__gt=clock.now()).count() == 35
