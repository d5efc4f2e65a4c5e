"""Monthly partitions by id: made ahead, because an insert without one is refused.

Why not a package: design.md, "Chosen parts". Bounds are ids (`identity.lower_bound`), so a month
is exact to the millisecond in UTC whatever the server's time zone.
"""

import datetime as dt
from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.db import connection, migrations, transaction

from sending.identity import lower_bound

# Models that are partitioned, by label: those to the right of this app are found by name.
PARTITIONED = ("sending.SentLog", "tracking.TrackingEvent")
MONTHS_BEHIND, MONTHS_AHEAD = 1, 3
# Room in each page for the next version of a row: state changes stay in place (HOT).
FILLFACTOR = 60


class CreatePartitionedModel(migrations.CreateModel):
    """CreateModel whose table is partitioned by range of its id."""

    def database_forwards(self, app_label: str, schema_editor: Any, *states: Any) -> None:
        plain = schema_editor.sql_create_table
        schema_editor.sql_create_table = f"{plain} PARTITION BY RANGE (id)"
        try:
            super().database_forwards(app_label, schema_editor, *states)
        finally:
            schema_editor.sql_create_table = plain


def ensure_ahead(now: dt.datetime | None = None) -> list[str]:
    """Make the partitions from last month to three months ahead; answers the new ones' names."""
    now = now or dt.datetime.now(dt.UTC)
    months = list(_months(now))
    tables = [apps.get_model(label)._meta.db_table for label in PARTITIONED]
    return [
        name
        for table in tables
        for month in months
        if (name := ensure_month(table, month)) is not None
    ]


def ensure_month(table: str, month: dt.datetime) -> str | None:
    """Make one month's partition of a table; its name, or None where it is there already.

    The new table is attached rather than created in place: readers and writers go on meanwhile.
    """
    name = name_of(table, month)
    if exists(name):
        return None
    bounds = [str(lower_bound(month)), str(lower_bound(_next(month)))]
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL lock_timeout = '5s'")
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [table])
        if exists(name):
            return None
        cursor.execute(
            f'CREATE TABLE "{name}" (LIKE "{table}" INCLUDING DEFAULTS INCLUDING CONSTRAINTS)'
            f" WITH (fillfactor = {FILLFACTOR}, autovacuum_vacuum_scale_factor = 0.05)"
        )
        cursor.execute(
            f'ALTER TABLE "{table}" ATTACH PARTITION "{name}" FOR VALUES FROM (%s) TO (%s)',
            bounds,
        )
    return name


def name_of(table: str, month: dt.datetime) -> str:
    """The name of a month's partition."""
    return f"{table}_{month:%Y_%m}"


def months_of(table: str) -> list[dt.datetime]:
    """The months (their first moment, UTC) that a table has partitions of, the oldest first."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT right(relname, 7) FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid"
            " WHERE inhparent = %s::regclass ORDER BY 1",
            [table],
        )
        names = [row[0] for row in cursor.fetchall()]
    return [dt.datetime.strptime(name, "%Y_%m").replace(tzinfo=dt.UTC) for name in names]


def exists(name: str) -> bool:
    """Whether there is such a table by now. (`to_regclass` may remember that there was none.)"""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_class WHERE relname = %s AND pg_table_is_visible(oid))",
            [name],
        )
        return cursor.fetchone()[0]


def _months(now: dt.datetime) -> Iterator[dt.datetime]:
    month = now.astimezone(dt.UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    for _ in range(MONTHS_BEHIND):
        month = (month - dt.timedelta(days=1)).replace(day=1)
    for _ in range(MONTHS_BEHIND + 1 + MONTHS_AHEAD):
        yield month
        month = _next(month)


def _next(month: dt.datetime) -> dt.datetime:
    return (month + dt.timedelta(days=32)).replace(day=1)
