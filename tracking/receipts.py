"""Delivery receipts: each one kept once, each text moved forward, whatever the order of arrival."""

import datetime as dt
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from uuid import UUID

from django.db import connection, transaction

from sending import arrays, outcomes, refusals
from sending.identity import identify, moment_of
from sending.models import Sender, SentLog, State
from subscribers import clock
from tracking.attribution import SETTLED_AFTER
from tracking.models import WaitingReceipt
from tracking.webhooks.base import Receipt

# Receipts of texts that never appear are given up after this.
KEEP_WAITING = dt.timedelta(days=7)
LONGEST_ID = 64


@dataclass(frozen=True, slots=True)
class _Told:
    """A receipt of one sender."""

    sender: Sender
    receipt: Receipt


@dataclass(frozen=True)
class _Matched(_Told):
    """A receipt and its text."""

    text_id: UUID

    @cached_property
    def event_id(self) -> UUID:
        """The same receipt told twice has the same id; its time is that of its text."""
        receipt = self.receipt
        status = receipt.state or json.dumps(receipt.raw, sort_keys=True)
        moment = moment_of(self.text_id)
        return identify(moment, "receipt", self.sender.gateway, receipt.provider_id, status)


def receive(sender: Sender, told: Sequence[Receipt]) -> None:
    """Apply a sender's receipts; those of texts that are not known wait for them."""
    receive_all([(sender, receipt) for receipt in told])


@transaction.atomic
def receive_all(told: Sequence[tuple[Sender, Receipt]]) -> None:
    """The same for many senders at once: so many statements, however many they are."""
    # An id is kept as long as the log keeps it, so that both are found by the same words.
    cut = [
        _Told(sender, replace(receipt, provider_id=receipt.provider_id[:LONGEST_ID]))
        for sender, receipt in told
    ]
    matched, waiting = _match(cut)
    _apply(matched)
    rows = {
        (one.receipt.provider_id, one.sender.pk, one.receipt.state): WaitingReceipt(
            sender=one.sender,
            provider_id=one.receipt.provider_id,
            state=one.receipt.state,
            code=one.receipt.code[:20],
            raw=one.receipt.raw,
        )
        for one in waiting
        if one.receipt.state
    }
    # In one order, here and below: two transactions that tell the same wait, but not for each other.
    ordered = [rows[key] for key in sorted(rows)]
    WaitingReceipt.objects.bulk_create(ordered, batch_size=1000, ignore_conflicts=True)


@transaction.atomic
def match_waiting(at_most: int = 2000) -> int:
    """Apply receipts that came before their text was on record (the ticker's job): how many."""
    WaitingReceipt.objects.filter(received_at__lt=clock.now() - KEEP_WAITING).delete()
    with connection.cursor() as cursor:
        cursor.execute(_WAITING_WITH_TEXTS, [at_most])
        ids = [row[0] for row in cursor.fetchall()]
    rows = list(
        WaitingReceipt.objects.filter(pk__in=ids)
        .select_related("sender__brand__workspace")
        .defer("sender__credentials")
    )
    told = [
        _Told(row.sender, Receipt(row.provider_id, row.state, row.code, None, row.raw))
        for row in rows
    ]
    matched, _ = _match(told)
    _apply(matched)
    WaitingReceipt.objects.filter(pk__in=ids).delete()
    return len(matched)


def _match(told: Sequence[_Told]) -> tuple[list[_Matched], list[_Told]]:
    """Find each receipt's text among the brand's own; another brand's is as good as unknown."""
    with connection.cursor() as cursor:
        cursor.execute(
            _KNOWN,
            [
                arrays.words(one.receipt.provider_id for one in told),
                arrays.literal(one.sender.pk for one in told),
            ],
        )
        known = {(provider_id, sender): text_id for provider_id, sender, text_id in cursor}
    references = [one.receipt.text_id for one in told if one.receipt.text_id]
    own = set(SentLog.objects.filter(id__in=references).values_list("id", "brand_id"))
    matched, waiting = [], []
    for one in told:
        text_id = known.get((one.receipt.provider_id, one.sender.pk))
        if (one.receipt.text_id, one.sender.brand_id) in own:
            text_id = one.receipt.text_id
        if text_id:
            matched.append(_Matched(one.sender, one.receipt, text_id))
        else:
            waiting.append(one)
    return matched, waiting


