"""What is told of texts, people and orders is the same after their month was archived."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from campaigns.models import Run
from sending.identity import identify
from sending.models import ProviderMessage, Sender, SentLog, State
from subscribers import clock, erasure
from subscribers.models import Brand, Subscriber
from tests import archive_world as old
from tests import sending_world as world
from tests.archive_world import NEXT, OLD
from tests.tracking import shop_world as shop
from tests.tracking.shop_world import DAY, HOUR, order, record, refund, settle
from tracking import receipts, replies, reports
from tracking.models import (
    Attribution,
    AttributionRules,
    CustomEvent,
    KeptClicks,
    Purchase,
    TrackingEvent,
    WaitingReceipt,
)
from tracking.retention import forget_shop_events
from tracking.webhooks.base import Inbound, Receipt

SENT = OLD + 3 * HOUR


@pytest.fixture
def people(brand: Brand, tmp_path: Path, settings: Any) -> Iterator[list[Subscriber]]:
    settings.ARCHIVE_DIR = tmp_path / "archive"
    old.make_months(OLD, NEXT)
    yield world.make_people(brand, 5)
    old.drop_months(OLD, NEXT)


@pytest.fixture
def run(people: list[Subscriber], sender: Sender) -> Run:
    """Texts to five people; three clicked, a machine too, one replied, one said STOP, one bought."""
    run = old.make_run(sender.brand, OLD + 2 * HOUR)
    texts = old.make_texts(run, people)
    clicked = ((0, 1, "click"), (0, 2, "click"), (1, 2, "click"), (3, 4, "click"), (4, 5, "agent"))
    for place, hours, name in clicked:
        event = shop.click(texts[place], SENT + hours * HOUR, name)
        TrackingEvent.objects.filter(pk=event.pk).update(
            id=identify(run.started_at, event.pk, name)
        )
    for place, words in ((2, "Love it"), (4, "STOP")):
        replies.receive(sender, Inbound(f"IN{place}", people[place].phone, words))
    sender.brand.replies.update(campaign=run.campaign)
    for reply in sender.brand.replies.all():
        text = next(one for one in texts if one.subscriber_id == reply.subscriber_id)
        sender.brand.replies.filter(pk=reply.pk).update(text_id=text.pk)
    record(order(sender.brand, at=SENT + 3 * HOUR, amount="50", phone=people[0].phone))
    settle()
    Purchase.objects.update(due_at=None)
    return run


def archived() -> None:
    call_command("archive")
    assert not SentLog.objects.filter(id__lt=identify(NEXT, "")).exists()


def test_a_campaigns_report_is_the_same(run: Run) -> None:
    before = reports.of_campaign(run.campaign)
    assert (before.totals.sent, before.totals.clicks, before.totals.machine_clicks) == (5, 3, 1)
    assert (before.totals.replies, before.totals.opt_outs) == (2, 1)
    assert before.totals.revenue == Decimal(50)

    archived()

    assert reports.of_campaign(run.campaign) == before


def test_days_are_the_same_and_minutes_are_gone(run: Run) -> None:
    span = (OLD, OLD + 2 * DAY)
    before = reports.moments_of_campaign(run.campaign, reports.DAY, *span)
    assert [(day.sent, day.delivered, day.clicks) for day in before] == [(5, 5, 4)]

    archived()

    assert reports.moments_of_campaign(run.campaign, reports.DAY, *span) == before
    minutes = reports.moments_of_campaign(run.campaign, reports.MINUTE, *span)
    assert [(one.sent, one.purchases) for one in minutes] == [(0, 1)]
    of_brand = reports.of_brand(run.brand, OLD.date(), OLD.date())
    assert [(day.sent, day.clicks, day.purchases) for day in of_brand.moments] == [(5, 4, 1)]


def test_a_campaign_of_two_months_adds_up(run: Run, people: list[Subscriber]) -> None:
    again = Run.objects.create(
        campaign=run.campaign, brand=run.brand, started_at=NEXT + HOUR,
        planned_at=NEXT + HOUR, finished_at=NEXT + HOUR,
    )  # fmt: skip
    old.make_texts(again, people[:2])
    before = reports.of_campaign(run.campaign)
    assert before.totals.sent == 7

    archived()

    assert reports.of_campaign(run.campaign) == before


def test_a_persons_clicks_are_still_counted(run: Run, people: list[Subscriber]) -> None:
    before = Subscriber.objects.values("total_clicks", "first_click_at").get(pk=people[0].pk)
    assert before["total_clicks"] == 2
    archived()
    text = world.make_text(run.brand, State.DELIVERED, subscriber=people[0], sent_at=clock.now())
    shop.click(text, clock.now())

    settle()

    after = Subscriber.objects.values("total_clicks", "first_click_at").get(pk=people[0].pk)
    assert after == before | {"total_clicks": 3}


def test_a_persons_clicks_of_two_months_are_added_up(
    run: Run, people: list[Subscriber], settings: Any
) -> None:
    again = old.make_run(run.brand, NEXT + HOUR)
    [text] = old.make_texts(again, people[:1])
    shop.click(text, NEXT + 5 * HOUR)

    archived()

    kept = KeptClicks.objects.get(subscriber=people[0])
    assert (kept.clicks, kept.first_at, kept.last_at) == (3, SENT + HOUR, NEXT + 5 * HOUR)
    settle()
    assert Subscriber.objects.get(pk=people[0].pk).total_clicks == 3


def test_an_order_keeps_its_text_and_a_refund_is_taken_from_its_share(run: Run) -> None:
    share = Attribution.objects.get()
    archived()

    record(refund(run.brand, amount="20"))
    settle()

    after = Attribution.objects.get()
    assert (after.text_id, after.campaign_id, after.message_id, after.amount) == (
        share.text_id,
        share.campaign_id,
        share.message_id,
        Decimal(30),
    )
    call_command("audit_ledger")


def test_equal_shares_stay_equal_to_the_cent(run: Run, people: list[Subscriber]) -> None:
    AttributionRules.objects.create(brand=run.brand, model="linear")
    for hours in (1, 2):
        other = old.make_run(run.brand, OLD + hours * HOUR / 2)
        [text] = old.make_texts(other, people[:1])
        shop.click(text, SENT + HOUR)
    Purchase.objects.update(due_at=clock.now())
    settle()
    Purchase.objects.update(due_at=None)
    assert sorted(Attribution.objects.values_list("amount", flat=True)) == [
        Decimal("16.66"), Decimal("16.67"), Decimal("16.67"),
    ]  # fmt: skip
    archived()

    record(refund(run.brand, amount="30"))
    settle()

    assert sorted(Attribution.objects.values_list("amount", flat=True)) == [
        Decimal("6.66"), Decimal("6.67"), Decimal("6.67"),
    ]  # fmt: skip
    call_command("audit_ledger")


def test_orders_that_may_still_be_credited_keep_their_month(run: Run) -> None:
    Purchase.objects.update(due_at=clock.now() + DAY)

    with pytest.raises(CommandError, match="1 orders may still be credited to its texts"):
        call_command("archive")

    assert SentLog.objects.filter(run=run).count() == 5


def test_a_receipt_for_an_archived_text_breaks_nothing(run: Run, sender: Sender) -> None:
    text = SentLog.objects.first()
    ProviderMessage.objects.create(provider_id="SM1", sender=sender, text_id=text.pk)
    archived()

    receipts.receive(sender, [Receipt("SM1", State.DELIVERED, "", text.pk, {})])
    receipts.match_waiting()

    assert WaitingReceipt.objects.get().provider_id == "SM1"


def test_an_erased_person_leaves_no_clicks(run: Run, people: list[Subscriber]) -> None:
    archived()

    erasure.erase(run.brand.workspace, people[0].phone, actor="a test", reason="asked")

    assert not KeptClicks.objects.filter(subscriber=people[0].pk).exists()
    assert KeptClicks.objects.filter(subscriber=people[1].pk).exists()


def test_shop_events_are_forgotten_after_their_days(brand: Brand, settings: Any) -> None:
    settings.KEEP_SHOP_EVENTS_DAYS = 10
    now = clock.now()
    for days in (11, 9, 0):
        CustomEvent.objects.create(
            brand=brand, event_key=bytes([days]), name=f"{days} days", happened_at=now,
            received_at=now - days * DAY,
        )  # fmt: skip

    assert forget_shop_events() == 1
    assert forget_shop_events() == 0

    assert set(CustomEvent.objects.values_list("name", flat=True)) == {"9 days", "0 days"}
