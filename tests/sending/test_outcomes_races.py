"""Answers, receipts and the gate write the same rows at the same time: nobody may stand in the way."""

import random
import threading
from uuid import UUID

from sending import outcomes, queues
from sending.gateways.base import Fate, Outcome
from sending.models import QueuedText, Sender, SentLog, State
from sending.outcomes import Answered
from subscribers.models import Brand
from tests import sending_world as world

TEXTS, ROUNDS = 400, 6


def test_receipts_and_answers_of_the_same_texts_never_deadlock(
    brand: Brand, sender: Sender
) -> None:
    for _ in range(ROUNDS):
        world.planned_texts(brand, TEXTS)
        token, departing = world.pass_gate(brand, sender)
        ids = [one.text.id for one in departing]
        assert len(ids) == TEXTS
        start = threading.Barrier(3, timeout=30)

        world.at_once(
            lambda: answer_all(start, token, ids),
            lambda: receive_all(start, ids, State.SENT),
            lambda: receive_all(start, ids, State.DELIVERED),
        )

    assert world.states() == {State.DELIVERED: ROUNDS * TEXTS}
    assert SentLog.objects.exclude(provider_message_id="").count() == ROUNDS * TEXTS


def answer_all(start: threading.Barrier, token: UUID, ids: list[UUID]) -> None:
    told = [
        Answered(token, Outcome(pk, Fate.ACCEPTED, provider_id=str(pk))) for pk in shuffled(ids)
    ]
    start.wait()
    outcomes.record(told, arrived=[token])


def receive_all(start: threading.Barrier, ids: list[UUID], state: State) -> None:
    told = [(pk, str(state), "") for pk in shuffled(ids)]
    start.wait()
    outcomes.receive(told)


def shuffled(ids: list[UUID]) -> list[UUID]:
    return random.sample(ids, len(ids))


def test_a_receipt_for_a_text_at_the_gate_never_deadlocks(brand: Brand, sender: Sender) -> None:
    for _ in range(ROUNDS * 5):
        texts = world.planned_texts(brand, 20)
        ids = [text.pk for text in texts]
        start = threading.Barrier(2, timeout=30)

        def depart(start: threading.Barrier = start) -> None:
            start.wait()
            world.pass_gate(brand, sender)

        world.at_once(depart, lambda ids=ids, start=start: receive_all(start, ids, State.SENT))

        assert world.states(id__in=ids) == {State.SENT: 20}


def test_a_claim_passes_by_what_another_worker_holds(brand: Brand) -> None:
    world.planned_texts(brand, 40)

    claimed = world.at_once(*[lambda: queues.claim(brand.pk, at_most=10)[1]] * 4)

    ids = [one.id for part in claimed for one in part]
    assert len(ids) == len(set(ids)) == QueuedText.objects.count() == 40
