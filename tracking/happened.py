"""What happened to brands' people, of every kind, in one order: clicks, replies, and what shops told.

A page is found by one statement, which looks at the newest rows of each kind of each brand, by
indexes; what it shows of them by one more for each kind. Both cost what the page holds.
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.db import connection

from campaigns.models import Campaign
from sending.identity import lower_bound
from sending.models import SentLog
from tracking.models import Attribution, CustomEvent, Purchase, Refund, Reply, TrackingEvent


class Kind(StrEnum):
    """What happened."""

    CLICK = "click"
    REPLY = "reply"
    PURCHASE = "purchase"
    REFUND = "refund"
    CUSTOM = "custom"


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """The place of an event in the list: by when it was recorded, then kind, then its row's id."""

    recorded_at: dt.datetime
    kind: str
    id: str  # a UUID of a click, else a number


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events: of these brands (ids), recorded from `since` to before `until`."""

    brands: Sequence[int]
    since: dt.datetime
    until: dt.datetime | None = None
    kinds: frozenset[Kind] = frozenset(Kind)
    campaign: Campaign | None = None
    subscriber: int | None = None


@dataclass(frozen=True, slots=True)
class Happened:
    """One event. `at` is when it happened, `data` what only its kind has."""

    position: Position
    brand: str
    at: dt.datetime
    subscriber: int | None
    text: UUID | None
    campaign: int | None
    message: int | None
    data: dict[str, Any]


def page(wanted: Wanted, *, after: Position | None, most: int) -> list[Happened]:
    """At most so many events that come after a position, the one that was recorded last first."""
    kinds = [kind for kind in Kind if kind in wanted.kinds]
    if not wanted.brands or not kinds:
        return []
    values: dict[str, Any] = {
        "brands": list(wanted.brands),
        "since": wanted.since,
        "until": wanted.until,
        "subscriber": wanted.subscriber,
        "campaign": wanted.campaign.pk if wanted.campaign else None,
        "first_id": lower_bound(_first_moment(wanted)),
        "most": most,
        "after_at": after.recorded_at if after else None,
        "after_id": after.id if after else None,
    }
    branches = [f"({_BRANCHES[kind].format(more=_more(kind, wanted, after))})" for kind in kinds]
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT recorded_at, kind, id FROM ({' UNION ALL '.join(branches)}) AS happened"
            ' ORDER BY recorded_at DESC, kind COLLATE "C" DESC, number DESC, id COLLATE "C" DESC'
            " LIMIT %(most)s",
            values,
        )
        found = [Position(*row) for row in cursor.fetchall()]
    return _shown(found)


def _first_moment(wanted: Wanted) -> dt.datetime:
    """No text of a campaign is older than its launch, nor is what names it."""
    launched = wanted.campaign.launched_at if wanted.campaign else None
    return launched or dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def _more(kind: Kind, wanted: Wanted, after: Position | None) -> str:
    """The conditions of a branch, on its rows by the alias `row`."""
    parts = ["row.received_at >= %(since)s"]
    if wanted.until:
        parts.append("row.received_at < %(until)s")
    if wanted.subscriber is not None:
        owner = "purchase" if kind == Kind.REFUND else "row"
        parts.append(f"{owner}.subscriber_id = %(subscriber)s")
    if wanted.campaign:
        parts.append(_OF_CAMPAIGN[kind])
    if after:
        if kind == after.kind:
            cast = "uuid" if kind == Kind.CLICK else "bigint"
            parts.append(f"(row.received_at, row.id) < (%(after_at)s, %(after_id)s::{cast})")
        else:
            sign = "<=" if kind < after.kind else "<"
            parts.append(f"row.received_at {sign} %(after_at)s")
    return " AND ".join(parts)


def _shown(found: Sequence[Position]) -> list[Happened]:
    """The events at these positions, as they are now; one that is gone meanwhile is left out."""
    ids: dict[str, list[str]] = defaultdict(list)
    for one in found:
        ids[one.kind].append(one.id)
    rows: dict[tuple[str, str], Any] = {}
    credited: dict[int, list[Attribution]] = defaultdict(list)
    texts: dict[UUID, SentLog] = {}
    for kind, some in ids.items():
        model, with_brand = _MODELS[Kind(kind)]
        for row in model.objects.filter(pk__in=some).select_related(with_brand):
            rows[kind, str(row.pk)] = row
    clicked = [row.text_id for (kind, _), row in rows.items() if kind == Kind.CLICK]
    if clicked:
        own = SentLog.objects.filter(pk__in=clicked)
        texts = {text.pk: text for text in own.only("campaign_id", "message_id")}
    bought = [row.pk for (kind, _), row in rows.items() if kind == Kind.PURCHASE]
    if bought:
        for share in Attribution.objects.filter(purchase__in=bought).order_by("-amount", "pk"):
            credited[share.purchase_id].append(share)
    return [
        _SHOW[Kind(one.kind)](one, rows[one.kind, one.id], texts, credited)
        for one in found
        if (one.kind, one.id) in rows
    ]


type _Texts = Mapping[UUID, SentLog]
type _Credited = Mapping[int, list[Attribution]]


def _click(one: Position, row: TrackingEvent, texts: _Texts, _: _Credited) -> Happened:
    text = texts.get(row.text_id) if row.text_id else None
    of = (text.campaign_id, text.message_id) if text else (None, None)
    data = {"link": row.raw.get("link"), "machine": row.name != "click"}
    return Happened(one, row.brand.slug, row.received_at, row.subscriber_id, row.text_id, *of, data)


def _reply(one: Position, row: Reply, *_: object) -> Happened:
    data = {"reply": row.pk, "meaning": row.meaning, "body": row.body}
    return Happened(
        one, row.brand.slug, row.received_at, row.subscriber_id, row.text_id,
        row.campaign_id, None, data,
    )  # fmt: skip


def _purchase(one: Position, row: Purchase, _: _Texts, credited: _Credited) -> Happened:
    shares = credited.get(row.pk, [])
    data = {
        "purchase": row.pk,
        "orderId": row.order_id,
        "amount": str(row.amount),
        "refunded": str(row.refunded),
        "currency": row.currency,
        "matchedBy": row.matched_by,
        "credited": [share_of(share) for share in shares],
    }
    first = shares[0] if shares else None
    of = (first.text_id, first.campaign_id, first.message_id) if first else (None, None, None)
    return Happened(one, row.brand.slug, row.ordered_at, row.subscriber_id, *of, data)


def share_of(share: Attribution) -> dict[str, Any]:
    """A text's share of an order, as integrators are told it."""
    return {
        "text": str(share.text_id) if share.text_id else None,
        "campaign": share.campaign_id,
        "message": share.message_id,
        "touch": share.touch,
        "amount": str(share.amount),
    }


