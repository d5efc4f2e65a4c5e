"""A list into subscribers: what is counted, what is stored, and what never happens."""

import datetime as dt
import tracemalloc
from collections.abc import Iterator
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from subscribers import consent
from subscribers.models import (
    Brand,
    ConsentEvent,
    ConsentSource,
    Subscriber,
    Subscription,
    Suppression,
    Workspace,
)
from subscribers.sync import load
from subscribers.sync.lime_xml import ListCutError
from subscribers.sync.load import Report
from tests.subscribers.conftest import (
    DAY,
    JANUARY,
    make_brand,
    make_person,
    phone,
    record,
    status,
)

NEW_YORK = "America/New_York"


def sync(brand: Brand, *records: dict[str, str], clock: str = NEW_YORK) -> Report:
    return load.load(records, brand, list_id="7", list_clock=clock)


def numbers(report: Report) -> tuple[int, int, int, int, int]:
    """(read, new, changed, unchanged, refused)"""
    return (report.read, report.new, report.changed, report.unchanged, report.refused.total())


def person(number: int = 0) -> Subscriber:
    return Subscriber.objects.get(phone=phone(number))


def lime_date(moment: dt.datetime, zone: str = NEW_YORK) -> str:
    return moment.astimezone(ZoneInfo(zone)).strftime(load.DATE_FORMAT)


def test_a_new_person_is_stored_and_subscribed_with_evidence(brand: Brand) -> None:
    given = record(LastName="Byron", Email="ada@example.com", Zipcode="10001", Gender="F")

    report = sync(brand, given | {"DateOfBirth": "12/10/1815", "UserDefine1": "gold"})

    stored, event = person(), ConsentEvent.objects.get()
    assert numbers(report) == (1, 1, 0, 0, 0)
    assert (stored.first_name, stored.last_name) == ("Ada", "Byron")
    assert (stored.email, stored.postcode) == ("ada@example.com", "10001")
    assert stored.traits == {"gender": "F", "date_of_birth": "12/10/1815", "userdefine1": "gold"}
    assert status(stored, brand) == "opted_in"
    assert (event.subscriber, event.brand, event.workspace) == (stored, brand, brand.workspace)
    assert (event.kind, event.source, event.occurred_at) == ("opt_in", "list_sync", JANUARY)
    assert event.evidence == {
        "list": "7",
        "keyword": "PIZZA (71441-US)",
        "short_code": "71441",
        "date_as_given": "01/15/2025 07:00:00 AM",
    }


def test_a_list_read_twice_changes_nothing(brand: Brand) -> None:
    people = [record(0), record(1, Zipcode="90210"), record(2, Email="no address")]
    sync(brand, *people)
    before = list(Subscriber.objects.order_by("pk").values())

    report = sync(brand, *people)

    assert numbers(report) == (3, 0, 0, 3, 0)
    assert list(Subscriber.objects.order_by("pk").values()) == before
    assert ConsentEvent.objects.count() == 3


@pytest.mark.parametrize(
    ("tag", "field", "text"),
    [
        ("FirstName", "first_name", "Augusta"),
        ("LastName", "last_name", "King"),
        ("Email", "email", "king@example.com"),
        ("Zipcode", "postcode", "90210"),
    ],
)
def test_a_field_that_changed_is_stored_and_counted(
    brand: Brand, tag: str, field: str, text: str
) -> None:
    sync(brand, record(0), record(1))

    report = sync(brand, record(0) | {tag: text}, record(1))

    assert numbers(report) == (2, 0, 1, 1, 0)
    assert getattr(person(), field) == text


def test_a_newer_opt_in_date_is_a_change(brand: Brand) -> None:
    sync(brand, record())

    report = sync(brand, record(OptInDate="02/15/2025 07:00:00 AM"))

    assert numbers(report) == (1, 0, 1, 0, 0)
    assert Subscription.objects.get().opted_in_at == JANUARY + 31 * DAY


def test_a_field_that_the_list_leaves_empty_keeps_what_is_known(brand: Brand) -> None:
    full = {"LastName": "Byron", "Email": "ada@example.com", "Zipcode": "10001", "Gender": "F"}
    sync(brand, record(**full))
    before = Subscriber.objects.values().get()
    bare = record()
    del bare["FirstName"]

    report = sync(brand, bare)

    assert numbers(report) == (1, 0, 0, 1, 0)
    assert Subscriber.objects.values().get() == before


