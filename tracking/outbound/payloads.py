"""What is posted: the facts of an event, and of its person what its source says at this moment.

Phone numbers and replies are never copied into an event: they are read when it is told, a few queries
for a batch. What was erased is told as null, also where an earlier attempt still told it.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sending.models import SentLog
from subscribers.erasure import PLACEHOLDER
from subscribers.models import ConsentEvent, Suppression
from tracking.happened import share_of
from tracking.models import Attribution, Purchase, Refund, Reply
from tracking.outbound.models import EventType, OutboundEvent, WebhookEndpoint

LONGEST_REPLY = 4000


@dataclass(frozen=True, slots=True)
class Payload:
    """One event as it is told. `body` is JSON; the same event has the same webhook-id each time."""

    webhook_id: str
    body: bytes


def webhook_id(event: OutboundEvent) -> str:
    return f"msg_{event.uid.hex}"


def build(event_ids: Iterable[int]) -> dict[int, Payload]:
    """The payloads of events, by the events' ids."""
    events = list(
        OutboundEvent.objects.filter(pk__in=set(event_ids)).select_related("brand", "subscriber")
    )
    personal = _replies(events) | _consents(events) | _texts(events) | _orders(events)
    return {event.pk: _payload(event, personal.get(event.pk, {})) for event in events}


def _payload(event: OutboundEvent, personal: dict[str, Any]) -> Payload:
    data: dict[str, Any] = {"brand": event.brand.slug if event.brand else None}
    if event.type != EventType.CAMPAIGN_COMPLETED:
        data["subscriber"] = event.subscriber_id
        data["phone"] = _phone_of(event)
    told = {
        "type": event.type,
        "timestamp": event.occurred_at.isoformat().replace("+00:00", "Z"),
        "data": {**data, **event.facts, **personal},
    }
    return Payload(webhook_id(event), json.dumps(told, ensure_ascii=False).encode())


def _phone_of(event: OutboundEvent) -> str | None:
    phone = event.subscriber.phone if event.subscriber else ""
    return phone if phone and not phone.startswith(PLACEHOLDER) else None


def _of(events: Sequence[OutboundEvent], *types: str) -> list[OutboundEvent]:
    return [event for event in events if event.type in types and not event.facts.get("example")]


def _replies(events: Sequence[OutboundEvent]) -> dict[int, dict[str, Any]]:
    """Number and words of replies, also of numbers without a subscriber."""
    ours = _of(events, EventType.REPLY)
    found = Reply.objects.in_bulk([int(event.source) for event in ours])
    told = {}
    for event in ours:
        reply = found.get(int(event.source))
        phone, body = (reply.phone, reply.body) if reply else ("", "")
        told[event.pk] = {"phone": phone or None, "body": body[:LONGEST_REPLY] if phone else None}
    return told


def _consents(events: Sequence[OutboundEvent]) -> dict[int, dict[str, Any]]:
    """Numbers without a subscriber that opted out: what stands for them is a suppression."""
    ours = [one for one in _of(events, EventType.OPTED_OUT) if one.subscriber_id is None]
    consents = ConsentEvent.objects.in_bulk([int(event.source) for event in ours])
    hashes = {bytes(one.phone_hash) for one in consents.values()}
    kept = Suppression.objects.filter(phone_hash__in=hashes).exclude(phone="")
    phones = {
        (workspace, bytes(hashed)): phone
        for workspace, hashed, phone in kept.values_list("workspace_id", "phone_hash", "phone")
    }
    told = {}
    for event in ours:
        consent = consents.get(int(event.source))
        key = (event.workspace_id, bytes(consent.phone_hash)) if consent else None
        told[event.pk] = {"phone": phones.get(key) if key else None}
    return told


def _texts(events: Sequence[OutboundEvent]) -> dict[int, dict[str, Any]]:
    """Numbers of texts: the number that was texted, whatever the person's is by now."""
    types = (EventType.TEXT_DELIVERED, EventType.TEXT_UNDELIVERED, EventType.TEXT_FAILED)
    ours = _of(events, *types, EventType.CLICK)
    ids = [event.text_id for event in ours if event.text_id]
    phones = dict(SentLog.objects.filter(pk__in=ids).values_list("pk", "phone"))
    return {event.pk: {"phone": phones.get(event.text_id) or None} for event in ours}


