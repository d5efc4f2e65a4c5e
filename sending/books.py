"""Do the books balance? Every total from the rows, and the rows against each other.

Each check is one statement that finds the rows that are wrong; what it costs is a join of whole
tables, never memory of ours. All of them see one snapshot, so that an audit of a running
installation tells of no text that is only on its way.
"""

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from campaigns.models import Campaign
from campaigns.runs import whole_milliseconds
from sending import credits
from sending.archive_models import kept_since
from sending.differences import counted, sentence
from sending.facts import LOOK_BACK
from sending.identity import lower_bound
from sending.models import MAY_HAVE_ARRIVED
from sending.reconciliation import CarrierLog, Reconciliation
from subscribers import clock
from subscribers.models import Brand

# A departure whose lease ended so long ago has been forgotten by the reaper.
OVERDUE = dt.timedelta(seconds=60)
# The gate reads the clock before it writes `sent_at`, and waits for the day's row in between.
MIDNIGHT = dt.timedelta(seconds=60)
DAYS = dt.timedelta(days=31)  # of daily totals: older texts may be archived
EVER = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True, slots=True)
class Scope:
    """Which texts are looked at: all, or those of a campaign, of a brand, of a time."""

    campaign: Campaign | None = None
    brand: Brand | None = None
    since: dt.datetime | None = None  # by the time of the text's id: its run's start

    def of_what_is_kept(self) -> "Scope":
        """Without the months that are archived: their rows are gone, what counts them stays."""
        kept = kept_since()
        return replace(self, since=max(self.since or EVER, kept)) if kept else self

    @property
    def whole(self) -> bool:
        return self.campaign is None and self.brand is None

    @property
    def values(self) -> dict[str, object]:
        """What the conditions name. Ids are compared with constants: they prune the partitions."""
        brand_id = (
            self.campaign.brand_id if self.campaign else self.brand.pk if self.brand else None
        )
        return {
            "campaign": self.campaign.pk if self.campaign else None,
            "brand": brand_id,
            "first": self._first(),
            "since": whole_milliseconds(self.since or EVER),
        }

    def _first(self) -> UUID:
        bounds = [UUID(int=0)]
        if self.since:
            bounds.append(lower_bound(self.since))
        if self.campaign:
            start = self.campaign.runs.order_by("started_at").values_list("started_at", flat=True)
            bounds += [lower_bound(moment) for moment in start[:1]]
        return max(bounds)

    def of(self, alias: str, *, key: str = "id", campaign: bool = True) -> str:
        """The condition on a table's rows, by its alias."""
        parts = [f"{alias}.{key} >= %(first)s"] if key else []
        if not self.whole:
            parts.append(f"{alias}.brand_id = %(brand)s")
        if self.campaign and campaign:
            parts.append(f"{alias}.campaign_id = %(campaign)s")
        return " AND ".join(parts) or "true"


@dataclass(slots=True)
class Books:
    """The audit; the books balance when `differences` is empty."""

    texts: int = 0
    accepted: int | None = None  # lines of the carrier's log, where there is one
    twice: int = 0
    differences: list[str] = field(default_factory=list)


def audit(scope: Scope, carrier: CarrierLog | None = None) -> Books:
    """Compare the log with the queue, the departures, the counters and the carrier's own log.

    Differences are sentences with a number and some ids. Changes nothing, except that credits are
    settled first (`credits.differences`). Raises CarrierAway.
    """
    scope = scope.of_what_is_kept()
    books = Books()
    lists = Reconciliation(carrier) if carrier else None
    if lists:
        books.accepted = lists.read()
    with _snapshot() as cursor:
        cursor.execute(
            f"SELECT count(*) FROM sending_sentlog AS text WHERE {scope.of('text')}", scope.values
        )
        books.texts = cursor.fetchone()[0]
        books.differences += list(_rows_that_differ(cursor, scope))
        if scope.whole:
            books.differences += list(_days_that_differ(cursor, scope.since))
        if lists:
            condition = scope.of("text")
            lists.match(cursor)
            books.twice = lists.count_twice(cursor, condition, scope.values)
            books.differences += list(
                lists.differences(
                    cursor, condition, scope.values, since=scope.since, whole=scope.whole
                )
            )
    if lists:
        books.differences += list(lists.lost())
    if scope.whole:
        books.differences += credits.differences()
    return books


