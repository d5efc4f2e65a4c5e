"""Claims about rolling caps, the law's caps, and about the decision whatever the facts are."""

import datetime as dt
from typing import NamedTuple

import pytest
from hypothesis import given

from campaigns.eligibility import (
    REASON_TEXT,
    Action,
    Decision,
    Facts,
    Law,
    Policy,
    Purpose,
    Reason,
    decide,
)
from campaigns.schedule import STOP_BEFORE_END
from tests.campaigns import wall_clock
from tests.campaigns.people import LAWS, NOW, NOWS, PERSONS, POLICIES, facts, hours, policy

SECOND = dt.timedelta(seconds=1)
HOUR = dt.timedelta(hours=1)
DAY = dt.timedelta(hours=24)
WEEK = dt.timedelta(days=7)
ALWAYS = hours("00:00-23:59")
LAWLESS = {"US": Law(ALWAYS, None)}
CAPPED = {"US": Law(ALWAYS, None), "US-FL": Law(ALWAYS, 3)}


class Cap(NamedTuple):
    """A rolling cap: its reason, the texts it counts, its period, and what sets it to three."""

    reason: Reason
    counted: str
    period: dt.timedelta
    rules: dict[str, object]


EACH_CAP = pytest.mark.parametrize(
    "cap",
    [
        Cap(Reason.WEEKLY_CAP, "campaign_sent", WEEK, {"weekly_cap": 3}),
        Cap(Reason.DAILY_LIMIT, "brand_sent", DAY, {"daily_limit": 3}),
        Cap(Reason.LEGAL_CAP, "brand_sent", DAY, {"laws": CAPPED}),
    ],
    ids=lambda cap: str(cap.reason),
)


def at_any_hour(**changes: object) -> Policy:
    """Rules that only caps can break."""
    rules = {"brand_hours": ALWAYS, "laws": LAWLESS, "daily_limit": 9}
    return policy(**rules | changes)


SHARED = {"US": Law(ALWAYS, None), "US-FL": Law(ALWAYS, 3, workspace_cap=3)}


@pytest.mark.parametrize(("own", "others"), [(0, 3), (1, 2), (2, 1), (2, 3)])
def test_a_cap_by_subject_counts_the_texts_of_all_brands(own: int, others: int) -> None:
    sent = [NOW - number * HOUR for number in range(5, 0, -1)]
    mine, theirs = sent[:own], sent[own : own + others]

    person = floridian(brand_sent=mine, others_sent=theirs)
    decision = decide(person, at_any_hour(laws=SHARED), NOW)

    free = sorted([*mine, *theirs])[-3] + DAY
    assert decision == Decision(Action.DEFER, Reason.LEGAL_CAP, until=free)
    assert decide(person, at_any_hour(laws=SHARED), free).action is Action.SEND
    assert decide(person, at_any_hour(laws=SHARED), free - SECOND).reason is Reason.LEGAL_CAP


def test_below_a_cap_by_subject_a_text_may_be_sent() -> None:
    person = floridian(brand_sent=[NOW - HOUR], others_sent=[NOW - HOUR])

    assert decide(person, at_any_hour(laws=SHARED), NOW).reason is Reason.OK


def test_other_brands_texts_count_for_no_other_cap() -> None:
    person = floridian(others_sent=[NOW - HOUR] * 9)

    assert decide(person, at_any_hour(laws=CAPPED, daily_limit=1), NOW).reason is Reason.OK


def test_other_brands_texts_never_lift_the_cap_of_the_brands_own() -> None:
    person = floridian(brand_sent=[NOW - HOUR] * 3, others_sent=[NOW - HOUR])

    for laws in (CAPPED, SHARED):
        assert decide(person, at_any_hour(laws=laws), NOW).reason is Reason.LEGAL_CAP


def floridian(**changes: object) -> Facts:
    return facts(jurisdictions=("US", "US-FL"), **changes)


@EACH_CAP
@pytest.mark.parametrize("sent", [0, 1, 2])
def test_below_a_cap_a_text_may_be_sent(cap: Cap, sent: int) -> None:
    person = floridian(**{cap.counted: [NOW - HOUR] * sent})

    assert decide(person, at_any_hour(**cap.rules), NOW).reason is Reason.OK


