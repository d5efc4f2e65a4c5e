"""Claims about the one decision: its rules, their order, and every answer it can give."""

import datetime as dt
import itertools

import pytest
from django.utils import timezone

from campaigns import eligibility
from campaigns.eligibility import (
    REASON_TEXT,
    Action,
    Decision,
    Facts,
    Law,
    Purpose,
    Reason,
    decide,
)
from campaigns.models import BrandPolicy, Campaign, Message
from campaigns.schedule import STOP_BEFORE_END
from sending import judge, planning
from sending.facts import Person
from sending.identity import namer
from sending.models import QueuedText, State
from sending.writing import Writer
from subscribers.models import Brand, Subscription
from subscribers.phones import PhoneKind
from tests.campaigns import wall_clock
from tests.campaigns.people import EASTERN, LAWS, NOW, facts, hours, policy

SECOND = dt.timedelta(seconds=1)
HOUR = dt.timedelta(hours=1)
DAY = dt.timedelta(hours=24)
WEEK = dt.timedelta(days=7)
STRICT = {"US": Law(hours("08:00-21:00"), 1), "DEFAULT_SAFE": LAWS["DEFAULT_SAFE"]}
SWITCHES = (Reason.PLATFORM_OFF, Reason.BRAND_OFF, Reason.CAMPAIGN_PAUSED)
ABOUT_THE_PERSON = (
    *(Reason.OPTED_OUT, Reason.NOT_OPTED_IN, Reason.SUPPRESSED),
    *(Reason.UNREACHABLE, Reason.NOT_ENGAGED, Reason.NOT_IN_SEGMENT),
)

# Each rule with the smallest change that breaks it, in the order of design.md.
RULES: list[tuple[Reason, dict[str, object], dict[str, object]]] = [
    (Reason.PLATFORM_OFF, {}, {"platform_enabled": False}),
    (Reason.BRAND_OFF, {}, {"brand_enabled": False}),
    (Reason.CAMPAIGN_PAUSED, {}, {"campaign_running": False}),
    (Reason.OPTED_OUT, {"subscription": "opted_out"}, {}),
    (Reason.NOT_OPTED_IN, {"has_evidence": False}, {}),
    (Reason.SUPPRESSED, {"suppressed": True}, {}),
    (Reason.UNREACHABLE, {"number_kind": "landline"}, {}),
    (Reason.NOT_ENGAGED, {"last_engagement": None}, {"engagement": dt.timedelta(days=30)}),
    (Reason.NOT_IN_SEGMENT, {"in_segment": False}, {}),
    (Reason.WEEKLY_CAP, {"campaign_sent": (NOW - HOUR,)}, {"weekly_cap": 1}),
    (Reason.DAILY_LIMIT, {"brand_sent": (NOW - HOUR,)}, {"daily_limit": 1}),
    (Reason.LEGAL_CAP, {"brand_sent": (NOW - HOUR,)}, {"laws": STRICT}),
    (Reason.PLATFORM_CAP, {}, {"platform_remaining": 0}),
    (Reason.NO_HOURS, {"zones": ()}, {}),
    (Reason.OUTSIDE_HOURS, {}, {"brand_hours": hours("13:00-20:00")}),
]


def test_somebody_who_agreed_may_be_texted_within_her_hours() -> None:
    decision = decide(facts(), policy(), NOW)

    evening = dt.datetime(2027, 1, 20, 1, 0, tzinfo=dt.UTC)  # 20:00 in New York
    assert decision == Decision(Action.SEND, Reason.OK, window_end=evening)


@pytest.mark.parametrize(("reason", "of_person", "of_policy"), RULES)
def test_each_rule_alone_stops_the_text(
    reason: Reason, of_person: dict[str, object], of_policy: dict[str, object]
) -> None:
    assert decide(facts(**of_person), policy(**of_policy), NOW).reason is reason


@pytest.mark.parametrize(("first", "second"), list(itertools.combinations(RULES, 2)))
def test_a_rule_beats_every_later_one(first: tuple, second: tuple) -> None:
    person, rules = facts(**second[1] | first[1]), policy(**second[2] | first[2])

    assert decide(person, rules, NOW).reason is first[0]


@pytest.mark.parametrize("broken", range(len(RULES)))
def test_a_rule_beats_all_later_ones_together(broken: int) -> None:
    person, rules = {}, {}
    for _, of_person, of_policy in reversed(RULES[broken:]):
        person |= of_person
        rules |= of_policy

    assert decide(facts(**person), policy(**rules), NOW).reason is RULES[broken][0]


