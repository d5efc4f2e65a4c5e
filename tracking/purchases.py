"""Orders, refunds and other events that shops tell of: each kept once. The only writer.

An order is known by its brand and its id, so telling it again changes nothing; the first amount and
time stand. Amounts are decimals of the brand's one currency.
"""

import datetime as dt
import hashlib
import hmac
import json
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from subscribers.models import Brand
from subscribers.secrets import phone_hash
from tracking import matching
from tracking.matching import Clue, Match
from tracking.purchase_models import CURRENCY, AttributionRules, Refund, TouchedPerson

MOST_EVENTS = 1000
AHEAD = dt.timedelta(minutes=5)  # a shop's clock may be so far ahead of ours


class Kind(StrEnum):
    """What kind of event it is."""

    PURCHASE = "purchase"
    REFUND = "refund"
    CUSTOM = "custom"


@dataclass(frozen=True, slots=True)
class Event:
    """One event as it was told and read. `key_id`: the order's id; of a custom event, its own."""

    brand: Brand
    kind: Kind
    key_id: str
    at: dt.datetime
    clue: Clue
    amount: Decimal = Decimal(0)
    currency: str = ""  # empty: the brand's
    refund_id: str = ""
    name: str = ""
    properties: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> tuple[int, bytes]:
        kind = "event" if self.kind == Kind.CUSTOM else "order"
        return self.brand.pk, keyed(kind, self.brand.pk, self.key_id)


@dataclass(slots=True)
class Answer:
    """What became of an event. `problem` is (field, code, sentence)."""

    status: str = "accepted"  # or known, refused
    id: int | None = None
    matched_by: str = ""
    problem: tuple[str | None, str, str] | None = None


def new_secret() -> str:
    """A signing secret for a shop."""
    return secrets.token_urlsafe(32)


def keys_for(user: Any, order_id: str) -> list[bytes]:
    """The keys that an order's id has in each brand that a person of the staff may see."""
    brands = Brand.objects.for_user(user).values_list("pk", flat=True)
    return [keyed("order", brand, order_id.strip()) for brand in brands]


def keyed(kind: str, owner_id: int, given: str) -> bytes:
    """32 bytes that stand for a shop's id of an order, a refund or an event after it is erased."""
    message = f"{kind}:{owner_id}:{given}".encode()
    return hmac.digest(settings.PHONE_HASH_KEY.encode(), message, hashlib.sha256)


@transaction.atomic
def record(events: Sequence[Event], *, now: dt.datetime) -> list[Answer]:
    """Keep events, with an answer for each in order; one that cannot be kept is refused alone.

    A refund may follow its order in the same call. A fixed number of statements, however many
    events there are.
    """
    answers = [Answer() for _ in events]
    pairs = list(zip(events, answers, strict=True))
    _refuse(pairs, now)
    good = [pair for pair in pairs if pair[1].problem is None]
    matches = dict(zip(map(id, good), matching.match([one.clue for one, _ in good]), strict=True))
    matched = [(*pair, matches[id(pair)]) for pair in good]
    _keep_purchases([one for one in matched if one[0].kind == Kind.PURCHASE])
    _keep_refunds([pair for pair in good if pair[0].kind == Kind.REFUND], now)
    _keep_custom([one for one in matched if one[0].kind == Kind.CUSTOM])
    return answers


type _Pair = tuple[Event, Answer]
type _Matched = tuple[Event, Answer, Match]


def _refuse(pairs: Iterable[_Pair], now: dt.datetime) -> None:
    brands = {event.brand.pk for event, _ in pairs}
    rules = AttributionRules.objects.filter(brand__in=brands)
    currencies = dict(rules.values_list("brand_id", "currency"))
    for event, answer in pairs:
        own = currencies.get(event.brand.pk, CURRENCY)
        if event.at > now + AHEAD:
            _no(answer, "at", "in_the_future", "This has not happened yet: check its time zone.")
        elif event.currency and event.currency != own:
            sentence = f"This brand's orders are in {own}: convert the amount, or change the brand."
            _no(answer, "currency", "wrong_currency", sentence)


def _no(answer: Answer, field: str, code: str, sentence: str) -> None:
    answer.status, answer.problem = "refused", (field, code, sentence)


