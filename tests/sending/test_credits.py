"""Credits: reserved with the plan, debited for what went out, released otherwise, each once."""

import datetime as dt
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import DatabaseError

from campaigns import lifecycle, runs
from campaigns.models import Campaign, Run
from sending import answers, credits, dispatch, outcomes, parking, planning, reaper
from sending.gateways.base import Fate, Outcome
from sending.models import (
    CreditAccount,
    CreditEntry,
    CreditHold,
    Departure,
    QueuedText,
    Sender,
    SentLog,
    State,
)
from sending.outcomes import Answered
from subscribers import clock
from subscribers.models import Brand
from tests import sending_world as world

TWO_SEGMENTS = "x" * 200


@pytest.fixture
def small_chunks() -> Iterator[None]:
    """Chunks of 10 people."""
    whole = planning.CHUNK
    planning.CHUNK = 10
    yield
    planning.CHUNK = whole


def give(brand: Brand, amount: int, *, enforced: bool = True, reference: str = "first") -> None:
    credits.grant(brand.workspace, amount, note="a test", actor="tester", reference=reference)
    CreditAccount.objects.filter(workspace=brand.workspace).update(enforced=enforced)


def figures(brand: Brand) -> tuple[int, int, int]:
    """(available, reserved, spent)"""
    account = CreditAccount.objects.get(workspace=brand.workspace)
    return account.available, account.reserved, account.spent


def settle() -> None:
    """Let the ticker's job look at every hold, whenever it would."""
    CreditHold.objects.update(due_at=clock.now())
    credits.settle_due()


def settled(brand: Brand) -> tuple[int, int, int]:
    """The figures after the ticker looked; nothing may differ then."""
    settle()
    assert credits.audit(brand.workspace) == []
    assert credits.differences() == []
    return figures(brand)


def departed(brand: Brand, sender: Sender, people: int = 1, **fields: Any) -> list[Answered]:
    """New texts that have departed, answered as accepted (the answers are not yet written)."""
    world.planned_texts(brand, people, **fields)
    token, going = world.pass_gate(brand, sender)
    return [
        Answered(token, Outcome(one.text.id, Fate.ACCEPTED, f"id-{one.text.id}")) for one in going
    ]


def entries(**conditions: Any) -> list[tuple[str, int]]:
    rows = CreditEntry.objects.filter(**conditions).order_by("pk")
    return list(rows.values_list("kind", "amount"))


def test_planning_reserves_the_segments_of_what_it_planned(
    brand: Brand, small_chunks: None
) -> None:
    give(brand, 100)
    people = world.make_people(brand, 25)
    for person in people[:5]:
        world.opt_out(brand, person)
    campaign = world.make_campaign(brand, TWO_SEGMENTS)

    world.plan(campaign)

    assert figures(brand) == (60, 40, 0)
    assert sum(amount for kind, amount in entries(kind="reserve")) == 40
    assert credits.audit(brand.workspace) == []


def test_a_planner_that_dies_reserves_nothing(brand: Brand) -> None:
    give(brand, 100)
    world.make_people(brand, 5)
    world.make_campaign(brand)
    planning.start_due()
    run = runs.open_broadcast(Campaign.objects.get(), now=clock.now())

    world.killed_at_the_end_of(lambda: planning.plan_chunk(run))

    assert figures(brand) == (100, 0, 0)
    assert credits.differences() == []


def test_what_went_out_is_debited_and_the_rest_released(brand: Brand, sender: Sender) -> None:
    give(brand, 100)
    answers = departed(brand, sender, 4)
    fates = (Fate.ACCEPTED, Fate.FAILED, Fate.UNKNOWN, Fate.RETRY)
    told = [
        Answered(one.token, Outcome(one.outcome.text_id, fate))
        for one, fate in zip(answers, fates, strict=True)
    ]

    outcomes.record(told, arrived=[told[0].token])

    # The failed one costs nothing; one in doubt, and one to be tried again, are held.
    assert settled(brand) == (97, 2, 1)
    assert entries(hold__isnull=False) == [("reserve", 4), ("debit", 1), ("release", 1)]