@EACH_CAP
@pytest.mark.parametrize("more", [0, 1, 4])
def test_at_a_cap_the_text_waits_until_just_enough_texts_are_past(cap: Cap, more: int) -> None:
    sent = [NOW - cap.period + number * HOUR for number in range(1, 4 + more)]
    person, rules = floridian(**{cap.counted: sent}), at_any_hour(**cap.rules)

    decision = decide(person, rules, NOW)

    free = sent[-3] + cap.period
    assert decision == Decision(Action.DEFER, cap.reason, until=free)
    assert decide(person, rules, free - SECOND) == decision
    assert decide(person, rules, free).reason is Reason.OK


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_a_cap_of_any_size_waits_for_the_oldest_text_that_fills_it(size: int) -> None:
    sent = [NOW - DAY + number * HOUR for number in range(1, 6)]
    free = sent[-size] + DAY
    laws = {"US": Law(ALWAYS, size)}

    for rules in (at_any_hour(daily_limit=size), at_any_hour(laws=laws)):
        assert decide(facts(brand_sent=sent), rules, NOW).until == free
        assert decide(facts(brand_sent=sent), rules, free).reason is Reason.OK


@EACH_CAP
@pytest.mark.parametrize(
    ("ago", "counts"),
    [(-SECOND, True), (0 * SECOND, False), (SECOND, False), (-DAY, True)],
    ids=["a second inside", "to the second", "a second outside", "long inside"],
)
def test_a_text_counts_for_its_whole_period_and_not_longer(
    cap: Cap, ago: dt.timedelta, counts: bool
) -> None:
    sent = [NOW - cap.period - ago, NOW - HOUR, NOW - HOUR]

    decision = decide(floridian(**{cap.counted: sent}), at_any_hour(**cap.rules), NOW)

    assert decision.reason is (cap.reason if counts else Reason.OK)


@EACH_CAP
def test_a_text_that_another_clock_dates_in_the_future_counts(cap: Cap) -> None:
    sent = [NOW - HOUR, NOW, NOW + SECOND]

    assert (
        decide(floridian(**{cap.counted: sent}), at_any_hour(**cap.rules), NOW).reason is cap.reason
    )


@pytest.mark.parametrize(
    ("reason", "cap"),
    [
        (Reason.WEEKLY_CAP, {"weekly_cap": 0}),
        (Reason.DAILY_LIMIT, {"daily_limit": 0}),
        (Reason.LEGAL_CAP, {"laws": {"US": Law(ALWAYS, 0)}}),
    ],
)
def test_a_cap_of_nothing_allows_nothing(reason: Reason, cap: dict[str, object]) -> None:
    decision = decide(facts(), at_any_hour(**cap), NOW)

    period = WEEK if reason is Reason.WEEKLY_CAP else DAY
    assert decision == Decision(Action.DEFER, reason, until=NOW + period)


def test_a_campaign_without_a_weekly_cap_is_not_counted() -> None:
    person = facts(campaign_sent=[NOW - HOUR] * 50)

    assert decide(person, at_any_hour(weekly_cap=None), NOW).reason is Reason.OK


def test_the_strictest_of_the_brand_and_all_laws_counts() -> None:
    laws = {"US": Law(ALWAYS, None), "US-FL": Law(ALWAYS, 3), "US-OK": Law(ALWAYS, 2)}
    both = facts(jurisdictions=("US", "US-FL", "US-OK"))

    def reason(sent: int, daily_limit: int) -> Reason:
        person = facts(jurisdictions=both.jurisdictions, brand_sent=[NOW - HOUR] * sent)
        return decide(person, at_any_hour(daily_limit=daily_limit, laws=laws), NOW).reason

    assert [reason(sent, 4) for sent in (1, 2, 3)] == [
        Reason.OK,
        Reason.LEGAL_CAP,
        Reason.LEGAL_CAP,
    ]
    assert [reason(sent, 1) for sent in (0, 1, 2)] == [
        *(Reason.OK, Reason.DAILY_LIMIT, Reason.DAILY_LIMIT)
    ]


