"""The one decision: may this person get this message now?

Pure: facts and policy in, an answer with a reason out. The same function decides at planning, at
the point of no return, in the forecast and in the explanation. Rules and their order: design.md.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from campaigns.schedule import STOP_BEFORE_END, Hours, Window, windows

DAY = dt.timedelta(hours=24)
WEEK = dt.timedelta(days=7)
TEST_LIFETIME = dt.timedelta(minutes=15)  # a test is wanted now or not at all


class Action(StrEnum):
    """What to do with the text."""

    SEND = "send"
    DEFER = "defer"
    SKIP = "skip"


class Reason(StrEnum):
    """Why. Stored in the log, shown to marketers: `REASON_TEXT` has the words."""

    OK = "ok"
    PLATFORM_OFF = "platform_off"
    BRAND_OFF = "brand_off"
    CAMPAIGN_PAUSED = "campaign_paused"
    NOT_OPTED_IN = "not_opted_in"
    OPTED_OUT = "opted_out"
    SUPPRESSED = "suppressed"
    UNREACHABLE = "unreachable"
    NOT_ENGAGED = "not_engaged"
    WEEKLY_CAP = "weekly_cap"
    DAILY_LIMIT = "daily_limit"
    LEGAL_CAP = "legal_cap"
    PLATFORM_CAP = "platform_cap"
    OUTSIDE_HOURS = "outside_hours"
    NO_HOURS = "no_hours"
    BAD_CONTENT = "bad_content"
    ERROR = "error"


REASON_TEXT = {
    Reason.OK: "May be sent",
    Reason.PLATFORM_OFF: "Sending is switched off for the whole installation",
    Reason.BRAND_OFF: "Sending is switched off for the brand",
    Reason.CAMPAIGN_PAUSED: "The campaign is paused",
    Reason.NOT_OPTED_IN: "Has not opted in to the brand",
    Reason.OPTED_OUT: "Has opted out",
    Reason.SUPPRESSED: "The number is suppressed",
    Reason.UNREACHABLE: "The number cannot receive texts",
    Reason.NOT_ENGAGED: "Has not engaged within the brand's window",
    Reason.WEEKLY_CAP: "Has had this campaign's texts for the week",
    Reason.DAILY_LIMIT: "Has had the brand's texts for the day",
    Reason.LEGAL_CAP: "Has had what the law allows in 24 hours",
    Reason.PLATFORM_CAP: "The installation has sent its texts for the day",
    Reason.OUTSIDE_HOURS: "Outside the hours of the brand or the law",
    Reason.NO_HOURS: "No hour suits every place where the person may be",
    Reason.BAD_CONTENT: "The message could not be written for this person",
    Reason.ERROR: "The decision failed, so nothing was sent",
}


class Purpose(StrEnum):
    """Why a text exists."""

    CAMPAIGN = "campaign"
    CONFIRMATION = "confirmation"  # the one answer to an opt-out: allowed after it
    TEST = "test"  # of a campaign, to numbers that a marketer chose: needs no subscription


# Numbers of these kinds cannot receive a text.
UNREACHABLE_KINDS = frozenset({"toll_free", "landline", "other"})


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of one person; instants are aware, `sent` ones oldest first."""

    subscription: str | None  # Subscription.Status, None where there is none
    has_evidence: bool
    suppressed: bool
    number_kind: str
    zones: tuple[str, ...]
    jurisdictions: tuple[str, ...]
    last_engagement: dt.datetime | None = None
    brand_sent: Sequence[dt.datetime] = ()  # the brand's texts of the last 24 hours
    campaign_sent: Sequence[dt.datetime] = ()  # the campaign's texts of the last 7 days
    is_test_number: bool = False  # the workspace says that the number is its own


@dataclass(frozen=True, slots=True)
class Law:
    """What one jurisdiction demands."""

    hours: Hours
    cap_per_24h: int | None


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules in force for one brand (and one campaign) at the time of deciding."""

    platform_enabled: bool
    brand_enabled: bool
    campaign_running: bool
    daily_limit: int
    weekly_cap: int | None
    engagement: dt.timedelta | None
    platform_remaining: int  # texts that the installation may still send today (UTC)
    brand_hours: Hours
    laws: dict[str, Law]  # by jurisdiction, with DEFAULT_SAFE
    purpose: Purpose = Purpose.CAMPAIGN
    _windows: dict[object, tuple[Window, ...]] = field(default_factory=dict, repr=False)

    def laws_for(self, jurisdictions: Sequence[str]) -> list[Law]:
        """The laws of these places: a region's or its country's, the safe default for others."""
        names = (name if name in self.laws else name.partition("-")[0] for name in jurisdictions)
        known = [name if name in self.laws else "DEFAULT_SAFE" for name in names]
        return [self.laws[name] for name in dict.fromkeys(known or ["DEFAULT_SAFE"])]

    def windows_for(self, facts: Facts, now: dt.datetime) -> tuple[Window, ...]:
        """The person's windows, computed once per place and day for everybody there."""
        key = (facts.zones, facts.jurisdictions, now.date())
        if key not in self._windows:
            hours = [law.hours for law in self.laws_for(facts.jurisdictions)]
            self._windows[key] = windows(facts.zones, [self.brand_hours, *hours], start=now)
        return self._windows[key]


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer. `until`: the next instant to decide at (None: when somebody resumes).

    `window_end` is given with SEND: the provider must not deliver after it.
    """

    action: Action
    reason: Reason
    until: dt.datetime | None = None
    window_end: dt.datetime | None = None


def decide(facts: Facts, policy: Policy, now: dt.datetime) -> Decision:
    """Decide for one person and one message. `now` is the brand's clock, an aware datetime."""
    if policy.purpose is Purpose.TEST:
        return _test(facts, policy, now)
    switched_off = _switches(policy)
    if switched_off:
        return Decision(Action.DEFER, switched_off)
    if policy.purpose is Purpose.CONFIRMATION:
        return Decision(Action.SEND, Reason.OK, window_end=now + dt.timedelta(minutes=5))
    refused = _person(facts, policy, now)
    if refused:
        return Decision(Action.SKIP, refused)
    return _caps(facts, policy, now) or _hours(facts, policy, now)