def test_what_other_sources_know_is_kept_and_traits_are_added_to(brand: Brand) -> None:
    make_person(
        brand.workspace, traits={"shoe": 42}, timezone="Asia/Tokyo", total_clicks=3, name="A. B."
    )

    sync(brand, record(UserDefine1="gold"))

    stored = person()
    assert stored.traits == {"shoe": 42, "userdefine1": "gold"}
    assert (stored.timezone, stored.total_clicks, stored.name) == ("Asia/Tokyo", 3, "A. B.")
    assert stored.zones == ["America/New_York", "Asia/Tokyo"]


def test_the_zones_and_jurisdictions_of_number_and_postcode_are_stored(brand: Brand) -> None:
    sync(brand, record(), record(1, MobileNumber="18085551000", Zipcode="90210"))

    hawaiian = Subscriber.objects.get(phone="+18085551000")
    assert person().zones == ["America/New_York"]
    assert person().jurisdictions == ["US", "US-NY"]
    assert hawaiian.zones == ["America/Los_Angeles", "Pacific/Honolulu"]
    assert hawaiian.jurisdictions == ["US", "US-CA", "US-HI"]
    assert (hawaiian.country, hawaiian.number_kind) == ("US", "mobile_or_landline")


def test_a_new_postcode_adds_its_zone_and_takes_none_away(brand: Brand) -> None:
    sync(brand, record(Zipcode="90210"))

    report = sync(brand, record(Zipcode="60601"))

    assert numbers(report) == (1, 0, 1, 0, 0)
    assert person().zones == ["America/Chicago", "America/Los_Angeles", "America/New_York"]


def test_the_second_record_of_a_number_is_refused(brand: Brand) -> None:
    report = sync(brand, record(), record(FirstName="Eve"), record(1))

    assert numbers(report) == (3, 2, 0, 0, 1)
    assert report.refused == {"duplicate": 1}
    assert person().first_name == "Ada"


def test_a_duplicate_is_found_across_batches(brand: Brand) -> None:
    junk = [{"MobileNumber": "1"}] * load.BATCH

    report = sync(brand, record(), *junk, record())

    assert report.refused["duplicate"] == 1
    assert report.new == 1


REFUSALS = {
    "phone_empty": {"MobileNumber": ""},
    "phone_not_a_number": {"MobileNumber": "call me"},
    "phone_too_short": {"MobileNumber": "12345"},
    "phone_too_long": {"MobileNumber": "1" * 200},
    "phone_impossible": {"MobileNumber": "99955512345"},
    "phone_invalid": {"MobileNumber": "11115551000"},
    "opt_in_date_unreadable": {"OptInDate": "2025-01-15"},
    "opt_in_date_too_old": {"OptInDate": "12/02/1992 07:00:00 AM"},
    "opt_in_date_in_the_future": {"OptInDate": "01/15/2999 07:00:00 AM"},
}


@pytest.mark.parametrize("reason", REFUSALS)
def test_a_record_that_cannot_be_used_is_counted_under_its_reason(
    brand: Brand, reason: str
) -> None:
    report = sync(brand, record(0), record(1, **REFUSALS[reason]), record(2))

    assert report.refused == {reason: 1}
    assert numbers(report) == (3, 2, 0, 0, 1)
    assert Subscriber.objects.count() == 2


def test_a_record_without_a_date_or_a_number_is_refused(brand: Brand) -> None:
    without_date, without_number = record(0), record(1)
    del without_date["OptInDate"], without_number["MobileNumber"]

    report = sync(brand, without_date, without_number, {})

    assert report.refused == {"opt_in_date_unreadable": 1, "phone_empty": 2}
    assert not Subscriber.objects.exists()


def test_a_date_before_the_first_year_is_refused_before_the_database_cannot_tell_it(
    brand: Brand,
) -> None:
    report = sync(brand, record(OptInDate="01/01/0001 12:00:00 AM"), clock="Asia/Tokyo")

    assert report.refused == {"opt_in_date_too_old": 1}


def test_dates_are_read_in_the_clock_of_the_list(brand: Brand) -> None:
    sync(brand, record(0, OptInDate="07/15/2024 08:00:00 AM"), clock="America/Los_Angeles")
    sync(brand, record(1, OptInDate="07/15/2024 12:00:00 AM"), clock="UTC")

    dates = dict(Subscription.objects.values_list("subscriber__phone", "opted_in_at"))
    assert dates == {
        phone(0): dt.datetime(2024, 7, 15, 15, tzinfo=dt.UTC),
        phone(1): dt.datetime(2024, 7, 15, 0, tzinfo=dt.UTC),
    }