@pytest.mark.parametrize(("reason", "of_person", "of_policy"), RULES)
def test_what_time_mends_is_put_off_and_the_rest_is_passed_over(
    reason: Reason, of_person: dict[str, object], of_policy: dict[str, object]
) -> None:
    decision = decide(facts(**of_person), policy(**of_policy), NOW)

    skipped = reason in (*ABOUT_THE_PERSON, Reason.NO_HOURS)
    assert decision.action is (Action.SKIP if skipped else Action.DEFER)
    assert (decision.until is None) is (skipped or reason in SWITCHES)
    assert decision.window_end is None


def test_every_reason_can_be_reached_and_has_words() -> None:
    reached = {Reason.OK} | {reason for reason, _, _ in RULES}
    reached.add(decide(facts(), policy(purpose=Purpose.OPT_IN), NOW).reason)

    # The others are the planner's: see below.
    assert set(Reason) - reached == {
        Reason.BAD_CONTENT,
        Reason.TOO_LONG,
        Reason.HOLD_OUT,
        Reason.ERROR,
    }
    assert set(REASON_TEXT) == set(Reason)
    assert len(set(REASON_TEXT.values())) == len(Reason)
    assert all(text[0].isupper() and not text.endswith(".") for text in REASON_TEXT.values())


def test_the_names_that_are_stored_stay_as_they_are() -> None:
    assert {str(action) for action in Action} == {"send", "defer", "skip"}
    assert all(str(reason) == reason.name.lower() for reason in Reason)
    assert all(str(purpose) == purpose.name.lower() for purpose in Purpose)


@pytest.mark.parametrize("status", [None, "", "pending", "OPTED_IN", "opted-in", "nonsense"])
def test_only_a_recorded_opt_in_is_consent(status: str | None) -> None:
    assert decide(facts(subscription=status), policy(), NOW).reason is Reason.NOT_OPTED_IN


def test_the_states_of_a_subscription_are_the_ones_that_are_decided_by() -> None:
    assert {"opted_in", "opted_out"} <= set(Subscription.Status.values)


def test_an_opt_in_without_evidence_is_none() -> None:
    assert decide(facts(has_evidence=False), policy(), NOW).reason is Reason.NOT_OPTED_IN


@pytest.mark.parametrize(
    ("kind", "reachable"),
    [
        (PhoneKind.MOBILE, True),
        (PhoneKind.MOBILE_OR_LANDLINE, True),
        (PhoneKind.VOIP, True),
        (PhoneKind.LANDLINE, False),
        (PhoneKind.TOLL_FREE, False),
        (PhoneKind.OTHER, False),
    ],
)
def test_only_numbers_that_can_receive_a_text_get_one(kind: PhoneKind, reachable: bool) -> None:
    reason = decide(facts(number_kind=kind), policy(), NOW).reason

    assert reason is (Reason.OK if reachable else Reason.UNREACHABLE)


@pytest.mark.parametrize(
    ("ago", "reason"),
    [
        (DAY, Reason.OK),
        (30 * DAY - SECOND, Reason.OK),
        (30 * DAY, Reason.OK),
        (30 * DAY + SECOND, Reason.NOT_ENGAGED),
        (None, Reason.NOT_ENGAGED),
    ],
)
def test_the_engagement_window_is_kept_to_the_second(
    ago: dt.timedelta | None, reason: Reason
) -> None:
    person = facts(last_engagement=NOW - ago if ago else None)

    assert decide(person, policy(engagement=30 * DAY), NOW).reason is reason
    assert decide(person, policy(engagement=None), NOW).reason is Reason.OK


def test_an_engagement_window_of_no_days_takes_nobody_of_yesterday() -> None:
    rules = policy(engagement=dt.timedelta(0))

    assert decide(facts(last_engagement=NOW - SECOND), rules, NOW).reason is Reason.NOT_ENGAGED


def test_the_installations_cap_lasts_until_midnight_in_utc() -> None:
    midnight = dt.datetime(2027, 1, 20, tzinfo=dt.UTC)
    rules = policy(platform_remaining=0)

    assert decide(facts(), rules, NOW).until == midnight
    assert decide(facts(), rules, midnight - SECOND).until == midnight
    assert decide(facts(), rules, midnight).until == midnight + DAY