def _keep_purchases(rows: Sequence[_Matched]) -> None:
    if not rows:
        return
    first: dict[tuple[int, bytes], _Matched] = {}
    for row in rows:
        first.setdefault(row[0].key, row)
    kept = _insert_purchases(first)
    known = _known("tracking_purchase", "order_key", first, "amount")
    for event, answer, match in rows:
        answer.id, amount = known[event.key]
        answer.matched_by = match.by
        if event.key in kept and first[event.key][1] is answer:
            continue
        if amount == event.amount:
            answer.status = "known"
            continue
        answer.id = None
        sentence = f"This order is on record with the amount {amount}; send a refund to correct it."
        _no(answer, "amount", "order_differs", sentence)
    _touch({first[key][2].subscriber_id for key in kept})


def _insert_purchases(rows: dict[tuple[int, bytes], _Matched]) -> set[tuple[int, bytes]]:
    """Insert those that are new, in one order everywhere; answers their keys."""
    contact = _contacts(rows.values())
    with connection.cursor() as cursor:
        columns = list(
            zip(
                *(
                    (
                        *key,
                        event.key_id,
                        match.subscriber_id,
                        match.by,
                        match.text_id,
                        event.clue.keyword,
                        event.at,
                        event.amount,
                        *contact[key],
                    )
                    for key, (event, _, match) in sorted(rows.items())
                ),
                strict=True,
            )
        )
        cursor.execute(_INSERT_PURCHASES, [CURRENCY, *map(list, columns)])
        return {(brand, bytes(key)) for brand, key in cursor.fetchall()}


def _contacts(rows: Iterable[_Matched]) -> dict[tuple[int, bytes], tuple[str, str]]:
    """How to tell who it is later: of those who are not known, and were not erased."""
    rows = list(rows)
    hashed = {
        event.key: phone_hash(event.brand.workspace_id, event.clue.phone)
        for event, _, match in rows
        if match.subscriber_id is None and event.clue.phone
    }
    gone = matching.erased(list(hashed.values())) if hashed else set()
    return {
        event.key: ("", "")
        if match.subscriber_id is not None or hashed.get(event.key) in gone
        else (event.clue.phone, event.clue.email)
        for event, _, match in rows
    }


def _known(
    table: str, column: str, keys: Iterable[tuple[int, bytes]], *also: str, lock: str = ""
) -> dict[tuple[int, bytes], tuple[Any, ...]]:
    """(id, and what else is asked for) of the rows that there are, by brand and key."""
    brands, hashed = zip(*keys, strict=True)
    names = ", ".join(f"known.{name}" for name in ("id", *also))
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT known.brand_id, known.{column}, {names} FROM {table} AS known"
            f" JOIN unnest(%s::bigint[], %s::bytea[]) AS given(brand_id, hashed)"
            f" ON known.brand_id = given.brand_id AND known.{column} = given.hashed"
            f" ORDER BY known.id {lock}",
            [list(brands), list(hashed)],
        )
        return {(brand, bytes(key)): tuple(rest) for brand, key, *rest in cursor.fetchall()}


def _keep_refunds(pairs: Sequence[_Pair], now: dt.datetime) -> None:
    if not pairs:
        return
    wanted = {event.key for event, _ in pairs}
    orders = _known(
        *("tracking_purchase", "order_key", wanted, "amount", "refunded", "subscriber_id"),
        lock="FOR UPDATE OF known",
    )
    ids = [row[0] for row in orders.values()]
    told = {
        (one.purchase_id, bytes(one.refund_key)): one.amount
        for one in Refund.objects.filter(purchase__in=ids)
    }
    left = {row[0]: row[1] - row[2] for row in orders.values()}
    new: list[Refund] = []
    for event, answer in pairs:
        order = orders.get(event.key)
        if order is None:
            sentence = "There is no such order of this brand: send the purchase first."
            _no(answer, "orderId", "unknown_order", sentence)
            continue
        answer.id = order[0]
        refund_key = keyed("refund", order[0], event.refund_id)
        before = told.get((order[0], refund_key))
        if before is not None:
            _repeat(event, answer, before)
        elif event.amount > left[order[0]]:
            sentence = f"Only {left[order[0]]} of this order are left to be refunded."
            _no(answer, "amount", "refund_too_large", sentence)
        else:
            left[order[0]] -= event.amount
            told[order[0], refund_key] = event.amount
            new.append(
                Refund(
                    purchase_id=order[0],
                    refund_key=refund_key,
                    refund_id=event.refund_id,
                    amount=event.amount,
                    refunded_at=event.at,
                )
            )
    Refund.objects.bulk_create(new)
    _write_refunds(new, now)
    changed = {one.purchase_id for one in new}
    _touch({row[3] for row in orders.values() if row[0] in changed})


