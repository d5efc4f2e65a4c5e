"""Double opt-in: nobody is subscribed before their YES, and nobody is asked again and again."""

import datetime as dt
from typing import Any

import pytest

from subscribers import clock, consent, double_opt_in, upsert
from subscribers.models import (
    Brand,
    ConsentEvent,
    ConsentSource,
    ConsentWording,
    OptInRequest,
    OptInRule,
    Subscriber,
    Subscription,
    Workspace,
)
from tests.subscribers.conftest import DAY, JANUARY, make_person, status

PENDING, OPTED_IN = Subscription.Status.PENDING, Subscription.Status.OPTED_IN
BUT_KEYWORD = sorted(set(ConsentSource) - {ConsentSource.KEYWORD})


@pytest.fixture
def person(workspace: Workspace) -> Subscriber:
    return make_person(workspace)


@pytest.fixture
def double(brand: Brand) -> OptInRule:
    return OptInRule.objects.create(brand=brand, effective_from=JANUARY, answer_days=3)


def opt_in(person: Subscriber, brand: Brand, at: dt.datetime, source: str = "api") -> bool:
    return consent.opt_in(person, brand, at=at, source=source, evidence={"page": "/join"})


def asked(at: dt.datetime | None = None) -> None:
    """The text that asks has been planned."""
    requests = [request.pk for request in double_opt_in.waiting(10)]
    double_opt_in.mark_asked(requests, at or clock.now())


def yes(person: Subscriber, brand: Brand, after: dt.timedelta = dt.timedelta(0)) -> bool:
    return consent.confirm(person, brand, at=clock.now() + after, evidence={"wording": "yes"})


@pytest.mark.parametrize("source", BUT_KEYWORD)
def test_an_opt_in_of_any_source_only_waits(
    person: Subscriber, brand: Brand, double: OptInRule, source: str
) -> None:
    assert not opt_in(person, brand, JANUARY + DAY, source)

    assert status(person, brand) == PENDING
    (request,) = double_opt_in.waiting(10)
    assert (request.subscriber, request.brand, request.times) == (person, brand, 1)
    assert ConsentEvent.objects.get().kind == ConsentEvent.Kind.REQUEST


def test_an_opt_in_before_the_rules_date_is_single(
    person: Subscriber, brand: Brand, double: OptInRule
) -> None:
    assert opt_in(person, brand, JANUARY - DAY, ConsentSource.LIST_SYNC)

    assert status(person, brand) == OPTED_IN
    assert not OptInRequest.objects.exists()


def test_the_latest_rule_counts(person: Subscriber, brand: Brand, double: OptInRule) -> None:
    OptInRule.objects.create(brand=brand, effective_from=JANUARY + DAY, double_opt_in=False)

    assert opt_in(person, brand, JANUARY + 2 * DAY)


def test_yes_subscribes_with_the_evidence_of_both(
    person: Subscriber, brand: Brand, double: OptInRule
) -> None:
    opt_in(person, brand, JANUARY + DAY)
    asked()

    assert yes(person, brand)

    assert status(person, brand) == OPTED_IN
    event = ConsentEvent.objects.get(kind="opt_in")
    assert event.evidence == {
        "wording": "yes",
        "request": {"page": "/join"},
        "requested_by": "api",
    }
    assert not OptInRequest.objects.exists()
    assert not yes(person, brand)


def test_yes_counts_for_nothing_where_nobody_asked(person: Subscriber, brand: Brand) -> None:
    assert not yes(person, brand)

    assert status(person, brand) == ""


def test_yes_before_the_question_or_after_its_days_counts_for_nothing(
    person: Subscriber, brand: Brand, double: OptInRule
) -> None:
    opt_in(person, brand, JANUARY + DAY)
    assert not yes(person, brand)
    asked()

    assert not yes(person, brand, after=3 * DAY)
    assert status(person, brand) == PENDING


