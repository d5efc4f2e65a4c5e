"""Many subscribers at once: each row created or changed as `POST /api/subscribers` would, or refused.

A batch is one transaction with a fixed number of statements for the people and their opt-ins;
opt-outs, which are few, go one by one through `consent`.
"""

import datetime as dt
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import batched
from typing import Any

from django.db import connection, transaction
from rest_framework.exceptions import ValidationError

from subscribers import bulk_rows, clock, consent, phones, upsert
from subscribers.consent import OptIn
from subscribers.models import Brand, ConsentSource, Subscriber, Workspace
from subscribers.secrets import phone_hash
from subscribers.timezones import UnknownTimeZone

BATCH = 2000


@dataclass(slots=True)
class RowAnswer:
    """What became of one row. `index` counts from 0; `problem` is (field, code, sentence)."""

    index: int
    status: str  # created, updated or refused
    id: int | None = None
    problem: tuple[str | None, str, str] | None = None


@dataclass(frozen=True, slots=True)
class Caller:
    """For whom rows are loaded: the key's brands, and whether it is bound to them."""

    workspace: Workspace
    brands: dict[str, Brand]  # by `subscribe_<slug>`
    bound: bool
    evidence: dict[str, Any]


@dataclass(slots=True)
class _Row:
    index: int
    phone: phones.Phone
    hash: bytes
    given: dict[str, Any]
    optout: bool
    wishes: dict[Brand, bool]
    answer: RowAnswer = field(init=False)

    def __post_init__(self) -> None:
        self.answer = RowAnswer(self.index, "updated")


def load(rows: Iterable[Any], caller: Caller) -> Iterator[RowAnswer]:
    """Upsert rows of the API's schema, in batches; an answer for each, in order.

    A row that cannot be used is refused and the others go on. A number that comes again counts as
    a second request for the same person.
    """
    for batch in batched(enumerate(rows), BATCH):
        answers: dict[int, RowAnswer] = {}
        read: dict[str, _Row] = {}
        for index, given in batch:
            row = _read(index, given, caller)
            if isinstance(row, RowAnswer):
                answers[index] = row
                continue
            answers[index] = row.answer
            if row.phone.e164 in read:
                _store(list(read.values()), caller)
                read.clear()
            read[row.phone.e164] = row
        _store(list(read.values()), caller)
        yield from answers.values()


def _read(index: int, given: Any, caller: Caller) -> _Row | RowAnswer:
    try:
        fields = bulk_rows.read(given)
        if "phone" not in fields:
            raise ValidationError({"phone": ["Phone required"]}, code="required")
        phone = phones.parse(fields.pop("phone"))
        if fields.get("timezone"):
            upsert.derived(phone, fields)
        status = fields.pop("status", None)
        wishes = _wishes(given, caller)
    except ValidationError as error:
        return RowAnswer(index, "refused", problem=bulk_rows.first_problem(error))
    except phones.InvalidPhone as error:
        return RowAnswer(index, "refused", problem=("phone", "invalid_phone", str(error)))
    except UnknownTimeZone as error:
        return RowAnswer(index, "refused", problem=("timezone", "invalid", str(error)))
    hashed = phone_hash(caller.workspace.pk, phone.e164)
    return _Row(index, phone, hashed, fields, status == Subscriber.Status.OPTOUT, wishes)


def _wishes(given: dict[str, Any], caller: Caller) -> dict[Brand, bool]:
    wishes = {}
    for name, value in given.items():
        if not name.startswith("subscribe_"):
            continue
        if name not in caller.brands:
            raise ValidationError(
                {name: ["There is no such brand, or your key does not cover it."]}
            )
        if not isinstance(value, bool):
            raise ValidationError({name: ["Send true or false."]})
        wishes[caller.brands[name]] = value
    return wishes


@transaction.atomic
def _store(rows: list[_Row], caller: Caller) -> None:
    if not rows:
        return
    now = clock.now()
    waiting = {row.phone.e164: row for row in rows}
    while waiting:
        known = _known(caller.workspace, list(waiting))
        _change([(waiting[phone], values) for phone, values in known.items()], now)
        for phone, values in known.items():
            waiting.pop(phone).answer.id = values["id"]
        # Whoever is made by somebody else at this moment is known in the next round.
        for phone, pk in _create(list(waiting.values()), caller.workspace).items():
            row = waiting.pop(phone)
            row.answer.id, row.answer.status = pk, "created"
    _consent(rows, caller, now)