def _repeat(event: Event, answer: Answer, before: Decimal) -> None:
    if before == event.amount:
        answer.status = "known"
        return
    _no(answer, "amount", "refund_differs", f"This refund is on record with the amount {before}.")


def _write_refunds(new: Sequence[Refund], now: dt.datetime) -> None:
    if new:
        with connection.cursor() as cursor:
            ids, amounts = [one.purchase_id for one in new], [one.amount for one in new]
            cursor.execute(_WRITE_REFUNDS, [now, ids, amounts])


def _keep_custom(rows: Sequence[_Matched]) -> None:
    if not rows:
        return
    first: dict[tuple[int, bytes], _Matched] = {}
    for row in rows:
        first.setdefault(row[0].key, row)
    values = [
        (
            *(*key, one.key_id, one.name, match.subscriber_id, match.by, one.at),
            json.dumps(one.properties),
        )
        for key, (one, _, match) in sorted(first.items())
    ]
    with connection.cursor() as cursor:
        cursor.execute(_INSERT_CUSTOM, [list(column) for column in zip(*values, strict=True)])
        new = {(brand, bytes(key)) for brand, key in cursor.fetchall()}
    known = _known("tracking_customevent", "event_key", first)
    for event, answer, match in rows:
        answer.id, answer.matched_by = known[event.key][0], match.by
        if event.key not in new or first[event.key][1] is not answer:
            answer.status = "known"


def _touch(people: Iterable[int | None]) -> None:
    """Their activity is counted again."""
    TouchedPerson.objects.bulk_create(
        TouchedPerson(subscriber_id=person) for person in sorted(filter(None, people))
    )


_INSERT_PURCHASES = """
    INSERT INTO tracking_purchase
        (brand_id, order_key, order_id, subscriber_id, matched_by, click_text_id, keyword,
         ordered_at, amount, refunded, currency, phone, email)
    SELECT given.brand_id, order_key, order_id, subscriber_id, matched_by, click_text_id, keyword,
           ordered_at, amount, 0, coalesce(rules.currency, %s), phone, email
    FROM unnest(%s::bigint[], %s::bytea[], %s::text[], %s::bigint[], %s::text[], %s::uuid[],
                %s::text[], %s::timestamptz[], %s::numeric[], %s::text[], %s::text[])
        AS given(brand_id, order_key, order_id, subscriber_id, matched_by, click_text_id, keyword,
                 ordered_at, amount, phone, email)
    LEFT JOIN tracking_attributionrules AS rules ON rules.brand_id = given.brand_id
    ON CONFLICT (brand_id, order_key) DO NOTHING RETURNING brand_id, order_key"""

_WRITE_REFUNDS = """
    UPDATE tracking_purchase AS purchase
    SET refunded = purchase.refunded + given.amount, due_at = %s
    FROM (SELECT id, sum(amount) AS amount FROM unnest(%s::bigint[], %s::numeric[])
              AS refund(id, amount) GROUP BY id) AS given
    WHERE given.id = purchase.id"""

_INSERT_CUSTOM = """
    INSERT INTO tracking_customevent
        (brand_id, event_key, event_id, name, subscriber_id, matched_by, happened_at, properties)
    SELECT * FROM unnest(%s::bigint[], %s::bytea[], %s::text[], %s::text[], %s::bigint[],
                         %s::text[], %s::timestamptz[], %s::jsonb[])
    ON CONFLICT (brand_id, event_key) DO NOTHING RETURNING brand_id, event_key"""