def test_the_installations_cap_never_puts_off_into_the_past() -> None:
    midnight = dt.datetime(2027, 1, 20, tzinfo=dt.UTC)
    west, east = (timezone.get_fixed_timezone(dt.timedelta(hours=one)) for one in (-11, 14))

    for moment in (midnight - SECOND, midnight):
        answers = [
            decide(facts(), policy(platform_remaining=0), moment.astimezone(zone)).until
            for zone in (dt.UTC, west, east)
        ]
        assert answers == [answers[0]] * 3
        assert answers[0] > moment


def test_the_installations_day_is_not_the_machines() -> None:
    with wall_clock.machine_in("Pacific/Kiritimati"):
        until = decide(facts(), policy(platform_remaining=0), NOW).until

    assert until == dt.datetime(2027, 1, 20, tzinfo=dt.UTC)


def test_one_text_left_of_the_installations_cap_may_be_sent() -> None:
    assert decide(facts(), policy(platform_remaining=1), NOW).reason is Reason.OK
    assert decide(facts(), policy(platform_remaining=-1), NOW).reason is Reason.PLATFORM_CAP


def test_outside_her_hours_she_waits_for_the_next_window() -> None:
    night = dt.datetime(2027, 1, 19, 3, 0, tzinfo=dt.UTC)
    nine = dt.datetime(2027, 1, 19, 14, 0, tzinfo=dt.UTC)

    assert decide(facts(), policy(), night) == Decision(
        Action.DEFER, Reason.OUTSIDE_HOURS, until=nine
    )
    assert decide(facts(), policy(), nine - SECOND).until == nine
    assert decide(facts(), policy(), nine).action is Action.SEND


def test_the_last_text_of_a_day_is_sent_ten_minutes_before_its_end() -> None:
    end = dt.datetime(2027, 1, 20, 1, 0, tzinfo=dt.UTC)

    assert dt.timedelta(minutes=10) == STOP_BEFORE_END
    assert decide(facts(), policy(), end - STOP_BEFORE_END - SECOND).window_end == end
    for late in (end - STOP_BEFORE_END, end - SECOND, end):
        assert decide(facts(), policy(), late).until == end + 13 * HOUR


def test_hours_too_short_for_a_text_are_no_hours() -> None:
    for short in ("12:00-12:09", "12:00-12:10"):
        assert decide(facts(), policy(brand_hours=hours(short)), NOW).reason is Reason.NO_HOURS
    assert decide(facts(), policy(brand_hours=hours("12:00-12:11")), NOW).reason is Reason.OK


def test_a_brand_cannot_send_in_hours_that_the_law_forbids() -> None:
    wide = policy(brand_hours=hours("00:00-23:59"))
    at_eight = dt.datetime(2027, 1, 19, 13, 0, tzinfo=dt.UTC)

    assert decide(facts(), wide, at_eight - SECOND).until == at_eight
    assert decide(facts(), wide, at_eight).window_end == at_eight + 13 * HOUR


def test_a_policy_decides_for_different_places_and_days_by_their_own_hours() -> None:
    rules = policy()
    people = [
        facts(zones=zones, jurisdictions=places)
        for zones in ((EASTERN,), ("America/Los_Angeles",), (EASTERN, "America/Los_Angeles"))
        for places in (("US",), ("US", "US-FL"), ())
    ]
    moments = [NOW + number * 5 * HOUR for number in range(12)]

    for person, moment in itertools.product(people, moments):
        assert decide(person, rules, moment) == decide(person, policy(), moment)


@pytest.mark.parametrize("reason", SWITCHES)
def test_campaigns_texts_and_answers_wait_for_a_switch(reason: Reason) -> None:
    _, _, of_policy = next(rule for rule in RULES if rule[0] is reason)

    for purpose in (Purpose.CAMPAIGN, Purpose.CONFIRMATION):
        decision = decide(facts(), policy(**of_policy, purpose=purpose), NOW)
        assert decision == Decision(Action.DEFER, reason)


@pytest.mark.parametrize("purpose", Purpose)
@pytest.mark.parametrize("switch", ["platform_enabled", "brand_enabled"])
def test_no_text_of_any_purpose_passes_a_kill_switch(purpose: Purpose, switch: str) -> None:
    rules = policy(**{switch: False}, purpose=purpose)

    assert decide(facts(), rules, NOW).action is not Action.SEND


