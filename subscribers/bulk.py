"""Many subscribers at once: each row created or changed as `POST /api/subscribers` would, or refused.

A batch is one transaction with a fixed number of statements, for each brand that somebody joins or
leaves too.
"""

import datetime as dt
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import batched
from typing import Any

from django.db import connection, transaction
from rest_framework.exceptions import ValidationError

from subscribers import arrays, bulk_rows, clock, consent, phones, upsert
from subscribers.consent import OptIn, OptOut
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
    wishes: dict[str, bool]  # by `subscribe_<slug>`
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


def _wishes(given: dict[str, Any], caller: Caller) -> dict[str, bool]:
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
        wishes[name] = value
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
        cursor.execute(_KNOWN, [workspace.pk, arrays.literal(numbers)])
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
            changed.append(wanted)
    if changed:
        with connection.cursor() as cursor:
            cursor.execute(_CHANGE, _arrays(changed, {"id": "bigint"}) | {"now": now})


def _create(rows: Sequence[_Row], workspace: Workspace) -> dict[str, int]:
    if not rows:
        return {}
    new = []
    for row in rows:
        fields = {"traits": {}} | row.given
        new.append(
            fields
            | upsert.derived(row.phone, fields)
            | {"phone": row.phone.e164, "phone_hash": f"\\x{row.hash.hex()}"}
        )
    with connection.cursor() as cursor:
        values = _arrays(new, {"phone": "text", "phone_hash": "text"})
        cursor.execute(_CREATE, values | {"workspace": workspace.pk})
        return dict(cursor.fetchall())


def _arrays(rows: Sequence[dict[str, Any]], more: dict[str, str]) -> dict[str, str]:
    """The rows' columns, and `more` with their types, as the statements unnest them."""
    types = {name: kind for name, (kind, _) in COLUMNS.items()} | more
    told = {}
    for name, kind in types.items():
        values = [row.get(name) for row in rows]
        if kind == "jsonb":
            values = [json.dumps(value) for value in values]
        elif kind == "text[]":  # unnesting takes arrays of arrays apart
            values = [arrays.literal(value) for value in values]
        quoted = kind in ("jsonb", "text", "text[]")
        told[name] = arrays.words(values) if quoted else arrays.literal(values)
    return told


def _consent(rows: Sequence[_Row], caller: Caller, now: dt.datetime) -> None:
    """Opt-outs first: a row that says both opts in to nothing."""
    left = [row for row in rows if row.optout]
    for brand in caller.brands.values() if caller.bound else [None]:
        _leave(left, brand, caller, now, "status OPTOUT through the API")
    for name, brand in caller.brands.items():
        leaving = [row for row in rows if row.wishes.get(name) is False]
        known = _subscribed(brand, leaving)
        leaving = [row for row in leaving if row.answer.id in known]
        _leave(leaving, brand, caller, now, "unsubscribed through the API")
    for name, brand in caller.brands.items():
        _join(brand, [row for row in rows if row.wishes.get(name)], caller, now)


def _leave(
    rows: Sequence[_Row], brand: Brand | None, caller: Caller, now: dt.datetime, reason: str
) -> None:
    evidence = _Evidence(caller)
    opt_outs = [OptOut(row.phone.e164, evidence.of(row)) for row in rows]
    consent.opt_out_many(
        caller.workspace, opt_outs, brand=brand, at=now, source=ConsentSource.API, reason=reason
    )


def _subscribed(brand: Brand, rows: Sequence[_Row]) -> set[int]:
    """Who never asked for a brand does not leave it: that would bar a later opt-in."""
    if not rows:
        return set()
    ids = [row.answer.id for row in rows]
    found = brand.subscriptions.filter(subscriber__in=ids)
    return set(found.values_list("subscriber_id", flat=True))


def _join(brand: Brand, rows: Sequence[_Row], caller: Caller, now: dt.datetime) -> None:
    if not rows:
        return
    may = _may_join(brand, [row.answer.id for row in rows])
    evidence = _Evidence(caller)
    opt_ins = [
        OptIn(row.answer.id, row.hash, now, evidence.of(row))
        for row in rows
        if row.answer.id in may
    ]
    consent.opt_in_many(brand, opt_ins, source=ConsentSource.API)


def _may_join(brand: Brand, ids: Sequence[int | None]) -> set[int]:
    """Who is neither subscribed already, nor opted out, nor suppressed."""
    with connection.cursor() as cursor:
        cursor.execute(_MAY_JOIN, {"brand": brand.pk, "ids": arrays.literal(ids)})
        return {row[0] for row in cursor.fetchall()}


class _Evidence(dict[str, dict[str, Any]]):
    """What is kept with a row's consent, by the row's form: one for all rows of the form."""

    def __init__(self, caller: Caller) -> None:
        self._common = caller.evidence

    def __missing__(self, form_title: str) -> dict[str, Any]:
        self[form_title] = self._common | {"form_title": form_title}
        return self[form_title]

    def of(self, row: _Row) -> dict[str, Any]:
        return self[row.given.get("form_title", "")]


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
_NAMES = ", ".join(COLUMNS)
_NESTED = ("text[]",)  # given as text


def _given(*more: tuple[str, str]) -> str:
    """FROM's part that unnests `_arrays`."""
    columns = [*more, *((name, kind) for name, (kind, _) in COLUMNS.items())]
    typed = [(name, "text" if kind in _NESTED else kind) for name, kind in columns]
    values = ", ".join(f"%({name})s::{kind}[]" for name, kind in typed)
    return f"unnest({values}) AS given({', '.join(name for name, _ in typed)})"


def _value(name: str) -> str:
    kind = COLUMNS[name][0]
    return f"given.{name}::{kind}" if kind in _NESTED else f"given.{name}"


# In the order of everybody who locks people.
_KNOWN = f"""
    SELECT id, phone, {_NAMES} FROM subscribers_subscriber
    WHERE workspace_id = %s AND phone = ANY(%s::text[]) ORDER BY id FOR NO KEY UPDATE"""
_CHANGE = f"""
    UPDATE subscribers_subscriber AS known
    SET {", ".join(f"{name} = {_value(name)}" for name in COLUMNS)}, updated_at = %(now)s
    FROM {_given(("id", "bigint"))}
    WHERE known.id = given.id"""
_CREATE = f"""
    INSERT INTO subscribers_subscriber (workspace_id, phone, phone_hash, {_NAMES})
    SELECT %(workspace)s, phone, phone_hash::bytea,
        {", ".join(f"coalesce({_value(name)}, {new})" for name, (_, new) in COLUMNS.items())}
    FROM {_given(("phone", "text"), ("phone_hash", "text"))} ORDER BY phone
    ON CONFLICT (workspace_id, phone) DO NOTHING
    RETURNING phone, id"""
_MAY_JOIN = """
    SELECT person.id FROM subscribers_subscriber AS person
    WHERE person.id = ANY(%(ids)s::bigint[])
      AND NOT EXISTS (SELECT FROM subscribers_subscription AS subscription
          WHERE subscription.subscriber_id = person.id AND subscription.brand_id = %(brand)s
            AND subscription.status IN ('opted_in', 'opted_out'))
      AND NOT EXISTS (SELECT FROM subscribers_suppression AS no
          WHERE no.phone_hash = person.phone_hash
            AND (no.brand_id IS NULL OR no.brand_id = %(brand)s))"""
