"""Records into subscribers, a batch a transaction: read again, a list changes nothing."""

import datetime as dt
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import batched
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import connection, transaction

from subscribers import clock, consent, phones, upsert
from subscribers.consent import OptIn
from subscribers.models import Brand, ConsentSource
from subscribers.secrets import phone_hash
from subscribers.sync.lime_xml import ListCutError, ListError

BATCH = 1000
DATE_FORMAT = "%m/%d/%Y %I:%M:%S %p"
FIRST_TEXT = dt.datetime(1992, 12, 3, tzinfo=dt.UTC)  # nobody opted in before there was one


@dataclass(slots=True)
class Report:
    """What a run did: `read` = `new` + `changed` + `unchanged` + the sum of `refused`."""

    read: int = 0
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    cut: str = ""  # why the list ended early, if it did


@dataclass(frozen=True, slots=True)
class _Row:
    phone: str
    phone_hash: bytes
    opted_in_at: dt.datetime
    fields: dict[str, Any]
    evidence: dict[str, str]


class _RefusedError(Exception):
    """A record that cannot be used; the text is the reason it is counted under."""


def load(
    records: Iterable[dict[str, str]], brand: Brand, *, list_id: str, list_clock: str
) -> Report:
    """Upsert the people of a list and record their opt-ins to the brand.

    `list_clock`: the zone that the list's dates are in. A list that breaks off is loaded as far
    as it was read; `Report.cut` then says so. Raises ListError where the clock is no time zone.
    """
    report = Report()
    seen: set[int] = set()  # numbers of this run, some 60 bytes each: the only thing that grows
    today = clock.now()
    zone = _zone(list_clock)
    for batch in batched(_until_cut(records, report), BATCH):
        rows = []
        for record in batch:
            report.read += 1
            try:
                row = _read(record, brand, list_id, zone, today)
                if int(row.phone) in seen:
                    raise _RefusedError("duplicate")
            except _RefusedError as reason:
                report.refused[str(reason)] += 1
                continue
            seen.add(int(row.phone))
            rows.append(row)
        _store(rows, brand, report)
    return report


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ListError(
            f"{name!r} is not a time zone: correct the clock of the contact list."
        ) from None


def _until_cut(records: Iterable[dict[str, str]], report: Report) -> Iterator[dict[str, str]]:
    try:
        yield from records
    except ListCutError as error:
        report.cut = str(error)


def _read(
    record: dict[str, str], brand: Brand, list_id: str, zone: ZoneInfo, today: dt.datetime
) -> _Row:
    digits = record.get("MobileNumber", "")
    try:
        # Lime writes the country code without a plus.
        phone = phones.parse(f"+{digits}" if digits.isdecimal() and len(digits) > 10 else digits)
    except phones.InvalidPhone as error:
        raise _RefusedError(f"phone_{error.reason}") from None
    try:
        given = dt.datetime.strptime(record.get("OptInDate", ""), DATE_FORMAT)  # noqa: DTZ007
    except ValueError:
        raise _RefusedError("opt_in_date_unreadable") from None
    opted_in_at = given.replace(tzinfo=zone)
    if opted_in_at < FIRST_TEXT:
        raise _RefusedError("opt_in_date_too_old")
    if opted_in_at > today + dt.timedelta(days=1):
        raise _RefusedError("opt_in_date_in_the_future")
    fields = {
        "first_name": record.get("FirstName", "")[:100],
        "last_name": record.get("LastName", "")[:100],
        "email": _email(record.get("Email", "")),
        "postcode": record.get("Zipcode", "")[:12],
        "traits": _traits(record),
    }
    return _Row(
        phone.e164,
        phone_hash(brand.workspace_id, phone.e164),
        opted_in_at,
        fields | upsert.derived(phone, fields),
        {
            "list": list_id,
            "keyword": record.get("Keyword", ""),
            "short_code": record.get("ShortCode", ""),
            "date_as_given": record["OptInDate"],
        },
    )


def _email(text: str) -> str:
    """The address, or nothing where it is none: a bad one is no reason to lose the person."""
    try:
        validate_email(text)
    except ValidationError:
        return ""
    return text


def _traits(record: dict[str, str]) -> dict[str, str]:
    named = {"Gender": "gender", "DateOfBirth": "date_of_birth"}
    traits = {name: record[tag] for tag, name in named.items() if tag in record}
    own = {tag.lower(): text for tag, text in record.items() if tag.startswith("UserDefine")}
    return {name: text.replace("\x00", "") for name, text in {**traits, **own}.items()}


