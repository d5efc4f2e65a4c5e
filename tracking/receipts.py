"""Delivery receipts: each one kept once, each text moved forward, whatever the order of arrival."""

import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from django.db import connection, transaction

from sending import outcomes, refusals
from sending.identity import identify, moment_of
from sending.models import ProviderMessage, Sender, SentLog, State
from subscribers import clock
from tracking.attribution import SETTLED_AFTER
from tracking.models import WaitingReceipt
from tracking.webhooks.base import Receipt

# Receipts of texts that never appear are given up after this.
KEEP_WAITING = dt.timedelta(days=7)
LONGEST_ID = 64


@dataclass(frozen=True, slots=True)
class _Matched:
    text_id: UUID
    receipt: Receipt


@transaction.atomic
def receive(sender: Sender, told: Sequence[Receipt]) -> None:
    """Apply a sender's receipts; those of texts that are not known wait for them."""
    # An id is kept as long as the log keeps it, so that both are found by the same words.
    told = [replace(receipt, provider_id=receipt.provider_id[:LONGEST_ID]) for receipt in told]
    matched, waiting = _match(sender, told)
    _apply(sender, matched)
    WaitingReceipt.objects.bulk_create(
        [
            WaitingReceipt(
                sender=sender,
                provider_id=receipt.provider_id,
                state=receipt.state,
                code=receipt.code[:20],
                raw=receipt.raw,
            )
            for receipt in waiting
            if receipt.state
        ],
        ignore_conflicts=True,
    )


def match_waiting(at_most: int = 2000) -> int:
    """Apply receipts that came before their text was on record (the ticker's job)."""
    WaitingReceipt.objects.filter(received_at__lt=clock.now() - KEEP_WAITING).delete()
    with connection.cursor() as cursor:
        cursor.execute(_SENDERS_WITH_MATCHES)
        senders = [row[0] for row in cursor.fetchall()]
    return sum(_match_for(sender, at_most) for sender in Sender.objects.filter(pk__in=senders))


@transaction.atomic
def _match_for(sender: Sender, at_most: int) -> int:
    rows = list(
        WaitingReceipt.objects.select_for_update(skip_locked=True)
        .filter(sender=sender)
        .filter(
            provider_id__in=ProviderMessage.objects.filter(sender=sender).values("provider_id")
        )[:at_most]
    )
    told = [Receipt(row.provider_id, row.state, row.code, None, row.raw) for row in rows]
    matched, _ = _match(sender, told)
    _apply(sender, matched)
    found = {one.receipt.provider_id for one in matched}
    WaitingReceipt.objects.filter(
        pk__in=[row.pk for row in rows if row.provider_id in found]
    ).delete()
    return len(matched)


def _match(sender: Sender, told: Sequence[Receipt]) -> tuple[list[_Matched], list[Receipt]]:
    """Find each receipt's text among the brand's own; another brand's is as good as unknown."""
    known = dict(
        ProviderMessage.objects.filter(
            sender__brand_id=sender.brand_id,
            sender=sender,
            provider_id__in=[receipt.provider_id for receipt in told],
        ).values_list("provider_id", "text_id")
    )
    references = [receipt.text_id for receipt in told if receipt.text_id]
    own = set(
        SentLog.objects.filter(id__in=references, brand_id=sender.brand_id).values_list(
            "id", flat=True
        )
    )
    matched, waiting = [], []
    for receipt in told:
        text_id = receipt.text_id if receipt.text_id in own else known.get(receipt.provider_id)
        if text_id:
            matched.append(_Matched(text_id, receipt))
        else:
            waiting.append(receipt)
    return matched, waiting


def _apply(sender: Sender, matched: Sequence[_Matched]) -> None:
    if not matched:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            _INSERT_EVENTS,
            {
                "ids": [_event_id(sender, one) for one in matched],
                "texts": [one.text_id for one in matched],
                "names": [one.receipt.state or "other" for one in matched],
                "codes": [one.receipt.code[:20] for one in matched],
                "raws": [json.dumps(one.receipt.raw) for one in matched],
                "brand": sender.brand_id,
            },
        )
        new = {row[0] for row in cursor.fetchall()}
    bad = {
        _event_id(sender, one): (one.text_id, one.receipt.code)
        for one in matched
        if one.receipt.state == State.UNDELIVERED
    }
    told = [bad[event] for event in bad.keys() & new]
    if told:
        refusals.heed_receipts(sender, told)
    outcomes.receive(
        [(one.text_id, one.receipt.state, one.receipt.code) for one in matched if one.receipt.state]
    )
    _touch_buyers([one.text_id for one in matched if one.receipt.state == State.DELIVERED])


def _touch_buyers(delivered: Sequence[UUID]) -> None:
    """A text that is told to have arrived may have led to an order that came before its receipt."""
    if delivered:
        with connection.cursor() as cursor:
            cursor.execute(_TOUCH_BUYERS, [list(delivered), SETTLED_AFTER])


def _event_id(sender: Sender, one: _Matched) -> UUID:
    """The same receipt told twice has the same id; its time is that of its text."""
    status = one.receipt.state or json.dumps(one.receipt.raw, sort_keys=True)
    return identify(
        moment_of(one.text_id), "receipt", sender.gateway, one.receipt.provider_id, status
    )


_SENDERS_WITH_MATCHES = """
    SELECT DISTINCT waiting.sender_id FROM tracking_waitingreceipt AS waiting
    JOIN sending_providermessage AS known USING (provider_id, sender_id)"""

_TOUCH_BUYERS = """
    INSERT INTO tracking_touchedperson (subscriber_id)
    SELECT DISTINCT text.subscriber_id FROM sending_sentlog AS text
    JOIN tracking_purchase AS purchase ON purchase.subscriber_id = text.subscriber_id
    WHERE text.id = ANY(%s) AND purchase.received_at > clock_timestamp() - %s"""

# What a provider tells of somebody who was erased is not kept.
_INSERT_EVENTS = """
    INSERT INTO tracking_trackingevent (id, brand_id, text_id, kind, name, code, raw, subscriber_id)
    SELECT given.id, %(brand)s, given.text_id, 'receipt', given.name, given.code,
           CASE WHEN text.phone = '' THEN '{}' ELSE given.raw END, text.subscriber_id
    FROM unnest(%(ids)s::uuid[], %(texts)s::uuid[], %(names)s::text[], %(codes)s::text[],
                %(raws)s::jsonb[]) AS given(id, text_id, name, code, raw)
    LEFT JOIN sending_sentlog AS text ON text.id = given.text_id AND text.id = ANY(%(texts)s)
    ON CONFLICT (id) DO NOTHING RETURNING id"""
