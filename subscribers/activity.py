"""What a person did, on their row: clicks, purchases, last engagement. The one writer beside upserts.

An integrator may have told more than was counted here, by the same fields: the greater number and
the earlier or later moment stand. A total goes down only where it is the one that was counted here
before, as after a refund.
"""

import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal

from django.db import connection, transaction

from subscribers import consent


@dataclass(frozen=True, slots=True)
class Activity:
    """A person's clicks and purchases as counted now, and the totals as counted before.

    Revenue is in the currency of the brands, less refunds. Instants are aware.
    """

    id: int
    clicks: int
    first_click_at: dt.datetime | None
    purchases: int
    revenue: Decimal
    first_purchase_at: dt.datetime | None
    last_purchase_at: dt.datetime | None
    engaged_at: dt.datetime | None
    clicks_before: int | None = None
    purchases_before: int | None = None
    revenue_before: Decimal | None = None


@transaction.atomic
def record(people: Sequence[Activity], *, now: dt.datetime) -> int:
    """Write people's activity by one statement; answers how many rows changed. Nobody erased."""
    if not people:
        return 0
    consent.lock_people([one.id for one in people])
    told = json.dumps([asdict(one) for one in people], default=str)
    with connection.cursor() as cursor:
        cursor.execute(_RECORD, {"people": told, "now": now})
        return cursor.rowcount


def _total(stored: str, counted: str) -> str:
    return (
        f"CASE WHEN known.{stored} = given.{counted}_before THEN given.{counted}"
        f" ELSE greatest(known.{stored}, given.{counted}) END"
    )


# `least` and `greatest` pass over NULL.
_FIELDS = {
    "has_clicked": "known.has_clicked OR given.clicks > 0",
    "has_purchased": "known.has_purchased OR given.purchases > 0",
    "first_click_at": "least(known.first_click_at, given.first_click_at)",
    "first_purchase_at": "least(known.first_purchase_at, given.first_purchase_at)",
    "last_purchase_at": "greatest(known.last_purchase_at, given.last_purchase_at)",
    "last_engagement": "greatest(known.last_engagement, given.engaged_at)",
    "total_clicks": _total("total_clicks", "clicks"),
    "total_purchases": _total("total_purchases", "purchases"),
    "total_revenue": _total("total_revenue", "revenue"),
}
_RECORD = f"""
    WITH new AS (
        SELECT known.id, {", ".join(f"{value} AS {name}" for name, value in _FIELDS.items())}
        FROM json_to_recordset(%(people)s::json) AS given(
            id bigint, clicks integer, first_click_at timestamptz, purchases integer,
            revenue numeric, first_purchase_at timestamptz, last_purchase_at timestamptz,
            engaged_at timestamptz, clicks_before integer, purchases_before integer,
            revenue_before numeric)
        JOIN subscribers_subscriber AS known USING (id)
        WHERE known.erased_at IS NULL)
    UPDATE subscribers_subscriber AS person
    SET {", ".join(f"{name} = new.{name}" for name in _FIELDS)}, updated_at = %(now)s
    FROM new
    WHERE person.id = new.id
      AND ({", ".join(f"person.{name}" for name in _FIELDS)})
          IS DISTINCT FROM ({", ".join(f"new.{name}" for name in _FIELDS)})"""
