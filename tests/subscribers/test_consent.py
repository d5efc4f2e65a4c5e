"""Consent: the last word of the person counts, and every word is kept."""

import datetime as dt
import time
from itertools import batched
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from subscribers import clock, consent, upsert
from subscribers.consent import OptIn
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
from tests.subscribers.conftest import (
    DAY,
    JANUARY,
    make_brand,
    make_person,
    make_workspace,
    phone,
    record,
    status,
    together,
)

OPTED_IN, OPTED_OUT = Subscription.Status.OPTED_IN, Subscription.Status.OPTED_OUT

HIS_OWN = (
    ConsentSource.KEYWORD,
    ConsentSource.FREE_TEXT,
    ConsentSource.API,
    ConsentSource.ERASURE,
)
NOT_HIS_OWN = (ConsentSource.OPERATOR, ConsentSource.PROVIDER, ConsentSource.IMPORT)


def opt_in(
    person: Subscriber,
    brand: Brand,
    at: dt.datetime = JANUARY,
    source: str = ConsentSource.LIST_SYNC,
) -> bool:
    return consent.opt_in(person, brand, at=at, source=source, evidence={"list": "7"})


def opt_out(
    brand: Brand,
    at: dt.datetime,
    source: str = ConsentSource.KEYWORD,
    *,
    everywhere: bool = False,
    **evidence: Any,
) -> Subscriber | None:
    return consent.opt_out(
        brand.workspace,
        phone(),
        brand=None if everywhere else brand,
        at=at,
        source=source,
        reason="STOP",
        evidence=evidence,
    )


def may_text(person: Subscriber, brand: Brand) -> bool:
    """What sending asks of consent."""
    suppressed = consent.is_suppressed(brand.workspace, person.phone, brand)
    return status(person, brand) == OPTED_IN and not suppressed


@pytest.fixture
def person(workspace: Workspace) -> Subscriber:
    return make_person(workspace)


def test_an_opt_in_is_kept_with_its_evidence(person: Subscriber, brand: Brand) -> None:
    subscribed = opt_in(person, brand)

    event = ConsentEvent.objects.get()
    assert subscribed
    assert may_text(person, brand)
    assert (event.kind, event.source, event.occurred_at) == ("opt_in", "list_sync", JANUARY)
    assert event.evidence == {"list": "7"}
    assert bytes(event.phone_hash) == bytes(person.phone_hash)


