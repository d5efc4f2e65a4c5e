"""Somebody who may be texted now, and the rules of a brand that would: tests change one thing.

And strategies of Hypothesis for anybody, any rules and any time.
"""

import datetime as dt
from dataclasses import replace

from hypothesis import strategies as st

from campaigns.eligibility import Facts, Law, Policy, Purpose
from campaigns.schedule import Hours, parse_span

NOW = dt.datetime(2027, 1, 19, 17, 0, tzinfo=dt.UTC)  # a Tuesday, noon in New York
EASTERN = "America/New_York"


def hours(text: str, jurisdiction: str = "") -> Hours:
    """The same hours on every day."""
    span = parse_span(text)
    return Hours(jurisdiction, span, span, span, None, holiday_same=True)


LAWS = {
    "US": Law(hours("08:00-21:00"), None),
    "US-FL": Law(hours("08:00-20:00"), 3, workspace_cap=3),
    "US-WA": Law(hours("08:00-20:00"), None),
    "CA": Law(hours("09:00-21:30"), None),
    "DEFAULT_SAFE": Law(hours("10:00-19:00"), 2),
}

WILLING = Facts(
    subscription="opted_in",
    has_evidence=True,
    suppressed=False,
    number_kind="mobile",
    zones=(EASTERN,),
    jurisdictions=("US",),
    last_engagement=NOW - dt.timedelta(days=1),
)


def facts(**changes: object) -> Facts:
    return replace(WILLING, **changes)


def policy(**changes: object) -> Policy:
    """A new one each time: a policy remembers windows."""
    rules = Policy(
        platform_enabled=True,
        brand_enabled=True,
        campaign_running=True,
        daily_limit=4,
        weekly_cap=None,
        engagement=None,
        platform_remaining=1,
        brand_hours=hours("09:00-20:00"),
        laws=LAWS,
    )
    return replace(rules, **changes, _windows={})


DAY = dt.timedelta(hours=24)
MOMENTS = st.integers(-10 * 86_400, 10 * 86_400).map(
    lambda seconds: NOW + dt.timedelta(seconds=seconds)
)
ZONES = st.sampled_from(
    [
        *(EASTERN, "America/Chicago", "America/Los_Angeles", "Pacific/Guam", "Pacific/Honolulu"),
        *("America/St_Johns", "Europe/London", "Pacific/Auckland", "Asia/Kolkata"),
    ]
)
PLACES = st.sampled_from(["US", "US-FL", "US-WA", "US-NC", "CA", "CA-ON", "JM", "", "DEFAULT_SAFE"])
SENT = st.lists(MOMENTS, max_size=6).map(sorted)
HOURS = st.sampled_from(["00:00-23:59", "09:00-20:00", "12:00-12:11", "23:00-23:59", "12:00-12:05"])
PERSONS = st.builds(
    Facts,
    subscription=st.sampled_from([*["opted_in"] * 6, "opted_out", "pending", "", None]),
    has_evidence=st.sampled_from([True] * 6 + [False]),
    suppressed=st.sampled_from([False] * 6 + [True]),
    number_kind=st.sampled_from(["mobile", "mobile_or_landline", "voip", "landline", "other", ""]),
    zones=st.lists(ZONES, max_size=3).map(tuple),
    jurisdictions=st.lists(PLACES, max_size=3).map(tuple),
    last_engagement=st.none() | MOMENTS,
    brand_sent=SENT,
    campaign_sent=SENT,
    in_segment=st.sampled_from([True] * 6 + [False, None]),
    others_sent=SENT,
)
POLICIES = st.builds(
    policy,
    platform_enabled=st.sampled_from([True] * 6 + [False]),
    brand_enabled=st.sampled_from([True] * 6 + [False]),
    campaign_running=st.sampled_from([True] * 6 + [False]),
    daily_limit=st.integers(0, 5),
    weekly_cap=st.none() | st.integers(0, 3),
    engagement=st.none() | st.just(DAY) | st.just(DAY * 7) | st.just(DAY * 0),
    platform_remaining=st.integers(-1, 3),
    brand_hours=HOURS.map(hours),
    purpose=st.sampled_from([Purpose.CAMPAIGN] * 6 + [Purpose.CONFIRMATION]),
)
NOWS = st.tuples(MOMENTS, st.integers(-11, 14)).map(
    lambda pair: pair[0].astimezone(dt.timezone(dt.timedelta(hours=pair[1])))
)