def _known(workspace: Workspace, numbers: list[str]) -> dict[str, dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute(_KNOWN, [workspace.pk, numbers])
        names = ["id", "phone", *COLUMNS]
        rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    return {row.pop("phone"): row for row in rows}


def _change(pairs: Sequence[tuple[_Row, dict[str, Any]]], now: dt.datetime) -> None:
    """Write those whose values differ; `known` values come as the database gives them."""
    changed = []
    for row, known in pairs:
        known["traits"] = json.loads(known["traits"])
        wanted = known | row.given
        wanted |= upsert.derived(row.phone, wanted)
        if wanted != known:
            changed.append(wanted | {"updated_at": now})
    if changed:
        with connection.cursor() as cursor:
            cursor.execute(_CHANGE, [json.dumps(changed, default=str)])


def _create(rows: Sequence[_Row], workspace: Workspace) -> dict[str, int]:
    if not rows:
        return {}
    new = []
    for row in rows:
        fields = {"traits": {}} | row.given
        new.append(
            fields
            | upsert.derived(row.phone, fields)
            | {"phone": row.phone.e164, "phone_hash": "\\x" + row.hash.hex()}
        )
    with connection.cursor() as cursor:
        cursor.execute(_CREATE, [json.dumps(new, default=str), workspace.pk])
        return dict(cursor.fetchall())


def _consent(rows: Sequence[_Row], caller: Caller, now: dt.datetime) -> None:
    for row in rows:
        if row.optout:
            for brand in caller.brands.values() if caller.bound else [None]:
                _leave(row, brand, caller, now, "status OPTOUT through the API")
    joining: dict[Brand, list[_Row]] = {}
    for row in rows:
        for brand, wanted in row.wishes.items():
            if wanted:
                joining.setdefault(brand, []).append(row)
            elif _is_subscribed(row, brand):
                _leave(row, brand, caller, now, "unsubscribed through the API")
    for brand, joined in joining.items():
        may = _may_join(brand, [row.answer.id for row in joined])
        opt_ins = [
            OptIn(row.answer.id, row.hash, now, _evidence(row, caller))
            for row in joined
            if row.answer.id in may
        ]
        consent.opt_in_many(brand, opt_ins, source=ConsentSource.API)


def _leave(row: _Row, brand: Brand | None, caller: Caller, now: dt.datetime, reason: str) -> None:
    consent.opt_out(
        caller.workspace,
        row.phone.e164,
        brand=brand,
        at=now,
        source=ConsentSource.API,
        reason=reason,
        evidence=_evidence(row, caller),
    )


def _is_subscribed(row: _Row, brand: Brand) -> bool:
    """Who never asked for a brand does not leave it: that would bar a later opt-in."""
    return brand.subscriptions.filter(subscriber_id=row.answer.id).exists()


def _may_join(brand: Brand, ids: Sequence[int | None]) -> set[int]:
    """Who is neither subscribed already, nor opted out, nor suppressed."""
    with connection.cursor() as cursor:
        cursor.execute(_MAY_JOIN, {"brand": brand.pk, "ids": list(ids)})
        return {row[0] for row in cursor.fetchall()}


def _evidence(row: _Row, caller: Caller) -> dict[str, Any]:
    return caller.evidence | {"form_title": row.given.get("form_title", "")}


# Every column that a row may set, with its type in SQL and the value of a new person.
_WORDS = (
    *("name", "first_name", "last_name", "email", "acq_source", "acq_campaign", "acq_medium"),
    *("acq_term", "acq_content", "form_title", "postcode", "timezone", "number_kind", "country"),
)
_MOMENTS = ("first_click_at", "first_purchase_at", "last_engagement", "last_purchase_at")
COLUMNS: dict[str, tuple[str, str]] = {
    **dict.fromkeys(_WORDS, ("text", "''")),
    **dict.fromkeys(("has_clicked", "has_purchased"), ("boolean", "false")),
    **dict.fromkeys(_MOMENTS, ("timestamptz", "NULL")),
    **dict.fromkeys(("total_clicks", "total_purchases"), ("integer", "0")),
    "total_revenue": ("numeric", "0"),
    "traits": ("jsonb", "'{}'"),
    "zones": ("text[]", "'{}'"),
    "jurisdictions": ("text[]", "'{}'"),
}
_TYPED = ", ".join(f"{name} {kind}" for name, (kind, _) in COLUMNS.items())
_NAMES = ", ".join(COLUMNS)

# In the order of everybody who locks people.
_KNOWN = f"""
    SELECT id, phone, {_NAMES} FROM subscribers_subscriber
    WHERE workspace_id = %s AND phone = ANY(%s) ORDER BY id FOR NO KEY UPDATE"""
_CHANGE = f"""
    UPDATE subscribers_subscriber AS known
    SET {", ".join(f"{name} = given.{name}" for name in COLUMNS)}, updated_at = given.updated_at
    FROM json_to_recordset(%s::json) AS given(id bigint, updated_at timestamptz, {_TYPED})
    WHERE known.id = given.id"""
_CREATE = f"""
    WITH given AS MATERIALIZED (
        SELECT * FROM json_to_recordset(%s::json)
            AS given(phone text, phone_hash bytea, {_TYPED}))
    INSERT INTO subscribers_subscriber (workspace_id, phone, phone_hash, {_NAMES})
    SELECT %s, phone, phone_hash,
        {", ".join(f"coalesce({name}, {new})" for name, (_, new) in COLUMNS.items())}
    FROM given ORDER BY phone
    ON CONFLICT (workspace_id, phone) DO NOTHING
    RETURNING phone, id"""
_MAY_JOIN = """
    SELECT person.id FROM subscribers_subscriber AS person
    WHERE person.id = ANY(%(ids)s)
      AND NOT EXISTS (SELECT FROM subscribers_subscription AS subscription
          WHERE subscription.subscriber_id = person.id AND subscription.brand_id = %(brand)s
            AND subscription.status IN ('opted_in', 'opted_out'))
      AND NOT EXISTS (SELECT FROM subscribers_suppression AS no
          WHERE no.phone_hash = person.phone_hash
            AND (no.brand_id IS NULL OR no.brand_id = %(brand)s))"""
