"""What dead workers leave behind becomes unknown, once, and only theirs."""

import datetime as dt

import pytest

from sending import outcomes, reaper
from sending.gateways.base import Fate, Outcome
from sending.models import Departure, Sender, State
from sending.outcomes import Answered
from subscribers import clock
from subscribers.models import Brand
from tests import sending_world as world


def ended(seconds: float) -> None:
    """Every departure's lease ended so many seconds ago."""
    Departure.objects.update(expires_at=clock.now() - dt.timedelta(seconds=seconds))


def test_a_departure_that_outlives_its_lease_becomes_unknown(brand: Brand, sender: Sender) -> None:
    world.planned_texts(brand, 3)
    world.pass_gate(brand, sender)
    ended(6)

    assert reaper.reap() == 3

    assert world.states(reason="worker_lost") == {State.UNKNOWN: 3}
    assert reaper.reap() == 0


@pytest.mark.parametrize("seconds", [-60, 0, 4])
def test_a_worker_may_still_write_its_last_answers_down(
    brand: Brand, sender: Sender, seconds: float
) -> None:
    world.planned_texts(brand, 1)
    world.pass_gate(brand, sender)
    ended(seconds)

    assert reaper.reap() == 0
    assert world.states() == {State.SENDING: 1}


def test_what_was_answered_for_stays_as_it_is(brand: Brand, sender: Sender) -> None:
    text, _ = world.planned_texts(brand, 2)
    token, _ = world.pass_gate(brand, sender)
    outcomes.record([Answered(token, Outcome(text.pk, Fate.ACCEPTED, provider_id="SM1"))])
    ended(6)

    assert reaper.reap() == 1
    assert world.states() == {State.ACCEPTED: 1, State.UNKNOWN: 1}


def test_a_text_that_departed_again_belongs_to_its_new_departure(
    brand: Brand, sender: Sender
) -> None:
    (text,) = world.planned_texts(brand, 1)
    dead, _ = world.pass_gate(brand, sender)
    outcomes.record([Answered(dead, Outcome(text.pk, Fate.RETRY, code="connect"))])
    world.all_due()
    world.pass_gate(brand, sender)
    Departure.objects.filter(token=dead).update(expires_at=clock.now() - dt.timedelta(minutes=1))

    assert reaper.reap() == 0
    assert world.states() == {State.SENDING: 1}


def test_two_reapers_at_once_count_each_text_once(brand: Brand, sender: Sender) -> None:
    world.planned_texts(brand, 40)
    for _ in range(8):
        world.pass_gate(brand, sender, at_most=5)
    ended(6)

    lost = world.at_once(*[reaper.reap] * 3)

    assert sum(lost) == 40
    assert world.states() == {State.UNKNOWN: 40}


def test_one_look_reaps_no_more_departures_than_asked(brand: Brand, sender: Sender) -> None:
    world.planned_texts(brand, 3)
    for _ in range(3):
        world.pass_gate(brand, sender, at_most=1)
    ended(6)

    assert [reaper.reap(at_most=2), reaper.reap(at_most=2)] == [2, 1]


def test_an_unknown_text_is_shown_with_what_it_was(brand: Brand, sender: Sender) -> None:
    (text,) = world.planned_texts(brand, 1)
    token, _ = world.pass_gate(brand, sender)
    ended(6)
    reaper.reap()

    row = world.reload(text)
    assert (row.state, row.lease_token, row.sender_id) == (State.UNKNOWN, token, sender.pk)
    assert row.sent_at is not None