@pytest.mark.parametrize(
    ("reason", "of_person", "of_policy"), [rule for rule in RULES if rule[0] not in SWITCHES]
)
def test_the_answer_to_an_opt_out_is_sent_whatever_else_forbids_texts(
    reason: Reason, of_person: dict[str, object], of_policy: dict[str, object]
) -> None:
    rules = policy(**of_policy, purpose=Purpose.CONFIRMATION)

    decision = decide(facts(**of_person), rules, NOW)

    at_once = NOW + dt.timedelta(minutes=5)
    assert decision == Decision(Action.SEND, Reason.OK, window_end=at_once)


@pytest.mark.parametrize(
    ("of_person", "of_policy", "reason"),
    [
        ({}, {}, Reason.OK),
        ({"subscription": "opted_in"}, {}, Reason.NOT_PENDING),
        ({"subscription": None}, {}, Reason.NOT_PENDING),
        ({"subscription": "opted_out"}, {}, Reason.OPTED_OUT),
        ({"suppressed": True}, {}, Reason.SUPPRESSED),
        ({"number_kind": "landline"}, {}, Reason.UNREACHABLE),
        ({"brand_sent": [NOW] * 9}, {"daily_limit": 0, "platform_remaining": 0}, Reason.OK),
        ({"zones": ("Pacific/Honolulu",)}, {}, Reason.OUTSIDE_HOURS),
        ({}, {"brand_enabled": False}, Reason.BRAND_OFF),
    ],
)
def test_the_text_that_asks_for_a_yes_obeys_everything_but_the_caps(
    of_person: dict[str, object], of_policy: dict[str, object], reason: Reason
) -> None:
    known = facts(**{"subscription": "pending", "has_evidence": False, **of_person})

    assert decide(known, policy(**of_policy, purpose=Purpose.OPT_IN), NOW).reason is reason


def person(known: Facts) -> Person:
    names = {"first_name": "Ada", "last_name": "L", "name": "Ada L", "brand": "Teas"}
    return Person(1, "+12125550123", names, known, {})


@pytest.mark.parametrize(
    ("of_person", "of_policy"),
    [
        ({"zones": ("Mars/Olympus_Mons",)}, {}),
        ({"zones": ("../../etc/passwd",)}, {}),
        ({"jurisdictions": ("JM",)}, {"laws": {"US": LAWS["US"]}}),  # without a safe default
        ({"jurisdictions": ()}, {"laws": {}}),
        ({"brand_sent": (NOW.replace(tzinfo=None),)}, {}),
    ],
)
def test_where_the_decision_fails_nothing_is_sent(
    of_person: dict[str, object], of_policy: dict[str, object]
) -> None:
    known, rules = facts(**of_person), policy(**of_policy)

    with pytest.raises((KeyError, ValueError, TypeError)):
        decide(known, rules, NOW)
    assert judge.decide_safely(person(known), 1, rules, NOW) == Decision(Action.SKIP, Reason.ERROR)


@pytest.mark.parametrize("body", ["{{ nickname }}", "{% if %}", "{{ first_name | boom }}", "", " "])
def test_a_message_that_cannot_be_written_is_passed_over_with_its_reason(body: str) -> None:
    message = Message(pk=1, campaign=Campaign(pk=1), body=body)
    sheet = planning.Sheet(
        namer(NOW, "run", 1),
        brand_id=1,
        campaign_id=1,
        run_id=1,
        clock_shift=dt.timedelta(0),
        now=NOW,
        expires_at=NOW + DAY,
        lane=QueuedText.Lane.BULK,
        writer=Writer(BrandPolicy(brand=Brand(pk=1)), [message]),
    )
    text = planning.plan_text(
        sheet,
        person(facts()),
        message,
        Decision(Action.SEND, Reason.OK),
    )

    assert (text.state, text.reason, text.body) == (State.SKIPPED, Reason.BAD_CONTENT, "")


def test_the_periods_of_the_caps_are_a_day_and_a_week() -> None:
    assert (eligibility.DAY, eligibility.WEEK) == (DAY, WEEK)


def test_nobody_gets_a_text_where_the_segment_cannot_be_read():
    assert decide(facts(in_segment=None), policy(), NOW) == Decision(Action.SKIP, Reason.ERROR)


def test_where_no_rule_answers_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        eligibility.RULES, Purpose.CAMPAIGN, eligibility.RULES[Purpose.CAMPAIGN][:3]
    )

    assert decide(facts(), policy(), NOW) == Decision(Action.SKIP, Reason.ERROR)