def _refund(one: Position, row: Refund, *_: object) -> Happened:
    order = row.purchase
    data = {
        "purchase": order.pk,
        "orderId": order.order_id,
        "refundId": row.refund_id,
        "amount": str(row.amount),
        "currency": order.currency,
    }
    return Happened(
        one, order.brand.slug, row.refunded_at, order.subscriber_id, None, None, None, data
    )


def _custom(one: Position, row: CustomEvent, *_: object) -> Happened:
    data = {
        "eventId": row.event_id,
        "name": row.name,
        "properties": row.properties,
        "matchedBy": row.matched_by,
    }
    return Happened(one, row.brand.slug, row.happened_at, row.subscriber_id, None, None, None, data)


_SHOW: dict[Kind, Callable[..., Happened]] = {
    Kind.CLICK: _click,
    Kind.REPLY: _reply,
    Kind.PURCHASE: _purchase,
    Kind.REFUND: _refund,
    Kind.CUSTOM: _custom,
}
_MODELS: dict[Kind, tuple[Any, str]] = {
    Kind.CLICK: (TrackingEvent, "brand"),
    Kind.REPLY: (Reply, "brand"),
    Kind.PURCHASE: (Purchase, "brand"),
    Kind.REFUND: (Refund, "purchase__brand"),
    Kind.CUSTOM: (CustomEvent, "brand"),
}

# The newest of each brand, so that an index answers in order however many brands there are.
_NEWEST = """
    SELECT row.received_at AS recorded_at, '{kind}' AS kind, row.id::text AS id, {number} AS number
    FROM unnest(%(brands)s::bigint[]) AS own(id) CROSS JOIN LATERAL (
        SELECT row.id, row.received_at FROM {table} AS row
        WHERE row.brand_id = own.id AND {{more}}
        ORDER BY row.received_at DESC, row.id DESC LIMIT %(most)s) AS row"""
_BRANCHES = {
    Kind.CLICK: _NEWEST.format(kind="click", number="0", table="tracking_trackingevent").replace(
        "{more}", "row.kind = 'click' AND {more}"
    ),
    Kind.REPLY: _NEWEST.format(kind="reply", number="row.id", table="tracking_reply"),
    Kind.PURCHASE: _NEWEST.format(kind="purchase", number="row.id", table="tracking_purchase"),
    Kind.CUSTOM: _NEWEST.format(kind="custom", number="row.id", table="tracking_customevent"),
    # Refunds are few and name no brand: the newest of all, as far as the time goes.
    Kind.REFUND: """
    SELECT row.received_at AS recorded_at, 'refund' AS kind, row.id::text AS id, row.id AS number
    FROM tracking_refund AS row JOIN tracking_purchase AS purchase ON purchase.id = row.purchase_id
    WHERE purchase.brand_id = ANY(%(brands)s) AND {more}
    ORDER BY row.received_at DESC, row.id DESC LIMIT %(most)s""",
}
_CREDITED = """EXISTS (SELECT FROM tracking_attribution AS share
    WHERE share.purchase_id = row.{key} AND share.campaign_id = %(campaign)s)"""
_OF_CAMPAIGN = {
    Kind.CLICK: """row.id >= %(first_id)s AND EXISTS (SELECT FROM sending_sentlog AS text
        WHERE text.id = row.text_id AND text.campaign_id = %(campaign)s)""",
    Kind.REPLY: "row.campaign_id = %(campaign)s",
    Kind.PURCHASE: _CREDITED.format(key="id"),
    Kind.REFUND: _CREDITED.format(key="purchase_id"),
    Kind.CUSTOM: "false",
}