@transaction.atomic
def _store(rows: list[_Row], brand: Brand, report: Report) -> None:
    if not rows:
        return
    values = {
        "workspace": brand.workspace_id,
        "phones": [row.phone for row in rows],
        "hashes": [row.phone_hash for row in rows],
        "traits": [json.dumps(row.fields["traits"]) for row in rows],
        "zones": [json.dumps(row.fields["zones"]) for row in rows],
        "jurisdictions": [json.dumps(row.fields["jurisdictions"]) for row in rows],
        **{name: [row.fields[name] for row in rows] for name in _PLAIN},
    }
    with connection.cursor() as cursor:
        # In the order of everybody who locks people; the upsert alone would lock by number.
        cursor.execute(
            "SELECT FROM subscribers_subscriber"
            " WHERE workspace_id = %(workspace)s AND phone = ANY(%(phones)s)"
            " ORDER BY id FOR NO KEY UPDATE",
            values,
        )
        cursor.execute(_UPSERT, values)
        touched: dict[int, bool] = dict(cursor.fetchall())
        cursor.execute(
            "SELECT phone, id FROM subscribers_subscriber"
            " WHERE workspace_id = %(workspace)s AND phone = ANY(%(phones)s)",
            values,
        )
        ids = dict(cursor.fetchall())
    opt_ins = [OptIn(ids[row.phone], row.phone_hash, row.opted_in_at, row.evidence) for row in rows]
    joined = set(consent.opt_in_many(brand, opt_ins, source=ConsentSource.LIST_SYNC))
    new = sum(touched.values())
    report.new += new
    report.changed += len(joined | touched.keys()) - new
    report.unchanged += len(rows) - len(joined | touched.keys())


_PLAIN = ("first_name", "last_name", "email", "postcode", "number_kind", "country")

# What the list leaves empty stays as it is known; where the person's place is known from
# elsewhere too, the list's zones are added to it and replace nothing.
_UPSERT = """
    INSERT INTO subscribers_subscriber AS known
        (workspace_id, phone, phone_hash, first_name, last_name, email, postcode, number_kind,
         country, traits, zones, jurisdictions)
    SELECT %(workspace)s, phone, hash, first_name, last_name, email, postcode, number_kind,
        country, traits::jsonb, ARRAY(SELECT jsonb_array_elements_text(zones::jsonb)),
        ARRAY(SELECT jsonb_array_elements_text(jurisdictions::jsonb))
    FROM unnest(%(phones)s::text[], %(hashes)s::bytea[], %(first_name)s::text[],
        %(last_name)s::text[], %(email)s::text[], %(postcode)s::text[], %(number_kind)s::text[],
        %(country)s::text[], %(traits)s::text[], %(zones)s::text[], %(jurisdictions)s::text[])
        AS given(phone, hash, first_name, last_name, email, postcode, number_kind, country,
                 traits, zones, jurisdictions)
    ORDER BY phone
    ON CONFLICT (workspace_id, phone) DO UPDATE SET
        first_name = coalesce(nullif(EXCLUDED.first_name, ''), known.first_name),
        last_name = coalesce(nullif(EXCLUDED.last_name, ''), known.last_name),
        email = coalesce(nullif(EXCLUDED.email, ''), known.email),
        postcode = coalesce(nullif(EXCLUDED.postcode, ''), known.postcode),
        traits = known.traits || EXCLUDED.traits,
        zones = ARRAY(SELECT DISTINCT unnest(known.zones || EXCLUDED.zones) ORDER BY 1),
        jurisdictions = ARRAY(
            SELECT DISTINCT unnest(known.jurisdictions || EXCLUDED.jurisdictions) ORDER BY 1),
        updated_at = now()
    WHERE (coalesce(nullif(EXCLUDED.first_name, ''), known.first_name),
           coalesce(nullif(EXCLUDED.last_name, ''), known.last_name),
           coalesce(nullif(EXCLUDED.email, ''), known.email),
           coalesce(nullif(EXCLUDED.postcode, ''), known.postcode),
           known.traits || EXCLUDED.traits)
          IS DISTINCT FROM
          (known.first_name, known.last_name, known.email, known.postcode, known.traits)
       OR NOT known.zones @> EXCLUDED.zones OR NOT known.jurisdictions @> EXCLUDED.jurisdictions
    RETURNING id, xmax = 0"""