@contextmanager
def _snapshot() -> Iterator[Any]:
    """A transaction in which every statement sees the same moment."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        cursor.execute("SET LOCAL work_mem = '64MB'")
        yield cursor


def _rows_that_differ(cursor: Any, scope: Scope) -> Iterator[str]:
    conditions = {
        "texts": scope.of("text"),
        "queued": scope.of("queued"),
        "runs": scope.of("run", key=""),
        "departures": scope.of("departure", key="", campaign=False),
        "campaigns": _campaigns(scope),
        "messages": "message.text_id >= %(first)s"
        + ("" if scope.whole else " AND sender.brand_id = %(brand)s"),
    }
    values = scope.values | {
        "overdue": OVERDUE,
        "may_have_arrived": [str(state) for state in MAY_HAVE_ARRIVED],
    }
    for says, statement in CHECKS.items():
        cursor.execute(counted(statement.format(**conditions)), values)
        yield from sentence(says, cursor.fetchall())


def _campaigns(scope: Scope) -> str:
    """Of runs. The counters have no date: campaigns that are looked at as a whole are compared."""
    parts = ["true" if scope.brand is None else "run.brand_id = %(brand)s"]
    if scope.campaign:
        parts.append("run.campaign_id = %(campaign)s")
    return " AND ".join(parts)


def _days_that_differ(cursor: Any, since: dt.datetime | None) -> Iterator[str]:
    """The platform's counter of each whole day: a text counts on the day it was sent on, and so does
    one that was refused for good (it was handed over); within a minute of midnight on either day."""
    now = clock.now()
    start = max(since or EVER, now - DAYS)
    values = {"slack": MIDNIGHT, "start": start, "first": lower_bound(start - LOOK_BACK)}
    cursor.execute(_DAYS, values)
    for day, said, least, most in cursor.fetchall():
        by_rows = f"{least:,}" if least == most else f"{least:,} to {most:,}"
        yield f"{day} counts {said:,} texts as sent, its rows {by_rows}"


# What is wrong -> a statement that finds the ids of such rows.
CHECKS: dict[str, str] = {
    "runs have another number of texts than people": """
        SELECT format('run %%s (%%s people, %%s texts)', run.id, run.audience,
                      coalesce(counted.texts, 0)) AS id
        FROM campaigns_run AS run
        LEFT JOIN (SELECT text.run_id, count(*) AS texts FROM sending_sentlog AS text
                   WHERE {texts} AND text.run_id IS NOT NULL GROUP BY text.run_id)
             AS counted ON counted.run_id = run.id
        WHERE {runs} AND run.started_at >= %(since)s
          AND run.audience <> coalesce(counted.texts, 0)""",
    "totals of campaigns are not what their texts are": """
        WITH whole AS (
            SELECT run.campaign_id FROM campaigns_run AS run WHERE {campaigns} GROUP BY 1
            HAVING min(run.started_at) >= %(since)s
               AND (extract(epoch FROM min(run.started_at)) * 1000)::bigint >= (
                   SELECT ('x' || left(replace(id::text, '-', ''), 12))::bit(48)::bigint
                   FROM sending_sentlog ORDER BY id LIMIT 1)),
        said AS (
            SELECT campaign_id, state, reason, sum(texts) AS texts FROM sending_campaigncount
            WHERE campaign_id IN (SELECT campaign_id FROM whole) GROUP BY 1, 2, 3),
        had AS (
            SELECT text.campaign_id, text.state, text.reason, count(*) AS texts
            FROM sending_sentlog AS text
            WHERE {texts} AND text.run_id IS NOT NULL
              AND text.campaign_id IN (SELECT campaign_id FROM whole) GROUP BY 1, 2, 3)
        SELECT format('campaign %%s %%s %%s (%%s counted, %%s texts)', campaign_id, state, reason,
                      coalesce(said.texts, 0), coalesce(had.texts, 0)) AS id
        FROM said FULL JOIN had USING (campaign_id, state, reason)
        WHERE coalesce(said.texts, 0) <> coalesce(had.texts, 0)""",
    "texts belong to a run that does not exist": """
        SELECT text.id FROM sending_sentlog AS text
        WHERE {texts} AND text.run_id IS NOT NULL
          AND NOT EXISTS (SELECT FROM campaigns_run AS run WHERE run.id = text.run_id)""",
    "texts have another time in their id than their run": """
        SELECT text.id FROM sending_sentlog AS text JOIN campaigns_run AS run ON run.id = text.run_id
        WHERE {texts} AND left(replace(text.id::text, '-', ''), 12)
              <> lpad(to_hex((extract(epoch FROM run.started_at) * 1000)::bigint), 12, '0')""",
    "people are in one run more than once": """
        SELECT format('person %%s in run %%s', text.subscriber_id, text.run_id) AS id
        FROM sending_sentlog AS text
        WHERE {texts} AND text.run_id IS NOT NULL AND text.subscriber_id IS NOT NULL
        GROUP BY text.run_id, text.subscriber_id HAVING count(*) > 1""",
    "planned texts are not in the queue": """
        SELECT text.id FROM sending_sentlog AS text
        WHERE {texts} AND text.state = 'planned'
          AND NOT EXISTS (SELECT FROM sending_queuedtext AS queued WHERE queued.id = text.id)""",
    "queued texts are not in the log": """
        SELECT queued.id FROM sending_queuedtext AS queued
        WHERE {queued}
          AND NOT EXISTS (SELECT FROM sending_sentlog AS text WHERE text.id = queued.id)""",
    "queued texts are not planned any more": """
        SELECT text.id FROM sending_sentlog AS text
        JOIN sending_queuedtext AS queued ON queued.id = text.id
        WHERE {texts} AND text.state <> 'planned'""",
    "queued texts are of another brand, campaign or person in the log": """
        SELECT text.id FROM sending_sentlog AS text
        JOIN sending_queuedtext AS queued ON queued.id = text.id
        WHERE {texts} AND (text.brand_id, text.campaign_id, text.subscriber_id)
              IS DISTINCT FROM (queued.brand_id, queued.campaign_id, queued.subscriber_id)""",
    "texts are being sent without a departure": """
        SELECT text.id FROM sending_sentlog AS text
        WHERE {texts} AND text.state = 'sending'
          AND NOT EXISTS (SELECT FROM sending_departure AS departure
              WHERE departure.token = text.lease_token AND text.id = ANY(departure.texts))""",
    "departures have nothing on its way": """
        SELECT departure.token AS id FROM sending_departure AS departure
        WHERE {departures} AND cardinality(departure.texts) > 0
          AND NOT EXISTS (SELECT FROM sending_sentlog AS text
              WHERE text.id = ANY(departure.texts) AND text.lease_token = departure.token
                AND text.state = ANY(%(may_have_arrived)s))""",
    "departures outlived their lease: is the ticker running?": """
        SELECT departure.token AS id FROM sending_departure AS departure
        WHERE {departures} AND departure.expires_at < now() - %(overdue)s""",
    "texts may have arrived and have no time of sending": """
        SELECT text.id FROM sending_sentlog AS text
        WHERE {texts} AND text.state = ANY(%(may_have_arrived)s) AND text.sent_at IS NULL""",
    "texts were not sent and have a time of sending": """
        SELECT text.id FROM sending_sentlog AS text
        WHERE {texts} AND text.state <> ALL(%(may_have_arrived)s) AND text.sent_at IS NOT NULL""",
    "texts have a provider's id that finds no text, or another": """
        SELECT text.id FROM sending_sentlog AS text
        WHERE {texts} AND text.provider_message_id <> ''
          AND NOT EXISTS (SELECT FROM sending_providermessage AS message
              WHERE message.provider_id = text.provider_message_id
                AND message.sender_id = text.sender_id AND message.text_id = text.id)""",
    "provider's ids name a text that has another, or none": """
        SELECT message.provider_id AS id FROM sending_providermessage AS message
        JOIN sending_sender AS sender ON sender.id = message.sender_id
        WHERE {messages}
          AND message.text_id >= (SELECT id FROM sending_sentlog ORDER BY id LIMIT 1)
          AND NOT EXISTS (SELECT FROM sending_sentlog AS text
              WHERE text.id = message.text_id AND text.sender_id = message.sender_id
                AND text.provider_message_id = message.provider_id)""",
}

_DAYS = """
    WITH moments AS (
        SELECT ((moment - %(slack)s) AT TIME ZONE 'UTC')::date AS earliest,
               ((moment + %(slack)s) AT TIME ZONE 'UTC')::date AS latest, sent
        FROM (SELECT coalesce(text.sent_at, text.changed_at) AS moment,
                     text.sent_at IS NOT NULL AS sent
              FROM sending_sentlog AS text
              WHERE text.id >= %(first)s AND (text.sent_at IS NOT NULL OR text.state = 'failed'))
             AS handed_over),
    by_rows AS (
        SELECT day, count(*) FILTER (WHERE sure) AS least, count(*) AS most
        FROM (SELECT earliest AS day, sent AND earliest = latest AS sure FROM moments
              UNION ALL SELECT latest, false FROM moments WHERE earliest <> latest) AS either
        GROUP BY day)
    SELECT day, coalesce(total.sent, 0), coalesce(least, 0), coalesce(most, 0)
    FROM sending_dailytotal AS total FULL JOIN by_rows USING (day)
    WHERE coalesce(total.sent, 0) NOT BETWEEN coalesce(least, 0) AND coalesce(most, 0)
      AND day > (%(start)s AT TIME ZONE 'UTC')::date
    ORDER BY day"""
