"""Answers, receipts and the gate write the same rows at the same time: nobody may stand in the way."""

import random
import threading
from functools import partial
from uuid import UUID

from sending import outcomes
from sending.gateways.base import Fate, Outcome
from sending.models import QueuedText, Sender, SentLog, State
from sending.outcomes import Answered
from subscribers.models import Brand
from tests import sending_world as world

TEXTS, ROUNDS = 400, 6
S, D = State.SENT, State.DELIVERED


def test_receipts_of_the_same_texts_never_deadlock(brand: Brand, sender: Sender) -> None:
    world.planned_texts(brand, ROUNDS * TEXTS)
    for _ in range(ROUNDS):
        token, departing = world.pass_gate(brand, sender, at_most=TEXTS)
        ids = [one.text.id for one in departing]
        outcomes.record([Answered(token, Outcome(pk, Fate.ACCEPTED)) for pk in ids])
        start = threading.Barrier(3, timeout=30)

        world.at_once(*[partial(receive_all, start, ids, state) for state in (S, D, S)])

    assert world.states() == {State.DELIVERED: ROUNDS * TEXTS}


def test_receipts_that_overtake_the_answers_never_deadlock(brand: Brand, sender: Sender) -> None:
    world.planned_texts(brand, TEXTS)
    token, departing = world.pass_gate(brand, sender)
    ids = [one.text.id for one in departing]
    start = threading.Barrier(3, timeout=30)

    def answer_all() -> None:
        start.wait()
        for first in range(0, TEXTS, 100):
            part = shuffled(ids[first : first + 100])
            told = [Outcome(pk, Fate.ACCEPTED, provider_id=str(pk)) for pk in part]
            outcomes.record([Answered(token, one) for one in told])

    def receive_one_by_one(state: State) -> None:
        start.wait()
        for pk in shuffled(ids):
            outcomes.receive([(pk, state, "")])

    world.at_once(answer_all, lambda: receive_one_by_one(S), lambda: receive_one_by_one(D))

    assert world.states() == {State.DELIVERED: TEXTS}
    assert SentLog.objects.exclude(provider_message_id="").count() == TEXTS


def receive_all(start: threading.Barrier, ids: list[UUID], state: State) -> None:
    told = [(pk, str(state), "") for pk in shuffled(ids)]
    start.wait()
    outcomes.receive(told)


def shuffled(ids: list[UUID]) -> list[UUID]:
    return random.sample(ids, len(ids))


def test_a_receipt_for_a_text_at_the_gate_never_deadlocks(brand: Brand, sender: Sender) -> None:
    world.planned_texts(brand, 600)
    world.due_one_after_the_other()
    received: list[UUID] = []
    for _ in range(30):
        ids = list(QueuedText.objects.order_by("due_at", "pk").values_list("pk", flat=True)[:20])
        received += ids
        start = threading.Barrier(2, timeout=30)

        def depart(start: threading.Barrier = start) -> None:
            start.wait()
            world.pass_gate(brand, sender, at_most=20)

        world.at_once(depart, lambda ids=ids, start=start: receive_all(start, ids, S))

    assert world.states(pk__in=received) == {State.SENT: len(received)}
    assert len(received) > 100


def test_the_gate_passes_by_what_another_worker_holds(brand: Brand, sender: Sender) -> None:
    world.planned_texts(brand, 40)

    passed = world.at_once(*[lambda: world.pass_gate(brand, sender, at_most=10)[1]] * 4)

    ids = [one.text.id for part in passed for one in part]
    assert len(ids) == len(set(ids)) == 40
    assert not QueuedText.objects.exists()