def _orders(events: Sequence[OutboundEvent]) -> dict[int, dict[str, Any]]:
    """Purchases and refunds as they are now: whose they are, their numbers at the shop, who is credited."""
    ours = _of(events, EventType.PURCHASE, EventType.REFUND)
    found = Purchase.objects.select_related("subscriber").in_bulk(
        {event.facts["purchase"] for event in ours}
    )
    refunds = Refund.objects.in_bulk([int(one.source) for one in _of(ours, EventType.REFUND)])
    credited: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for share in Attribution.objects.filter(purchase__in=found).order_by("-amount", "pk"):
        credited[share.purchase_id].append(share_of(share))
    told = {}
    for event in ours:
        order = found.get(event.facts["purchase"])
        if order is None:
            continue
        event.subscriber = order.subscriber  # who may have been found since
        told[event.pk] = {
            "subscriber": order.subscriber_id,
            "phone": _phone_of(event),
            "orderId": order.order_id or None,
            "matchedBy": order.matched_by,
            "credited": credited[order.pk],
        }
        if event.type == EventType.REFUND:
            refund = refunds.get(int(event.source))
            told[event.pk] |= {
                "refundId": refund.refund_id or None if refund else None,
                "refunded": str(order.refunded),
            }
    return told


# What a test posts: made up, with ids that belong to nothing. 555-0100 numbers are for fiction.
_PERSON = {"subscriber": 0, "phone": "+12025550100"}
_TEXT: dict[str, Any] = {
    "text": "00000000-0000-8000-8000-000000000000",
    "campaign": 0,
    "message": 0,
    "purpose": "campaign",
    "reason": "",
    "errorCode": "",
    "segments": 1,
    "sentAt": "2026-01-01T12:00:00+00:00",
}
_ORDER: dict[str, Any] = {
    "purchase": 0,
    "orderId": "1001",
    "currency": "USD",
    "matchedBy": "click",
    "credited": [
        {
            "text": _TEXT["text"],
            "campaign": 0,
            "message": 0,
            "touch": "click",
            "amount": "59.90",
        }
    ],
}
EXAMPLES: dict[str, dict[str, Any]] = {
    EventType.TEXT_DELIVERED: {**_PERSON, **_TEXT, "state": "delivered"},
    EventType.TEXT_UNDELIVERED: {**_PERSON, **_TEXT, "state": "undelivered", "errorCode": "30003"},
    EventType.TEXT_FAILED: {**_PERSON, **_TEXT, "state": "failed", "sentAt": None},
    EventType.OPTED_OUT: {**_PERSON, "consent": 0, "source": "keyword", "scope": "brand"},
    EventType.OPTED_IN: {**_PERSON, "subscription": 0},
    EventType.REPLY: {
        **_PERSON,
        "reply": 0,
        "meaning": "other",
        "campaign": 0,
        "text": _TEXT["text"],
        "body": "Thanks!",
    },
    EventType.CLICK: {
        **_PERSON,
        "click": _TEXT["text"],
        "text": _TEXT["text"],
        "link": 0,
        "message": 0,
        "campaign": 0,
        "url": "https://example.com/sale",
    },
    EventType.PURCHASE: {**_PERSON, **_ORDER, "amount": "59.90", "orderedAt": _TEXT["sentAt"]},
    EventType.REFUND: {
        **_PERSON,
        **_ORDER,
        "refund": 0,
        "refundId": "R-1",
        "amount": "9.90",
        "refunded": "9.90",
        "refundedAt": _TEXT["sentAt"],
    },
    EventType.CAMPAIGN_COMPLETED: {"campaign": 0, "name": "Spring sale", "kind": "broadcast"},
}


def example(endpoint: WebhookEndpoint, kind: str) -> OutboundEvent:
    """An event that never happened, marked so, for trying out an endpoint. Not saved."""
    return OutboundEvent(
        workspace_id=endpoint.workspace_id,
        brand_id=endpoint.brand_id,
        type=kind,
        source="example",
        facts={"example": True, **EXAMPLES[kind]},
        spread=True,
    )
