"""A campaign's counters are its rows, whatever happens to its texts."""

import random
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from campaigns.models import Campaign, Run
from sending import books, counts, outcomes, progress
from sending.count_models import CampaignCount
from sending.gateways.base import Fate, Outcome
from sending.models import Sender, SentLog, State
from sending.outcomes import Answered
from subscribers.models import Brand
from tests import sending_world as world

RECEIVED = [State.ACCEPTED, State.SENT, State.DELIVERED, State.UNDELIVERED]


def assert_counted(campaign: Campaign) -> None:
    told, rows = progress.of_campaign(campaign), progress.recount(campaign)
    assert told.by_state_and_reason == rows.by_state_and_reason
    assert (told.audience, told.by_state) == (rows.audience, rows.by_state)


def campaign_of(texts: list[SentLog]) -> Campaign:
    return Campaign.objects.get(pk=texts[0].campaign_id)


class History:
    """What can happen to a campaign's texts, in any order."""

    def __init__(self, brand: Brand, sender: Sender, seed: int) -> None:
        self.brand, self.sender, self.chance = brand, sender, random.Random(seed)
        self.texts = world.planned_texts(brand, 25)
        self.departed: list[tuple[uuid.UUID, uuid.UUID]] = []

    def step(self) -> None:
        steps: list[Callable[[], Any]] = [
            self.depart, self.answer, self.answer, self.receive, self.end, self.cancel,
            self.lose, self.again, self.touch, counts.squash, world.all_due,
        ]  # fmt: skip
        self.chance.choice(steps)()

    def some(self) -> list[uuid.UUID]:
        return [text.pk for text in self.chance.sample(self.texts, 6)]

    def depart(self) -> None:
        token, departing = world.pass_gate(self.brand, self.sender, at_most=8)
        self.departed += [(token, one.text.id) for one in departing]

    def answer(self) -> None:
        for token, pk in self.chance.sample(self.departed, min(4, len(self.departed))):
            fate = self.chance.choice(list(Fate))
            outcomes.record([Answered(token, Outcome(pk, fate, provider_id=str(pk)))])

    def receive(self) -> None:
        outcomes.receive([(pk, self.chance.choice(RECEIVED), "") for pk in self.some()])

    def end(self) -> None:
        outcomes.end((pk, State.EXPIRED, "no_sender") for pk in self.some()[:2])

    def cancel(self) -> None:
        outcomes.cancel_of_campaign(self.texts[0].campaign_id, at_most=1)

    def lose(self) -> None:
        if self.departed:
            token, pk = self.chance.choice(self.departed)
            outcomes.lose(token, [pk])

    def again(self) -> None:
        outcomes.queue_again(
            self.some(),
            first=uuid.UUID(int=0),
            lifetime=world.dt.timedelta(hours=1),
            longest=world.dt.timedelta(hours=24),
        )

    def touch(self) -> None:
        SentLog.objects.filter(pk__in=self.some()).update(error_detail="looked at")


@pytest.mark.parametrize("seed", range(6))
def test_totals_equal_the_rows_after_a_random_history(
    brand: Brand, sender: Sender, seed: int
) -> None:
    history = History(brand, sender, seed)
    for _ in range(25):
        history.step()
        assert_counted(campaign_of(history.texts))
    assert not [one for one in books.audit(books.Scope()).differences if "totals" in one]


def test_what_is_rolled_back_is_not_counted(brand: Brand) -> None:
    texts = world.planned_texts(brand, 3)

    world.killed_at_the_end_of(lambda: outcomes.end([(texts[0].pk, State.SKIPPED, "opted_out")]))

    assert progress.of_campaign(campaign_of(texts)).by_state == {State.PLANNED: 3}


def test_planning_again_counts_nothing_twice(brand: Brand) -> None:
    texts = world.planned_texts(brand, 3)

    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO sending_sentlog SELECT * FROM sending_sentlog ON CONFLICT DO NOTHING"
        )

    assert progress.of_campaign(campaign_of(texts)).audience == 3


def test_a_text_without_a_run_is_in_no_campaigns_totals(brand: Brand) -> None:
    campaign = world.make_campaign(brand, launched=False)

    world.make_text(brand, campaign=campaign)

    assert progress.of_campaign(campaign).audience == 0


def test_squashing_leaves_one_row_for_each_state_and_changes_no_total(brand: Brand) -> None:
    texts = world.planned_texts(brand, 30)
    for text in texts[:25]:
        outcomes.receive([(text.pk, State.SENT, "")])
    before = progress.of_campaign(campaign_of(texts))

    assert counts.squash() > counts.FEW
    assert counts.squash() == 0

    assert CampaignCount.objects.count() == 2
    assert progress.of_campaign(campaign_of(texts)) == before


def test_squashing_while_texts_move_loses_nothing(brand: Brand) -> None:
    texts = world.planned_texts(brand, 60)

    def move(some: list[SentLog]) -> None:
        for text in some:
            outcomes.receive([(text.pk, State.SENT, "")])
            outcomes.receive([(text.pk, State.DELIVERED, "")])

    def squash() -> None:
        for _ in range(20):
            counts.squash()

    world.at_once(lambda: move(texts[:30]), lambda: move(texts[30:]), squash, squash)

    counts.squash()
    assert progress.of_campaign(campaign_of(texts)).by_state == {State.DELIVERED: 60}


def test_the_audit_finds_a_total_that_is_wrong(brand: Brand) -> None:
    texts = world.planned_texts(brand, 3)
    call_command("audit_ledger")
    counted = CampaignCount.objects.first()
    counted.texts += 1
    counted.save()

    found = books.audit(books.Scope(campaign_of(texts))).differences

    assert len(found) == 1
    assert "totals of campaigns" in found[0]
    assert "(4 counted, 3 texts)" in found[0]
    with pytest.raises(CommandError):
        call_command("audit_ledger")


def test_texts_that_left_the_log_stay_counted_and_the_audit_knows(brand: Brand) -> None:
    old = world.planned_texts(brand, 3)
    outcomes.cancel_of_campaign(old[0].campaign_id)
    SentLog.objects.all().delete()
    Run.objects.update(audience=0)
    world.planned_texts(brand, 2)

    assert progress.of_campaign(campaign_of(old)).audience == 3
    assert not [one for one in books.audit(books.Scope()).differences if "totals" in one]