@pytest.mark.parametrize("statement", ["UPDATE {} SET kind = 'opt_out'", "DELETE FROM {}"])
def test_the_database_refuses_to_change_evidence(
    person: Subscriber, brand: Brand, statement: str
) -> None:
    opt_in(person, brand)

    with (
        pytest.raises(DatabaseError, match=r"Cannot (update|delete)"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement.format("subscribers_consentevent"))

    assert ConsentEvent.objects.get().kind == "opt_in"


def test_an_opt_out_stops_texts_and_is_kept(person: Subscriber, brand: Brand) -> None:
    opt_in(person, brand)

    answered = opt_out(brand, JANUARY + DAY, wording="Stop.")

    event = ConsentEvent.objects.get(kind="opt_out")
    assert answered == person
    assert status(person, brand) == OPTED_OUT
    assert not may_text(person, brand)
    assert (event.subscriber, event.brand, event.evidence) == (person, brand, {"wording": "Stop."})


@pytest.mark.parametrize("before", [dt.timedelta(0), dt.timedelta(microseconds=1), 30 * DAY])
def test_an_opt_in_that_is_not_newer_never_brings_back(
    person: Subscriber, brand: Brand, before: dt.timedelta
) -> None:
    opt_out(brand, JANUARY)

    assert not opt_in(person, brand, JANUARY - before)

    assert not may_text(person, brand)
    assert status(person, brand) == OPTED_OUT
    assert ConsentEvent.objects.filter(kind="opt_in").exists()  # the evidence is kept either way


@pytest.mark.parametrize("opt_in_source", consent.BRINGS_BACK)
@pytest.mark.parametrize("opt_out_source", HIS_OWN)
def test_a_newer_opt_in_of_the_person_brings_back_who_left(
    person: Subscriber, brand: Brand, opt_in_source: str, opt_out_source: str
) -> None:
    opt_in(person, brand)
    opt_out(brand, JANUARY + DAY, opt_out_source)

    opt_in(person, brand, JANUARY + 2 * DAY, opt_in_source)

    assert may_text(person, brand)


@pytest.mark.parametrize("source", NOT_HIS_OWN)
def test_a_newer_opt_in_never_lifts_what_others_suppressed(
    person: Subscriber, brand: Brand, source: str
) -> None:
    opt_out(brand, JANUARY, source)

    opt_in(person, brand, JANUARY + DAY, ConsentSource.KEYWORD)

    assert not may_text(person, brand)


@pytest.mark.parametrize("opt_in_source", sorted(set(ConsentSource) - {ConsentSource.KEYWORD}))
@pytest.mark.parametrize("opt_out_source", ConsentSource)
def test_nothing_but_the_persons_own_text_ever_brings_back(
    person: Subscriber, brand: Brand, opt_in_source: str, opt_out_source: str
) -> None:
    opt_in(person, brand)
    opt_out(brand, JANUARY + DAY, opt_out_source)

    opt_in(person, brand, JANUARY + 365 * DAY, opt_in_source)

    assert not may_text(person, brand)
    assert status(person, brand) == OPTED_OUT


@pytest.mark.parametrize("first", [*HIS_OWN, *NOT_HIS_OWN])
@pytest.mark.parametrize("second", [*HIS_OWN, *NOT_HIS_OWN])
def test_the_stronger_of_two_suppressions_stays(
    person: Subscriber, brand: Brand, first: str, second: str
) -> None:
    opt_out(brand, JANUARY, first)
    opt_out(brand, JANUARY + DAY, second)

    opt_in(person, brand, JANUARY + 2 * DAY, ConsentSource.KEYWORD)

    assert may_text(person, brand) == (first in HIS_OWN and second in HIS_OWN)


def test_an_opt_in_through_the_api_never_brings_back(person: Subscriber, brand: Brand) -> None:
    opt_out(brand, JANUARY)

    assert not opt_in(person, brand, JANUARY + DAY, ConsentSource.API)
    upsert.upsert(
        brand.workspace, {"phone": person.phone}, subscribe={brand: True}, evidence={"key": "k"}
    )

    assert status(person, brand) == OPTED_OUT
    assert not may_text(person, brand)


def test_an_opt_out_of_an_unknown_number_suppresses_who_arrives_later(brand: Brand) -> None:
    assert opt_out(brand, JANUARY) is None

    load.load([record()], brand, list_id="7", list_clock="America/New_York")
    person = Subscriber.objects.get()
    upsert.upsert(brand.workspace, {"phone": phone()}, subscribe={brand: True}, evidence={})

    assert not may_text(person, brand)


def test_an_opt_out_of_the_workspace_covers_every_brand_of_it(
    person: Subscriber, brand: Brand
) -> None:
    second, later = make_brand(brand.workspace, "ta"), make_brand(brand.workspace, "later")
    opt_in(person, brand)
    opt_in(person, second)

    opt_out(brand, JANUARY + DAY, everywhere=True)
    opt_in(person, second, JANUARY + 2 * DAY)
    opt_in(person, later, JANUARY + 2 * DAY)

    person.refresh_from_db()
    assert person.status == Subscriber.Status.OPTOUT
    assert not any(may_text(person, one) for one in (brand, second, later))
    assert consent.is_suppressed(brand.workspace, person.phone, None)


def test_an_opt_out_of_one_brand_leaves_the_other_alone(person: Subscriber, brand: Brand) -> None:
    other = make_brand(brand.workspace, "ta")
    opt_in(person, brand)
    opt_in(person, other)

    opt_out(brand, JANUARY + DAY)

    person.refresh_from_db()
    assert may_text(person, other)
    assert person.status == Subscriber.Status.ACTIVE
    assert not consent.is_suppressed(brand.workspace, person.phone, None)


def test_an_opt_out_of_one_tenant_says_nothing_of_the_same_number_at_another(
    person: Subscriber, brand: Brand, other_workspace: Workspace
) -> None:
    theirs = make_person(other_workspace)
    their_brand = make_brand(other_workspace)
    opt_in(theirs, their_brand)

    opt_out(brand, JANUARY + DAY)
    opt_out(brand, JANUARY + DAY, everywhere=True)

    assert may_text(theirs, their_brand)


def test_repeating_an_opt_in_changes_nothing(person: Subscriber, brand: Brand) -> None:
    row = OptIn(person.pk, bytes(person.phone_hash), JANUARY)
    assert consent.opt_in_many(brand, [row, row], source="list_sync") == [person.pk]

    assert consent.opt_in_many(brand, [row], source="list_sync") == []

    assert ConsentEvent.objects.count() == 1


def test_repeating_an_opt_out_changes_nothing(person: Subscriber, brand: Brand) -> None:
    for _ in range(3):
        opt_out(brand, JANUARY)

    assert ConsentEvent.objects.count() == 1
    assert Suppression.objects.count() == 1
    assert Subscription.objects.get().opted_out_at == JANUARY


def test_an_older_opt_out_told_late_does_not_weaken_a_newer_one(
    person: Subscriber, brand: Brand
) -> None:
    opt_out(brand, JANUARY + 10 * DAY)
    opt_out(brand, JANUARY)

    opt_in(person, brand, JANUARY + 5 * DAY)

    assert status(person, brand) == OPTED_OUT
    assert Subscription.objects.get().opted_out_at == JANUARY + 10 * DAY
    assert not may_text(person, brand)


def test_the_newest_of_two_opt_ins_is_the_date_of_the_subscription(
    person: Subscriber, brand: Brand
) -> None:
    opt_in(person, brand, JANUARY + DAY)

    opt_in(person, brand, JANUARY)

    assert Subscription.objects.get().opted_in_at == JANUARY + DAY
    assert ConsentEvent.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_a_stop_that_races_a_list_sync_always_wins() -> None:
    brand = make_brand(make_workspace())
    ahead = make_brand(brand.workspace, "ta")
    for number in range(12):
        if number % 2:  # the others are new to the system
            opt_in(make_person(brand.workspace, number), ahead)

        def stop(number: int = number) -> None:
            consent.opt_out(
                brand.workspace,
                phone(number),
                brand=brand,
                at=clock.now(),
                source=ConsentSource.KEYWORD,
                reason="STOP",
            )

        def sync(number: int = number) -> None:
            load.load([record(number)], brand, list_id="7", list_clock="America/New_York")

        together(sync, stop, sync)

        person = Subscriber.objects.get(phone=phone(number))
        assert not may_text(person, brand)
        if number % 2:
            assert status(person, brand) == OPTED_OUT


@pytest.mark.django_db(transaction=True)
def test_an_opt_out_waits_for_who_is_deciding_about_the_person() -> None:
    brand = make_brand(make_workspace())
    person = make_person(brand.workspace)
    order: list[str] = []

    def decide() -> None:
        with transaction.atomic():
            consent.lock_people([person.pk])
            time.sleep(0.3)
            order.append("decided")

    def stop() -> None:
        time.sleep(0.1)
        opt_out(brand, JANUARY)
        order.append("stopped")

    together(decide, stop)

    assert order == ["decided", "stopped"]


@pytest.mark.django_db(transaction=True)
def test_a_list_sync_and_who_decides_about_the_same_people_never_deadlock() -> None:
    brand = make_brand(make_workspace())
    # Ids run against the numbers: whoever locks in the order of one meets who locks by the other.
    people = [make_person(brand.workspace, number).pk for number in reversed(range(200))]

    def sync() -> None:
        for year in range(2000, 2012):
            rows = [record(n, OptInDate=f"01/15/{year} 07:00:00 AM") for n in range(200)]
            load.load(rows, brand, list_id="7", list_clock="America/New_York")

    def decide() -> None:
        for _ in range(12):
            with transaction.atomic():
                for some in batched(people, 20):  # as a gate: in ascending ids
                    consent.lock_people(some)

    together(sync, decide, sync)

    assert Subscription.objects.filter(brand=brand, status=OPTED_IN).count() == 200
