"""A text's states: forward only, written by whoever holds the token, and nothing twice."""

import datetime as dt
import itertools
import uuid
from collections.abc import Sequence
from uuid import UUID

import pytest

from sending import outcomes, queues
from sending.gateways.base import Fate, Outcome
from sending.models import (
    DailyTotal,
    Departure,
    ProviderMessage,
    QueuedText,
    Sender,
    SentLog,
    State,
)
from sending.outcomes import Answered
from subscribers import clock
from subscribers.models import Brand
from tests import sending_world as world

A, S, D, U = State.ACCEPTED, State.SENT, State.DELIVERED, State.UNDELIVERED
TOLD = (A, S, D, U)
# State of the text -> what it is after the receipt "accepted", "sent", "delivered", "undelivered".
AFTER_A_RECEIPT = {
    State.PLANNED: (A, S, D, U),
    State.SENDING: (A, S, D, U),
    State.UNKNOWN: (A, S, D, U),
    State.ACCEPTED: (A, S, D, U),
    State.SENT: (S, S, D, U),
    State.DELIVERED: (D, D, D, D),
    State.UNDELIVERED: (U, U, D, U),
    State.FAILED: (State.FAILED,) * 4,
    State.SKIPPED: (State.SKIPPED,) * 4,
    State.EXPIRED: (State.EXPIRED,) * 4,
    State.CANCELLED: (State.CANCELLED,) * 4,
}
WAITS = (3, 6, 12, 24)  # seconds between five attempts


def answer(token: UUID, text: SentLog, fate: Fate, **told: object) -> Answered:
    return Answered(token, Outcome(text.pk, fate, **told))  # type: ignore[arg-type]


def departed(brand: Brand, sender: Sender, count: int = 1) -> tuple[UUID, list[SentLog]]:
    """Texts past the point of no return, and the token of their departure."""
    texts = world.planned_texts(brand, count)
    token, departing = world.pass_gate(brand, sender)
    assert len(departing) == count
    return token, texts


def test_every_state_has_its_row_in_the_table() -> None:
    assert set(AFTER_A_RECEIPT) == set(State)


@pytest.mark.parametrize("state", list(State))
def test_a_receipt_only_moves_a_text_forward(brand: Brand, state: State) -> None:
    texts = [world.make_text(brand, state) for _ in TOLD]

    outcomes.receive([(text.pk, told, "") for text, told in zip(texts, TOLD, strict=True)])

    assert tuple(world.reload(text).state for text in texts) == AFTER_A_RECEIPT[state]


@pytest.mark.parametrize("told", list(itertools.permutations([A, S, D])))
def test_receipts_in_any_order_and_five_times_end_as_delivered(
    brand: Brand, told: Sequence[State]
) -> None:
    text = world.make_text(brand, State.SENDING)
    together = world.make_text(brand, State.SENDING)

    for state in told:
        for _ in range(5):
            outcomes.receive([(text.pk, state, "")])
    outcomes.receive([(together.pk, state, "") for state in told for _ in range(5)])

    assert world.reload(text).state == world.reload(together).state == State.DELIVERED


def test_a_receipt_keeps_its_code_and_clears_the_reason(brand: Brand) -> None:
    text = world.make_text(brand, State.UNKNOWN, reason="worker_lost")

    outcomes.receive([(text.pk, State.UNDELIVERED, "30005")])

    row = world.reload(text)
    assert (row.state, row.error_code, row.reason) == (State.UNDELIVERED, "30005", "")


def test_receipts_of_texts_that_do_not_exist_are_told_apart(brand: Brand) -> None:
    text, stranger = world.make_text(brand, State.SENT), uuid.uuid4()

    known = outcomes.receive([(text.pk, State.DELIVERED, ""), (stranger, State.DELIVERED, "")])

    assert known == {text.pk}


def test_a_receipt_before_the_answer_is_not_undone_by_it(brand: Brand, sender: Sender) -> None:
    token, (text,) = departed(brand, sender)
    outcomes.receive([(text.pk, State.DELIVERED, "")])

    outcomes.record([answer(token, text, Fate.ACCEPTED, provider_id="SM1")], arrived=[token])

    row = world.reload(text)
    assert (row.state, row.provider_message_id) == (State.DELIVERED, "SM1")
    assert ProviderMessage.objects.get().text_id == text.pk


