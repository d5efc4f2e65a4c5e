"""Claims about test sends: who may get one, and when, before a campaign has an audience."""

import datetime as dt

import pytest
from hypothesis import given

from campaigns.eligibility import Action, Decision, Facts, Policy, Purpose, Reason, decide
from tests.campaigns.people import NOW, NOWS, PERSONS, POLICIES, facts, hours, policy

NIGHT = dt.datetime(2027, 1, 19, 3, 0, tzinfo=dt.UTC)  # 22:00 in New York, the evening before
MORNING = dt.datetime(2027, 1, 19, 14, 0, tzinfo=dt.UTC)
REFUSING: list[tuple[Reason, dict[str, object]]] = [
    (Reason.OPTED_OUT, {"subscription": "opted_out"}),
    (Reason.SUPPRESSED, {"suppressed": True}),
    (Reason.UNREACHABLE, {"number_kind": "landline"}),
]


def of_a_test(**changes: object) -> Policy:
    return policy(**{"purpose": Purpose.TEST} | changes)


def test_a_test_needs_no_subscription() -> None:
    nobody = facts(subscription=None, has_evidence=False, last_engagement=None)

    decision = decide(nobody, of_a_test(engagement=dt.timedelta(days=1)), NOW)

    evening = dt.datetime(2027, 1, 20, 1, 0, tzinfo=dt.UTC)
    assert decision == Decision(Action.SEND, Reason.OK, window_end=evening)


def test_a_test_may_be_sent_before_its_campaign_runs_and_beyond_caps() -> None:
    sent = [NOW - dt.timedelta(hours=1)] * 9
    rules = of_a_test(campaign_running=False, weekly_cap=1, daily_limit=1)

    assert decide(facts(brand_sent=sent, campaign_sent=sent), rules, NOW).action is Action.SEND


@pytest.mark.parametrize(("reason", "of_person"), REFUSING)
@pytest.mark.parametrize("own", [False, True])
def test_nobody_who_said_no_gets_a_test(
    reason: Reason, of_person: dict[str, object], own: bool
) -> None:
    person = facts(**of_person, is_test_number=own)

    assert decide(person, of_a_test(), NOW) == Decision(Action.SKIP, reason)


@pytest.mark.parametrize(
    ("reason", "switch"),
    [(Reason.PLATFORM_OFF, "platform_enabled"), (Reason.BRAND_OFF, "brand_enabled")],
)
@pytest.mark.parametrize("own", [False, True])
def test_no_test_passes_a_kill_switch(reason: Reason, switch: str, own: bool) -> None:
    decision = decide(facts(is_test_number=own), of_a_test(**{switch: False}), NOW)

    assert decision == Decision(Action.SKIP, reason)


def test_a_test_at_night_is_not_kept_for_the_morning() -> None:
    decision = decide(facts(), of_a_test(), NIGHT)

    assert decision == Decision(Action.SKIP, Reason.OUTSIDE_HOURS, until=MORNING)
    assert decide(facts(zones=()), of_a_test(), NOW) == Decision(Action.SKIP, Reason.NO_HOURS)


def test_the_workspaces_own_numbers_get_tests_at_any_hour() -> None:
    mine = facts(is_test_number=True, subscription=None)

    soon = NIGHT + dt.timedelta(minutes=15)
    assert decide(mine, of_a_test(), NIGHT) == Decision(Action.SEND, Reason.OK, window_end=soon)


def test_a_test_number_is_nothing_special_to_a_campaign() -> None:
    mine = facts(is_test_number=True)

    assert decide(mine, policy(), NIGHT).reason is Reason.OUTSIDE_HOURS
    assert decide(mine, policy(brand_hours=hours("13:00-20:00")), NOW).action is Action.DEFER


@given(PERSONS, POLICIES, NOWS)
def test_whatever_the_facts_a_test_goes_now_or_never(
    person: Facts, rules: Policy, now: dt.datetime
) -> None:
    of_policy = {"platform_enabled": rules.platform_enabled, "brand_hours": rules.brand_hours}

    decision = decide(person, of_a_test(**of_policy), now)

    assert decision.action is not Action.DEFER
    if decision.action is Action.SEND:
        assert rules.platform_enabled
        assert person.subscription != "opted_out"
        assert not person.suppressed