def _apply(matched: Sequence[_Matched]) -> None:
    """Each event once; codes are heeded with the event; texts move by what every receipt says."""
    if not matched:
        return
    by_id = {one.event_id: one for one in matched}
    events = [(event, by_id[event]) for event in sorted(by_id)]
    with connection.cursor() as cursor:
        cursor.execute(
            _INSERT_EVENTS,
            {
                "ids": arrays.ids(event for event, _ in events),
                "texts": arrays.ids(one.text_id for _, one in events),
                "brands": arrays.literal(one.sender.brand_id for _, one in events),
                "names": arrays.words(one.receipt.state or "other" for _, one in events),
                "codes": arrays.words(one.receipt.code[:20] for _, one in events),
                "raws": arrays.words(json.dumps(one.receipt.raw) for _, one in events),
            },
        )
        new = {row[0] for row in cursor.fetchall()}
    bad = defaultdict(list)
    senders = {}
    for event, one in events:
        if event in new and one.receipt.state == State.UNDELIVERED:
            senders[one.sender.pk] = one.sender
            bad[one.sender.pk].append((one.text_id, one.receipt.code))
    for pk in sorted(bad):
        refusals.heed_receipts(senders[pk], bad[pk])
    outcomes.receive(
        [(one.text_id, one.receipt.state, one.receipt.code) for one in matched if one.receipt.state]
    )
    _touch_buyers([one.text_id for one in matched if one.receipt.state == State.DELIVERED])


def _touch_buyers(delivered: Sequence[UUID]) -> None:
    """A text that is told to have arrived may have led to an order that came before its receipt."""
    if delivered:
        with connection.cursor() as cursor:
            cursor.execute(_TOUCH_BUYERS, [list(delivered), SETTLED_AFTER])


_KNOWN = """
    SELECT known.provider_id, known.sender_id, known.text_id
    FROM unnest(%s::text[], %s::bigint[]) AS told(provider_id, sender_id)
    JOIN sending_providermessage AS known USING (provider_id, sender_id)"""

_TOUCH_BUYERS = """
    INSERT INTO tracking_touchedperson (subscriber_id)
    SELECT DISTINCT text.subscriber_id FROM sending_sentlog AS text
    JOIN tracking_purchase AS purchase ON purchase.subscriber_id = text.subscriber_id
    WHERE text.id = ANY(%s) AND purchase.received_at > clock_timestamp() - %s"""

_WAITING_WITH_TEXTS = """
    SELECT waiting.id FROM tracking_waitingreceipt AS waiting
    JOIN sending_providermessage AS known USING (provider_id, sender_id)
    ORDER BY waiting.id LIMIT %s FOR UPDATE OF waiting SKIP LOCKED"""

# What a provider tells of somebody who was erased is not kept.
_INSERT_EVENTS = """
    INSERT INTO tracking_trackingevent (id, brand_id, text_id, kind, name, code, raw, subscriber_id)
    SELECT given.id, given.brand_id, given.text_id, 'receipt', given.name, given.code,
           CASE WHEN text.phone = '' THEN '{}' ELSE given.raw END, text.subscriber_id
    FROM unnest(%(ids)s::uuid[], %(texts)s::uuid[], %(brands)s::bigint[], %(names)s::text[],
                %(codes)s::text[], %(raws)s::jsonb[])
         AS given(id, text_id, brand_id, name, code, raw)
    LEFT JOIN sending_sentlog AS text ON text.id = given.text_id AND text.id = ANY(%(texts)s::uuid[])
    ON CONFLICT (id) DO NOTHING RETURNING id"""