def test_a_receipt_before_a_refusal_keeps_the_text_out_of_the_queue(
    brand: Brand, sender: Sender
) -> None:
    token, (text,) = departed(brand, sender)
    outcomes.receive([(text.pk, State.SENT, "")])

    outcomes.record([answer(token, text, Fate.RETRY, code="http-429")])

    assert world.reload(text).state == State.SENT
    assert not QueuedText.objects.exists()


def test_a_receipt_takes_a_text_that_waits_to_be_retried_out_of_the_queue(
    brand: Brand, sender: Sender
) -> None:
    token, (text,) = departed(brand, sender)
    outcomes.record([answer(token, text, Fate.RETRY, code="http-429")], arrived=[token])
    assert QueuedText.objects.filter(pk=text.pk).exists()

    outcomes.receive([(text.pk, State.DELIVERED, "")])

    row = world.reload(text)
    assert row.state == State.DELIVERED
    assert row.sent_at is not None
    assert not QueuedText.objects.exists()


@pytest.mark.parametrize(
    ("fate", "state"),
    [
        (Fate.ACCEPTED, State.ACCEPTED),
        (Fate.FAILED, State.FAILED),
        (Fate.UNKNOWN, State.UNKNOWN),
        (Fate.RETRY, State.PLANNED),
    ],
)
def test_an_answer_is_written_down(brand: Brand, sender: Sender, fate: Fate, state: State) -> None:
    token, (text,) = departed(brand, sender)

    outcomes.record([answer(token, text, fate, code="c", detail="d")], arrived=[token])

    row = world.reload(text)
    assert (row.state, row.error_code, row.error_detail, row.attempts) == (state, "c", "d", 1)
    assert (row.sent_at is None) is (fate in (Fate.FAILED, Fate.RETRY))
    assert not Departure.objects.exists()


def test_an_answer_under_another_token_changes_nothing(brand: Brand, sender: Sender) -> None:
    _, (text,) = departed(brand, sender)

    outcomes.record([answer(uuid.uuid4(), text, Fate.RETRY, provider_id="SM1")])

    assert world.reload(text).state == State.SENDING
    assert not QueuedText.objects.exists()


def test_an_answer_of_an_earlier_departure_changes_nothing(brand: Brand, sender: Sender) -> None:
    earlier, (text,) = departed(brand, sender)
    outcomes.record([answer(earlier, text, Fate.RETRY, code="http-429")], arrived=[earlier])
    world.all_due()
    token, _ = world.pass_gate(brand, sender)

    outcomes.record([answer(earlier, text, Fate.FAILED, code="late")])

    row = world.reload(text)
    assert (row.state, row.lease_token, row.error_code) == (State.SENDING, token, "http-429")


def test_recording_an_answer_again_changes_nothing(brand: Brand, sender: Sender) -> None:
    token, (refused, accepted) = departed(brand, sender, 2)
    told = [
        answer(token, refused, Fate.RETRY, code="http-429"),
        answer(token, accepted, Fate.ACCEPTED, provider_id="SM1"),
    ]
    outcomes.record(told, arrived=[token])
    before = (*map(world.reload, (refused, accepted)), QueuedText.objects.get().due_at)

    outcomes.record(told, arrived=[token])

    after = (*map(world.reload, (refused, accepted)), QueuedText.objects.get().due_at)
    assert [row.state for row in after[:2]] == [State.PLANNED, State.ACCEPTED]
    assert after[2] == before[2]
    assert ProviderMessage.objects.count() == 1
    assert DailyTotal.objects.get().sent == 1


def test_a_refused_text_waits_longer_each_time_and_fails_at_the_fifth(
    brand: Brand, sender: Sender
) -> None:
    (text,) = world.planned_texts(brand)
    for attempt, wait in enumerate((*WAITS, None), start=1):
        token, _ = world.pass_gate(brand, sender)
        outcomes.record([answer(token, text, Fate.RETRY, code="connect")], arrived=[token])
        row = world.reload(text)
        assert row.attempts == attempt
        if wait is None:
            break
        seconds = (QueuedText.objects.get().due_at - clock.now()).total_seconds()
        assert 0.8 * wait - 0.5 < seconds <= 1.2 * wait
        world.all_due()

    assert (row.state, row.reason, row.sent_at) == (State.FAILED, "too_many_attempts", None)
    assert not QueuedText.objects.exists()


def test_the_providers_wait_is_honoured_where_it_is_longer(brand: Brand, sender: Sender) -> None:
    token, (text,) = departed(brand, sender)

    outcomes.record([answer(token, text, Fate.RETRY, code="http-429", retry_after=600.0)])

    wait = QueuedText.objects.get().due_at - clock.now()
    assert dt.timedelta(seconds=595) < wait <= dt.timedelta(seconds=600)