def test_an_answer_that_is_written_twice_is_debited_once(brand: Brand, sender: Sender) -> None:
    give(brand, 100)
    answers = departed(brand, sender, 3)

    for _ in range(3):
        outcomes.record(answers, arrived=[answers[0].token])
        assert settled(brand) == (97, 0, 3)

    assert entries(kind="debit") == [("debit", 3)]


def test_settling_again_and_again_posts_nothing(brand: Brand, sender: Sender) -> None:
    give(brand, 100)
    outcomes.record(departed(brand, sender, 3))
    settle()
    before = entries()

    for _ in range(3):
        settle()

    assert entries() == before


def test_two_who_settle_at_once_post_once(brand: Brand, sender: Sender) -> None:
    give(brand, 100)
    outcomes.record(departed(brand, sender, 3))
    hold = CreditHold.objects.get()

    world.at_once(*[lambda: credits.settle(hold.pk)] * 4)

    assert entries(kind="debit") == [("debit", 3)]
    assert settled(brand) == (97, 0, 3)


def test_a_text_of_a_lost_worker_is_held_until_its_receipt_and_then_debited_once(
    brand: Brand, sender: Sender
) -> None:
    give(brand, 100)
    (answer,) = departed(brand, sender)
    Departure.objects.update(expires_at=clock.now() - dt.timedelta(hours=1))
    reaper.reap()
    assert settled(brand) == (99, 1, 0)

    for state in (State.SENT, State.DELIVERED, State.DELIVERED):
        outcomes.receive([(answer.outcome.text_id, state, "")])
        assert settled(brand) == (99, 0, 1)


def test_a_text_in_doubt_for_72_hours_costs_nothing_unless_a_receipt_proves_it(
    brand: Brand, sender: Sender
) -> None:
    give(brand, 100)
    (answer,) = departed(brand, sender)
    outcomes.record([Answered(answer.token, Outcome(answer.outcome.text_id, Fate.UNKNOWN))])
    SentLog.objects.update(sent_at=clock.now() - credits.UNKNOWN_FOR)
    assert settled(brand) == (100, 0, 0)

    outcomes.receive([(answer.outcome.text_id, State.DELIVERED, "")])

    assert settled(brand) == (99, 0, 1)
    assert [kind for kind, _ in entries(hold__isnull=False)] == [
        "reserve",
        "release",
        "reserve",
        "debit",
    ]


def test_an_undelivered_text_went_out(brand: Brand, sender: Sender) -> None:
    give(brand, 100)
    answers = departed(brand, sender)
    outcomes.record(answers)

    outcomes.receive([(answers[0].outcome.text_id, State.UNDELIVERED, "30003")])

    assert settled(brand) == (99, 0, 1)


def test_a_text_that_is_tried_again_is_neither_released_nor_debited(
    brand: Brand, sender: Sender
) -> None:
    give(brand, 100)
    (answer,) = departed(brand, sender)
    outcomes.record([Answered(answer.token, Outcome(answer.outcome.text_id, Fate.RETRY))])
    assert settled(brand) == (99, 1, 0)
    world.all_due()

    token, going = world.pass_gate(brand, sender)
    outcomes.record([Answered(token, Outcome(going[0].text.id, Fate.ACCEPTED, "id"))])

    assert settled(brand) == (99, 0, 1)
    assert entries(hold__isnull=False) == [("reserve", 1), ("debit", 1)]


def test_a_cancelled_campaign_gives_its_credits_back(brand: Brand) -> None:
    give(brand, 100)
    world.planned_texts(brand, 3)

    lifecycle.cancel(Campaign.objects.get())
    parking.follow_campaigns()

    assert settled(brand) == (100, 0, 0)


