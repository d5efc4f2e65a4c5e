"""Partitions by month: exact to the millisecond in UTC, made ahead, made once."""

import datetime as dt
import itertools
from collections.abc import Iterator

import pytest
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction

from sending import partitions
from sending.identity import identify
from sending.models import SentLog
from subscribers import clock
from subscribers.models import Brand
from tests import sending_world as world

LOG, EVENTS = "sending_sentlog", "tracking_trackingevent"
# Far from the months that an installation of today has; December and a leap February among them.
MONTHS = [dt.datetime(2031, 12, 1, tzinfo=dt.UTC), dt.datetime(2032, 1, 1, tzinfo=dt.UTC),
          dt.datetime(2032, 2, 1, tzinfo=dt.UTC), dt.datetime(2032, 3, 1, tzinfo=dt.UTC)]  # fmt: skip
MILLISECOND = dt.timedelta(milliseconds=1)


@pytest.fixture
def far_months(installed: None) -> Iterator[None]:
    """Partitions made by the test, and its time zone, are gone afterwards."""
    yield
    with connection.cursor() as cursor:
        cursor.execute("SET TIME ZONE 'UTC'")
        for name in attached(LOG) + attached(EVENTS):
            if int(name[-7:-3]) > 2030:
                cursor.execute(f'DROP TABLE "{name}"')


def attached(table: str) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = %s::regclass"
            " ORDER BY 1",
            [table],
        )
        return [row[0] for row in cursor.fetchall()]


def store(moment: dt.datetime) -> str:
    """Insert a text with that time; answers the partition that it is in."""
    brand = Brand.objects.first()
    assert brand is not None
    text = SentLog.objects.create(
        id=identify(moment, "test"),
        brand=brand,
        purpose="campaign",
        phone="+12125550100",
        expires_at=moment,
    )
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT tableoid::regclass::text FROM sending_sentlog WHERE id = %s", [text.pk]
        )
        return str(cursor.fetchone()[0])


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Pacific/Kiritimati"])
def test_every_month_begins_and_ends_at_its_millisecond_in_utc(
    brand: Brand, far_months: None, zone: str
) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('TimeZone', %s, false)", [zone])
    for month in MONTHS:
        partitions.ensure_month(LOG, month)

    for month, following in itertools.pairwise(MONTHS):
        name = f"{LOG}_{month:%Y_%m}"
        assert store(month) == store(month + dt.timedelta(days=10)) == name
        assert store(following - MILLISECOND) == name


def test_a_month_without_a_partition_refuses_its_texts(brand: Brand) -> None:
    with pytest.raises(IntegrityError, match="no partition"):
        store(MONTHS[0])


def test_partitions_are_made_from_last_month_to_three_months_ahead(far_months: None) -> None:
    made = partitions.ensure_ahead(dt.datetime(2032, 1, 31, 23, 59, tzinfo=dt.UTC))

    months = ["2031_12", "2032_01", "2032_02", "2032_03", "2032_04"]
    assert made == [f"{table}_{month}" for table in (LOG, EVENTS) for month in months]
    assert set(made) <= {*attached(LOG), *attached(EVENTS)}


def test_the_month_is_that_of_utc_wherever_now_was_read(far_months: None) -> None:
    evening = dt.datetime(2031, 12, 31, 22, tzinfo=dt.timezone(dt.timedelta(hours=-5)))

    made = partitions.ensure_ahead(evening)

    assert made[0] == f"{LOG}_2031_12"  # it is January 2032 in UTC, and December is last month
    assert f"{LOG}_2032_04" in made


def test_making_them_again_makes_nothing(far_months: None) -> None:
    now = dt.datetime(2032, 1, 31, tzinfo=dt.UTC)
    partitions.ensure_ahead(now)

    assert partitions.ensure_ahead(now) == []


def test_an_installation_has_its_partitions_of_today(installed: None) -> None:
    assert partitions.ensure_ahead() == []
    assert f"{LOG}_{clock.now():%Y_%m}" in attached(LOG)


def test_two_that_make_the_same_month_at_once_make_it_once(far_months: None) -> None:
    made = world.at_once(*[lambda: partitions.ensure_month(LOG, MONTHS[0])] * 4)

    assert sorted(name or "" for name in made) == ["", "", "", f"{LOG}_2031_12"]


def test_a_month_can_be_made_while_texts_are_read_and_written(
    brand: Brand, far_months: None
) -> None:
    with transaction.atomic():
        world.make_text(brand)
        made = world.at_once(lambda: partitions.ensure_month(LOG, MONTHS[0]))

    assert made == [f"{LOG}_2031_12"]


def test_a_new_partition_has_the_logs_indexes_and_room_in_its_pages(far_months: None) -> None:
    name = partitions.ensure_month(LOG, MONTHS[0])

    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_indexes WHERE tablename = %s", [name])
        indexes = cursor.fetchone()[0]
        cursor.execute("SELECT reloptions::text FROM pg_class WHERE relname = %s", [name])
        options = cursor.fetchone()[0]
    assert indexes == 3
    assert f"fillfactor={partitions.FILLFACTOR}" in options


def test_the_command_makes_what_is_missing_and_then_nothing(installed: None, capsys) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT max(relname) FROM pg_class WHERE relkind = 'r'"
            " AND relname LIKE 'sending_sentlog_2%'"
        )
        last = cursor.fetchone()[0]
        cursor.execute(f'DROP TABLE "{last}"')

    call_command("ensure_partitions")
    call_command("ensure_partitions")

    printed = capsys.readouterr().out
    assert f"made {last}\n1 partitions were missing." in printed
    assert printed.rstrip().endswith("0 partitions were missing.")