def _test(facts: Facts, policy: Policy, now: dt.datetime) -> Decision:
    """A test send: no subscription, engagement or cap, whatever the campaign's state; never later.

    The hours hold for every number that is not on the workspace's own list: the law protects whoever
    reads the text, and calling it a test changes nothing for them.
    """
    refused = _switches(policy) or _refuses_tests(facts)
    if refused:
        return Decision(Action.SKIP, refused)
    if facts.is_test_number:
        return Decision(Action.SEND, Reason.OK, window_end=now + TEST_LIFETIME)
    decision = _hours(facts, policy, now)
    if decision.action is Action.DEFER:
        return Decision(Action.SKIP, decision.reason, decision.until)
    return decision


def _refuses_tests(facts: Facts) -> Reason | None:
    if facts.subscription == "opted_out":
        return Reason.OPTED_OUT
    if facts.suppressed:
        return Reason.SUPPRESSED
    if facts.number_kind in UNREACHABLE_KINDS:
        return Reason.UNREACHABLE
    return None


def _switches(policy: Policy) -> Reason | None:
    if not policy.platform_enabled:
        return Reason.PLATFORM_OFF
    if not policy.brand_enabled:
        return Reason.BRAND_OFF
    if not policy.campaign_running and policy.purpose is not Purpose.TEST:
        return Reason.CAMPAIGN_PAUSED
    return None


def _person(facts: Facts, policy: Policy, now: dt.datetime) -> Reason | None:
    if facts.subscription == "opted_out":
        return Reason.OPTED_OUT
    if facts.subscription != "opted_in" or not facts.has_evidence:
        return Reason.NOT_OPTED_IN
    if facts.suppressed:
        return Reason.SUPPRESSED
    if facts.number_kind in UNREACHABLE_KINDS:
        return Reason.UNREACHABLE
    if policy.engagement is not None and (
        facts.last_engagement is None or facts.last_engagement < now - policy.engagement
    ):
        return Reason.NOT_ENGAGED
    return None


def _caps(facts: Facts, policy: Policy, now: dt.datetime) -> Decision | None:
    if policy.weekly_cap is not None:
        free = _when_free(facts.campaign_sent, policy.weekly_cap, WEEK, now)
        if free:
            return Decision(Action.DEFER, Reason.WEEKLY_CAP, free)
    free = _when_free(facts.brand_sent, policy.daily_limit, DAY, now)
    if free:
        return Decision(Action.DEFER, Reason.DAILY_LIMIT, free)
    laws = policy.laws_for(facts.jurisdictions)
    caps = [law.cap_per_24h for law in laws if law.cap_per_24h is not None]
    if caps:
        free = _when_free(facts.brand_sent, min(caps), DAY, now)
        if free:
            return Decision(Action.DEFER, Reason.LEGAL_CAP, free)
    if policy.platform_remaining <= 0:
        tomorrow = now.astimezone(dt.UTC).date() + dt.timedelta(days=1)
        midnight = dt.datetime.combine(tomorrow, dt.time(), dt.UTC)
        return Decision(Action.DEFER, Reason.PLATFORM_CAP, midnight)
    return None


def _when_free(
    sent: Sequence[dt.datetime], cap: int, period: dt.timedelta, now: dt.datetime
) -> dt.datetime | None:
    """When a rolling cap allows one more text, or None where it does now."""
    recent = [moment for moment in sent if moment > now - period]
    if len(recent) < cap:
        return None
    return recent[-cap] + period if cap > 0 else now + period


def _hours(facts: Facts, policy: Policy, now: dt.datetime) -> Decision:
    for window in policy.windows_for(facts, now):
        last_call = window.end - STOP_BEFORE_END
        if now >= last_call or window.start >= last_call:
            continue
        if now >= window.start:
            return Decision(Action.SEND, Reason.OK, window_end=window.end)
        return Decision(Action.DEFER, Reason.OUTSIDE_HOURS, window.start)
    return Decision(Action.SKIP, Reason.NO_HOURS)