def test_an_opt_out_and_an_expiry_give_their_credits_back(brand: Brand, sender: Sender) -> None:
    give(brand, 100)
    first, second, _ = world.planned_texts(brand, 3)
    outcomes.cancel_for_person(first.subscriber_id, [brand.pk], "opted_out")
    SentLog.objects.filter(pk=second.pk).update(expires_at=clock.now())

    world.pass_gate(brand, sender)

    assert settled(brand) == (99, 1, 0)


def test_a_failed_text_that_is_queued_again_is_reserved_again(brand: Brand, sender: Sender) -> None:
    give(brand, 100)
    (answer,) = departed(brand, sender)
    outcomes.record([Answered(answer.token, Outcome(answer.outcome.text_id, Fate.FAILED))])
    assert settled(brand) == (100, 0, 0)
    SentLog.objects.update(state=State.PLANNED)  # as an operator's re-queueing does
    QueuedText.objects.create(id=answer.outcome.text_id, brand=brand, lane=1, due_at=clock.now())
    assert CreditHold.objects.get().due_at > clock.now()

    credits.look_again([answer.outcome.text_id])
    credits.settle_due()

    assert figures(brand) == (99, 1, 0)
    assert settled(brand) == (99, 1, 0)


def test_a_confirmation_costs_nothing(brand: Brand) -> None:
    give(brand, 1)

    to = answers.To(brand, "+12125550199", subscriber_id=None, cause="a reply", at=clock.now())
    answers.confirm_opt_out(to, everywhere=False)

    assert settled(brand) == (1, 0, 0)


def test_through_the_real_loop_the_ledger_says_what_the_carrier_accepted(
    brand: Brand, sender: Sender, provider: Any
) -> None:
    give(brand, 100)
    world.planned_texts(brand, 20)

    dispatch.drain(brand.pk, seconds=5)

    assert len(provider.accepted()) == 20
    assert settled(brand) == (80, 0, 20)


@pytest.mark.parametrize(
    "change",
    [
        lambda: CreditEntry.objects.update(amount=1),
        lambda: CreditEntry.objects.all().delete(),
    ],
    ids=["update", "delete"],
)
def test_the_ledger_cannot_be_changed(brand: Brand, change: Callable[[], None]) -> None:
    give(brand, 5)

    with pytest.raises(DatabaseError, match="Cannot update or delete"):
        change()

    assert entries() == [("grant", 5)]


def test_a_grant_that_is_repeated_counts_once(brand: Brand) -> None:
    for _ in range(2):
        give(brand, 5, reference="invoice 7")

    assert figures(brand) == (5, 0, 0)
    assert entries() == [("grant", 5)]


def _account(**change: int) -> Callable[[], None]:
    return lambda: CreditAccount.objects.update(**change)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (_account(granted=99), "granted is 99, the ledger says 100."),
        (_account(reserved=7), "reserved is 7, the ledger says 1."),
        (_account(spent=7), "spent is 7, the ledger says 2."),
        (lambda: CreditHold.objects.update(debited=9), "hold"),
    ],
)
def test_the_audit_says_what_does_not_add_up(
    brand: Brand, sender: Sender, spoil: Callable[[], None], told: str
) -> None:
    give(brand, 100)
    answers = departed(brand, sender, 3)
    outcomes.record(answers[:2])
    settle()

    spoil()

    assert any(told in sentence for sentence in credits.audit(brand.workspace))
    assert any(told in sentence for sentence in credits.differences())


def test_the_audit_says_what_is_not_settled_yet(brand: Brand, sender: Sender) -> None:
    give(brand, 100)
    outcomes.record(departed(brand, sender, 3))

    said = credits.audit(brand.workspace)

    assert len(said) == 2
    assert "3 held, but 0 by its texts" in said[0]
    assert "0 debited, but 3 by its texts" in said[1]


def test_a_debit_is_not_taken_back_when_the_rows_are_archived(brand: Brand, sender: Sender) -> None:
    give(brand, 100)
    outcomes.record(departed(brand, sender, 3))
    settle()
    parking.follow_campaigns()

    SentLog.objects.all()._raw_delete("default")
    Run.objects.update(audience=0)
    settle()

    assert figures(brand) == (97, 0, 3)
