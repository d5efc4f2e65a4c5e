"""Months long ago for the tests of the archive: their partitions, runs and texts."""

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Any

from django.db import connection

from campaigns.models import Campaign, Message, Run
from sending import partitions
from sending.identity import identify
from sending.models import SentLog, State
from subscribers.models import Brand, Subscriber

OLD = dt.datetime(2021, 5, 1, tzinfo=dt.UTC)
NEXT = dt.datetime(2021, 6, 1, tzinfo=dt.UTC)
TABLES = ("sending_sentlog", "tracking_trackingevent")


def make_months(*months: dt.datetime) -> None:
    for table in TABLES:
        for month in months:
            partitions.ensure_month(table, month)


def drop_months(*months: dt.datetime) -> None:
    with connection.cursor() as cursor:
        for table in TABLES:
            for month in months:
                cursor.execute(f'DROP TABLE IF EXISTS "{partitions.name_of(table, month)}"')
    Run.objects.filter(started_at__lt=max(months) + dt.timedelta(days=31)).update(audience=0)


def months() -> list[str]:
    """The months that are in the database, and old."""
    found = {month for table in TABLES for month in partitions.months_of(table)}
    return [f"{month:%Y-%m}" for month in sorted(found) if month.year < 2025]


def make_run(brand: Brand, at: dt.datetime, **fields: Any) -> Run:
    """A finished run of a new campaign with two messages, which is over."""
    values = {"name": "Old sale", "status": Campaign.Status.COMPLETED, "launched_at": at} | fields
    campaign = Campaign.objects.create(brand=brand, **values)
    for words in ("A", "B"):
        Message.objects.create(campaign=campaign, body=words)
    return Run.objects.create(
        campaign=campaign, brand=brand, started_at=at, planned_at=at, finished_at=at
    )


def make_texts(
    run: Run, people: Iterable[Subscriber], states: Sequence[str] = (State.DELIVERED,)
) -> list[SentLog]:
    """A text for each of the people, of the run's messages in turn and in these states in turn."""
    messages = list(run.campaign.messages.order_by("pk"))
    hour = dt.timedelta(hours=1)
    texts = SentLog.objects.bulk_create(
        SentLog(
            id=identify(run.started_at, "campaign", run.pk, person.pk),
            brand_id=run.brand_id,
            campaign_id=run.campaign_id,
            run=run,
            message=messages[place % len(messages)],
            subscriber=person,
            purpose="campaign",
            phone=person.phone,
            body="Hello, this is private",
            segments=1,
            state=states[place % len(states)],
            expires_at=run.started_at + hour,
            sent_at=run.started_at + hour if states[place % len(states)] in _SENT else None,
            changed_at=run.started_at + 2 * hour,
        )
        for place, person in enumerate(people)
    )
    Run.objects.filter(pk=run.pk).update(audience=len(texts))
    return texts


_SENT = (State.DELIVERED, State.SENT, State.UNKNOWN, State.UNDELIVERED, State.SENDING)
