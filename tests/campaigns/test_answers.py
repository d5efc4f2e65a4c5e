"""Claims about a person's answer to a text that somebody wrote: who may get one, and when."""

import datetime as dt

import pytest

from campaigns.eligibility import Action, Decision, Facts, Policy, Purpose, Reason, decide
from tests.campaigns.people import LAWS, NOW, facts, policy

SECOND = dt.timedelta(seconds=1)
HOUR = dt.timedelta(hours=1)
DAY = dt.timedelta(hours=24)
# In New York. The law allows 08:00 to 21:00 there, the brand 09:00 to 20:00.
HALF_PAST_EIGHT = dt.datetime(2027, 1, 19, 13, 30, tzinfo=dt.UTC)
EIGHT, NINE = HALF_PAST_EIGHT - HOUR / 2, HALF_PAST_EIGHT + HOUR / 2
LATE = EIGHT - 10 * HOUR  # 22:00, the evening before


def answering(**changes: object) -> Policy:
    return policy(**{"purpose": Purpose.ANSWER} | changes)


def writer(wrote_at: dt.datetime | None, **changes: object) -> Facts:
    """Somebody who never subscribed and wrote then."""
    stranger = {"subscription": None, "has_evidence": False, "last_engagement": None}
    return facts(**stranger | changes, wrote_at=wrote_at)


def test_whoever_wrote_may_be_answered_in_the_laws_hours_although_the_brands_are_shut() -> None:
    decision = decide(writer(HALF_PAST_EIGHT - HOUR), answering(), HALF_PAST_EIGHT)

    assert decision == Decision(Action.SEND, Reason.OK, window_end=EIGHT + 13 * HOUR)


def test_an_answer_waits_for_the_laws_hours_however_late_the_person_wrote() -> None:
    decision = decide(writer(LATE - SECOND), answering(), LATE)

    assert decision == Decision(Action.DEFER, Reason.OUTSIDE_HOURS, until=EIGHT)


def test_a_day_after_the_text_the_brands_hours_hold_too() -> None:
    now = HALF_PAST_EIGHT

    assert decide(writer(now - DAY + SECOND), answering(), now).action is Action.SEND
    for wrote_at in (now - DAY, now - DAY - SECOND, None):
        decision = decide(writer(wrote_at), answering(), now)
        assert decision == Decision(Action.DEFER, Reason.OUTSIDE_HOURS, until=NINE)


def test_an_answer_that_the_law_delays_beyond_the_day_waits_for_the_brand() -> None:
    assert decide(writer(EIGHT - DAY + SECOND), answering(), LATE).until == EIGHT
    for wrote_at in (EIGHT - DAY, EIGHT - DAY - SECOND):
        assert decide(writer(wrote_at), answering(), LATE).until == NINE


def test_an_answer_obeys_the_law_of_where_the_person_is() -> None:
    now = HALF_PAST_EIGHT
    unknown = writer(now - HOUR, jurisdictions=("JM",))  # the safe default opens at ten

    assert decide(unknown, answering(), now).until == EIGHT + 2 * HOUR
    nobody_knows_when = writer(now - HOUR, zones=())
    assert decide(nobody_knows_when, answering(), now) == Decision(Action.SKIP, Reason.NO_HOURS)


@pytest.mark.parametrize(
    ("reason", "of_person"),
    [
        (Reason.OPTED_OUT, {"subscription": "opted_out"}),
        (Reason.SUPPRESSED, {"suppressed": True}),
        (Reason.UNREACHABLE, {"number_kind": "landline"}),
    ],
)
def test_nobody_who_said_no_or_cannot_read_it_is_answered(
    reason: Reason, of_person: dict[str, object]
) -> None:
    assert decide(writer(NOW, **of_person), answering(), NOW) == Decision(Action.SKIP, reason)


def test_the_laws_caps_hold_for_answers_and_the_brands_do_not() -> None:
    sent = [NOW - HOUR] * 3
    rules = answering(daily_limit=1, weekly_cap=1, campaign_running=False, platform_remaining=0)
    person = writer(NOW, brand_sent=sent, campaign_sent=sent)

    assert decide(person, rules, NOW).action is Action.SEND
    floridian = writer(NOW, brand_sent=sent, jurisdictions=("US", "US-FL"))
    capped = Decision(Action.DEFER, Reason.LEGAL_CAP, until=sent[0] + DAY)
    assert LAWS["US-FL"].cap_per_24h == len(sent)
    assert decide(floridian, rules, NOW) == capped