@pytest.mark.parametrize(
    "told",
    [
        {"code": "lease-expired"},
        {"code": "http-401", "stop_sender": True},
        {"code": "20003", "stop_sender": True},
        {"code": "stop", "stop_sender": True},
    ],
)
def test_what_was_no_attempt_at_this_text_costs_it_none(
    brand: Brand, sender: Sender, told: dict[str, object]
) -> None:
    token, (text,) = departed(brand, sender)
    SentLog.objects.update(attempts=4)

    outcomes.record([answer(token, text, Fate.RETRY, **told)], arrived=[token])

    assert (world.reload(text).state, world.reload(text).attempts) == (State.PLANNED, 4)


def test_an_unknown_text_is_never_queued_again(brand: Brand, sender: Sender) -> None:
    token, (text,) = departed(brand, sender)
    outcomes.record([answer(token, text, Fate.UNKNOWN, code="http-500")], arrived=[token])

    world.all_due()

    assert world.gate_batch(brand, sender).taken == 0
    assert not QueuedText.objects.exists()
    assert world.reload(text).sent_at is not None


def test_losing_a_departure_touches_only_what_was_not_answered(
    brand: Brand, sender: Sender
) -> None:
    token, texts = departed(brand, sender, 4)
    accepted, refused, received, silent = texts
    outcomes.record(
        [answer(token, accepted, Fate.ACCEPTED), answer(token, refused, Fate.RETRY, code="x")]
    )
    outcomes.receive([(received.pk, State.SENT, "")])

    lost = outcomes.lose(token, [text.pk for text in texts])

    assert lost == 1
    assert [world.reload(text).state for text in texts] == [A, State.PLANNED, S, State.UNKNOWN]
    assert world.reload(silent).reason == "worker_lost"
    assert not Departure.objects.exists()


def test_a_worker_that_was_thought_dead_still_tells_what_it_knows(
    brand: Brand, sender: Sender
) -> None:
    token, (sent, not_started) = departed(brand, sender, 2)
    outcomes.lose(token, [sent.pk, not_started.pk])

    outcomes.record(
        [
            answer(token, sent, Fate.ACCEPTED, provider_id="SM1"),
            answer(token, not_started, Fate.RETRY, code="lease-expired"),
        ],
        arrived=[token],
    )

    assert world.reload(sent).state == State.ACCEPTED
    assert world.reload(not_started).state == State.PLANNED
    assert QueuedText.objects.get().pk == not_started.pk


def test_planning_twice_adds_nothing(brand: Brand) -> None:
    (row,) = world.planned_texts(brand)
    text = outcomes.NewText(
        id=row.pk,
        brand_id=brand.pk,
        campaign_id=row.campaign_id,
        run_id=row.run_id,
        message_id=row.message_id,
        subscriber_id=row.subscriber_id,
        purpose="campaign",
        phone=row.phone,
        body="Another body",
        segments=1,
        state=State.PLANNED,
        reason="",
        expires_at=row.expires_at,
        lane=QueuedText.Lane.HIGH,
        due_at=queues.PARKED,
    )

    assert outcomes.plan([text]) == 0

    assert world.reload(row).body == row.body
    assert QueuedText.objects.get().lane == QueuedText.Lane.BULK


def test_planning_a_text_again_after_it_left_does_not_queue_it(
    brand: Brand, sender: Sender
) -> None:
    token, (row,) = departed(brand, sender)
    outcomes.record([answer(token, row, Fate.ACCEPTED)], arrived=[token])
    values = {
        name: getattr(row, name)
        for name in (
            *("id", "brand_id", "campaign_id", "run_id", "message_id", "subscriber_id"),
            *("purpose", "phone", "body", "segments", "state", "reason", "expires_at"),
        )
    }

    assert outcomes.plan([outcomes.NewText(**values, lane=1, due_at=clock.now())]) == 0

    assert not QueuedText.objects.exists()
    assert world.reload(row).state == State.ACCEPTED


def test_only_a_planned_text_can_be_ended(brand: Brand, sender: Sender) -> None:
    _, (gone,) = departed(brand, sender)
    waiting = world.make_text(brand)

    outcomes.end((text.pk, State.SKIPPED, "suppressed") for text in (gone, waiting))

    assert world.reload(gone).state == State.SENDING
    assert (world.reload(waiting).state, world.reload(waiting).reason) == (
        State.SKIPPED,
        "suppressed",
    )