def test_a_sync_never_brings_back_who_left_after_the_date_of_the_list(brand: Brand) -> None:
    sync(brand, record())
    consent.opt_out(
        brand.workspace,
        phone(),
        brand=brand,
        at=JANUARY + DAY,
        source=ConsentSource.KEYWORD,
        reason="STOP",
    )

    report = sync(brand, record())
    same_moment = sync(brand, record(OptInDate=lime_date(JANUARY + DAY)))

    assert numbers(report) == (1, 0, 0, 1, 0)
    assert numbers(same_moment) == (1, 0, 0, 1, 0)
    assert status(person(), brand) == "opted_out"
    assert Suppression.objects.exists()


def test_a_sync_touches_only_its_own_brand_and_workspace(
    brand: Brand, other_workspace: Workspace
) -> None:
    second = make_brand(brand.workspace, "ta")
    theirs = make_person(other_workspace, first_name="Grace")

    sync(brand, record())

    theirs.refresh_from_db()
    assert status(Subscriber.objects.get(workspace=brand.workspace), second) == ""
    assert theirs.first_name == "Grace"
    assert Subscriber.objects.filter(phone=phone()).count() == 2


def test_two_lists_of_one_person_make_one_person_in_two_brands(brand: Brand) -> None:
    second = make_brand(brand.workspace, "ta")
    sync(brand, record())

    report = sync(second, record())

    assert numbers(report) == (1, 0, 1, 0, 0)  # known, but newly subscribed
    assert [status(person(), one) for one in (brand, second)] == ["opted_in", "opted_in"]


def test_a_list_that_breaks_off_keeps_what_was_read_and_the_next_run_goes_on(brand: Brand) -> None:
    def broken() -> Iterator[dict[str, str]]:
        for number in range(load.BATCH + 5):
            yield record(number)
        raise ListCutError("The list broke off: here.")

    report = load.load(broken(), brand, list_id="7", list_clock=NEW_YORK)
    again = sync(brand, *(record(number) for number in range(load.BATCH + 7)))

    assert numbers(report) == (load.BATCH + 5, load.BATCH + 5, 0, 0, 0)
    assert report.cut == "The list broke off: here."
    assert numbers(again) == (load.BATCH + 7, 2, 0, load.BATCH + 5, 0)
    assert again.cut == ""


def test_an_empty_list_changes_nobody(brand: Brand) -> None:
    sync(brand, record())

    assert numbers(sync(brand)) == (0, 0, 0, 0, 0)

    assert status(person(), brand) == "opted_in"


text = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=210)
dates = st.datetimes().map(lambda moment: moment.strftime(load.DATE_FORMAT)) | text
phones = st.integers(0, 10**16).map(str) | text | st.sampled_from([phone(0)[1:], phone(1)[1:]])
any_record = st.fixed_dictionaries(
    {"MobileNumber": phones, "OptInDate": dates},
    optional=dict.fromkeys(("FirstName", "Email", "Zipcode", "UserDefine1", "Keyword"), text),
)


@settings(
    deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(any_record, max_size=8),
    st.sampled_from(["America/New_York", "Asia/Tokyo", "Pacific/Kiritimati"]),
)
def test_no_record_breaks_a_run_and_every_record_is_counted(
    brand: Brand, rows: list[dict[str, str]], clock: str
) -> None:
    report = sync(brand, *rows, clock=clock)

    read, new, changed, unchanged, refused = numbers(report)
    assert read == len(rows) == new + changed + unchanged + refused
    assert all(row.opted_in_at for row in Subscription.objects.all())  # readable again


def test_a_long_list_is_loaded_in_flat_memory(brand: Brand) -> None:
    def records(count: int) -> Iterator[dict[str, str]]:
        return (record(number % 250, Email=f"p{number}@example.com") for number in range(count))

    def peak(count: int) -> int:
        tracemalloc.start()
        report = load.load(records(count), brand, list_id="7", list_clock=NEW_YORK)
        assert report.read == count
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(1_000)  # tables are read and caches filled once

    assert peak(3_500) - peak(1_000) < 150_000  # bytes; the records themselves are a megabyte