def test_yes_after_a_stop_counts_for_nothing(
    person: Subscriber, brand: Brand, double: OptInRule
) -> None:
    opt_in(person, brand, JANUARY + DAY)
    asked()
    stop(person, brand)

    assert not yes(person, brand)
    assert status(person, brand) == "opted_out"


def test_start_subscribes_without_a_question(
    person: Subscriber, brand: Brand, double: OptInRule
) -> None:
    opt_in(person, brand, JANUARY + DAY)

    assert opt_in(person, brand, clock.now(), ConsentSource.KEYWORD)
    assert not OptInRequest.objects.exists()


def test_a_form_filled_in_again_asks_once(
    person: Subscriber, brand: Brand, double: OptInRule
) -> None:
    for day in range(1, 6):
        opt_in(person, brand, JANUARY + day * DAY)
    asked()
    opt_in(person, brand, JANUARY + 6 * DAY)

    assert double_opt_in.waiting(10) == []
    assert OptInRequest.objects.get().times == 1


def test_a_request_that_expired_may_be_renewed_but_not_for_ever(
    person: Subscriber, brand: Brand, double: OptInRule
) -> None:
    times = 0
    for day in range(1, 9):
        opt_in(person, brand, JANUARY + day * DAY)
        times += len(double_opt_in.waiting(10))
        asked()
        OptInRequest.objects.update(expires_at=clock.now() - DAY)

    assert times == double_opt_in.MOST_REQUESTS


def test_a_list_read_again_is_no_new_wish(
    person: Subscriber, brand: Brand, double: OptInRule
) -> None:
    opt_in(person, brand, JANUARY + DAY, ConsentSource.LIST_SYNC)
    asked()
    OptInRequest.objects.update(expires_at=clock.now() - DAY)

    opt_in(person, brand, JANUARY + DAY, ConsentSource.LIST_SYNC)

    assert double_opt_in.waiting(10) == []


def test_an_older_list_does_not_subscribe_who_is_asked(
    person: Subscriber, brand: Brand, double: OptInRule
) -> None:
    opt_in(person, brand, JANUARY + DAY)

    assert not opt_in(person, brand, JANUARY - DAY, ConsentSource.LIST_SYNC)
    assert status(person, brand) == PENDING


def test_who_opted_out_or_is_suppressed_or_subscribed_is_not_asked(
    workspace: Workspace, brand: Brand
) -> None:
    left, barred, subscribed = (make_person(workspace, number) for number in range(3))
    opt_in(subscribed, brand, JANUARY)
    stop(left, brand)
    consent.opt_out(
        workspace,
        barred.phone,
        brand=None,
        at=JANUARY,
        source=ConsentSource.OPERATOR,
        reason="asked by letter",
    )
    OptInRule.objects.create(brand=brand, effective_from=JANUARY + DAY)

    for person in (left, barred, subscribed):
        opt_in(person, brand, clock.now())

    assert double_opt_in.waiting(10) == []
    assert status(subscribed, brand) == OPTED_IN


def test_the_api_leaves_people_pending(workspace: Workspace, brand: Brand, double: Any) -> None:
    person = upsert.upsert(
        workspace, {"phone": "+12125551234"}, subscribe={brand: True}, evidence={}
    )

    assert status(person, brand) == PENDING


def test_an_opt_in_names_the_wording_of_its_time(person: Subscriber, brand: Brand) -> None:
    for version, at in (("1", JANUARY), ("2", JANUARY + 10 * DAY)):
        ConsentWording.objects.create(brand=brand, version=version, text="I agree", valid_from=at)

    for at in (JANUARY - DAY, JANUARY + DAY, JANUARY + 20 * DAY):
        opt_in(person, brand, at)

    events = ConsentEvent.objects.order_by("occurred_at").select_related("wording")
    assert [event.wording and event.wording.version for event in events] == [None, "1", "2"]


def stop(person: Subscriber, brand: Brand) -> None:
    consent.opt_out(
        brand.workspace,
        person.phone,
        brand=brand,
        at=clock.now(),
        source=ConsentSource.KEYWORD,
        reason="STOP",
    )
