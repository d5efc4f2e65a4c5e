"""Orders, texts and clicks for the tests of purchases."""

import datetime as dt
import uuid
from decimal import Decimal
from typing import Any

from campaigns.models import Campaign, Message
from sending.identity import identify
from sending.models import SentLog, State
from subscribers import clock
from subscribers.models import Brand, Subscriber
from tracking import activity, attribution, purchases
from tracking.matching import Clue
from tracking.models import Attribution, Purchase, TouchedPerson, TrackingEvent
from tracking.purchases import Answer, Event, Kind

NOON = dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
DAY = dt.timedelta(days=1)


def campaign_of(brand: Brand, **fields: Any) -> Campaign:
    campaign = Campaign.objects.create(brand=brand, name="Sale", launched_at=NOON - DAY, **fields)
    Message.objects.create(campaign=campaign, body="Hello")
    return campaign


def text_to(
    person: Subscriber,
    campaign: Campaign,
    *,
    sent: dt.datetime,
    delivered: dt.datetime | None = None,
    **fields: Any,
) -> SentLog:
    """A text of a campaign that was sent then, and delivered where that is said."""
    values = {"purpose": "campaign", "phone": person.phone, "body": "Hello", "segments": 1} | fields
    return SentLog.objects.create(
        id=identify(sent, "test", uuid.uuid4()),
        brand=campaign.brand,
        campaign=campaign,
        message=campaign.messages.get(),
        subscriber=person,
        state=State.DELIVERED if delivered else State.SENT,
        sent_at=sent,
        changed_at=delivered or sent,
        expires_at=sent + DAY,
        **values,
    )


def click(text: SentLog, at: dt.datetime, name: str = "click") -> TrackingEvent:
    """A visit of the text's link, recorded as `clicks.record` does."""
    event = TrackingEvent.objects.create(
        id=identify(text.sent_at or at, "click", text.id, at, name),
        brand_id=text.brand_id,
        subscriber_id=text.subscriber_id,
        text_id=text.id,
        kind="click",
        name=name,
        received_at=at,
    )
    if text.subscriber_id:
        TouchedPerson.objects.create(subscriber_id=text.subscriber_id)
    return event


def order(
    brand: Brand, order_id: str = "1001", *, at: dt.datetime = NOON, amount: str = "50", **more: Any
) -> Event:
    clue = Clue(brand.pk, **{name: more.pop(name) for name in _CLUES & more.keys()})
    return Event(brand, Kind.PURCHASE, order_id, at, clue, Decimal(amount), **more)


def refund(brand: Brand, order_id: str = "1001", refund_id: str = "R1", *, amount: str) -> Event:
    back = Decimal(amount)
    return Event(
        brand, Kind.REFUND, order_id, NOON + DAY, Clue(brand.pk), back, refund_id=refund_id
    )


_CLUES = {"click_id", "phone", "email", "keyword"}


def record(*events: Event) -> list[Answer]:
    return purchases.record(events, now=clock.now())


def code(answer: Answer) -> str:
    """Why an event was refused; empty where it was not."""
    return answer.problem[1] if answer.problem else ""


def settle() -> None:
    """What the ticker does after events: count people, then credit what is due."""
    activity.count_touched()
    attribution.attribute_due()


def shares(purchase: Purchase | None = None) -> dict[uuid.UUID | None, Decimal]:
    rows = Attribution.objects.filter(purchase=purchase or Purchase.objects.get())
    return dict(rows.values_list("text_id", "amount"))