@pytest.mark.parametrize(
    ("jurisdictions", "rows"),
    [
        (("US",), ["US"]),
        (("US", "US-FL"), ["US", "US-FL"]),
        (("US", "US-NC"), ["US"]),  # no law of its own: the country's
        (("US-NC",), ["US"]),
        (("CA", "CA-ON"), ["CA"]),
        ((), ["DEFAULT_SAFE"]),
        (("",), ["DEFAULT_SAFE"]),
        (("JM",), ["DEFAULT_SAFE"]),
        (("JM", "MX"), ["DEFAULT_SAFE"]),
        (("DEFAULT_SAFE", "US"), ["DEFAULT_SAFE", "US"]),
        # A second place adds to the first one's rules, and never replaces them.
        (("JM", "US", "US-FL"), ["DEFAULT_SAFE", "US", "US-FL"]),
        (("US", "JM"), ["US", "DEFAULT_SAFE"]),
    ],
)
def test_an_unknown_place_has_the_safe_defaults_hours_and_cap(
    jurisdictions: tuple[str, ...], rows: list[str]
) -> None:
    assert policy().laws_for(jurisdictions) == [LAWS[row] for row in rows]


def test_knowing_another_place_of_a_person_never_makes_the_rules_milder() -> None:
    person = facts(brand_sent=[NOW - HOUR, NOW - HOUR], jurisdictions=("JM",))
    moved = facts(brand_sent=person.brand_sent, jurisdictions=("JM", "US"))
    early = dt.datetime(2027, 1, 19, 14, 30, tzinfo=dt.UTC)  # 09:30 in New York

    assert decide(person, policy(), NOW).reason is Reason.LEGAL_CAP
    assert decide(moved, policy(), NOW).reason is Reason.LEGAL_CAP
    assert decide(facts(jurisdictions=("JM", "US")), policy(), early).until == early + HOUR / 2


BY_HAND = {Reason.PLATFORM_OFF, Reason.BRAND_OFF, Reason.CAMPAIGN_PAUSED}


@given(PERSONS, POLICIES, NOWS)
def test_whatever_the_facts_there_is_one_answer_with_its_reason(
    person: Facts, rules: Policy, now: dt.datetime
) -> None:
    decision = decide(person, rules, now)

    assert decision.reason in REASON_TEXT
    assert (decision.reason is Reason.OK) is (decision.action is Action.SEND)
    assert (decision.window_end is not None) is (decision.action is Action.SEND)
    waits = decision.action is Action.DEFER and decision.reason not in BY_HAND
    assert (decision.until is not None) is waits
    assert decision.until is None or decision.until > now


@given(PERSONS, POLICIES, NOWS)
def test_whatever_the_facts_a_campaign_text_starts_and_ends_within_all_hours(
    person: Facts, rules: Policy, now: dt.datetime
) -> None:
    decision = decide(person, rules, now)

    if decision.action is not Action.SEND or rules.purpose is not Purpose.CAMPAIGN:
        return
    assert person.zones
    assert decision.window_end - now > STOP_BEFORE_END
    bound = [rules.brand_hours, *(law.hours for law in rules.laws_for(person.jurisdictions))]
    texts = [f"{one.weekdays.opens:%H:%M}-{one.weekdays.closes:%H:%M}" for one in bound]
    for moment in (now, now + STOP_BEFORE_END, decision.window_end - SECOND):
        assert all(wall_clock.shows(zone, text, moment) for zone in person.zones for text in texts)


@given(PERSONS, POLICIES, NOWS)
def test_whatever_the_facts_only_who_agreed_gets_a_campaigns_text(
    person: Facts, rules: Policy, now: dt.datetime
) -> None:
    decision = decide(person, rules, now)

    if decision.action is Action.SEND and rules.purpose is Purpose.CAMPAIGN:
        assert person.subscription == "opted_in"
        assert person.has_evidence
        assert not person.suppressed
        assert sum(moment > now - DAY for moment in person.brand_sent) < rules.daily_limit
        assert rules.platform_remaining > 0


@given(PERSONS, POLICIES, NOWS)
def test_a_deferral_ends_no_second_later_than_its_rule_needs(
    person: Facts, rules: Policy, now: dt.datetime
) -> None:
    decision = decide(person, rules, now)

    if decision.until is not None and decision.until - SECOND > now:
        assert decide(person, rules, decision.until - SECOND).action is not Action.SEND


@given(PERSONS, POLICIES, NOWS)
def test_following_the_deferrals_leads_to_a_text_or_to_a_reason_without_one(
    person: Facts, rules: Policy, now: dt.datetime
) -> None:
    decision, steps = decide(person, rules, now), 0
    while decision.until is not None and steps < 40:
        decision, steps = decide(person, rules, decision.until), steps + 1

    endless = rules.platform_remaining <= 0 or rules.daily_limit == 0 or rules.weekly_cap == 0
    assert decision.until is None or endless
