"""Somebody who may be texted now, and the rules of a brand that would: tests change one thing."""

import datetime as dt
from dataclasses import replace

from campaigns.eligibility import Facts, Law, Policy
from campaigns.schedule import Hours, parse_span

NOW = dt.datetime(2027, 1, 19, 17, 0, tzinfo=dt.UTC)  # a Tuesday, noon in New York
EASTERN = "America/New_York"


def hours(text: str, jurisdiction: str = "") -> Hours:
    """The same hours on every day."""
    span = parse_span(text)
    return Hours(jurisdiction, span, span, span, None, holiday_same=True)


LAWS = {
    "US": Law(hours("08:00-21:00"), None),
    "US-FL": Law(hours("08:00-20:00"), 3),
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
