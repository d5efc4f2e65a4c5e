"""The one decision: may this person get this message now?

Pure: facts and policy in, an answer with a reason out. The same function decides at planning, at
the point of no return, in the forecast and in the explanation. Rules and their order: `RULES`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from campaigns.reasons import REASON_TEXT, Reason  # noqa: F401 - the words go with the decision
from campaigns.schedule import STOP_BEFORE_END, AnyHours, Hours, Window, windows

DAY = dt.timedelta(hours=24)
WEEK = dt.timedelta(days=7)
TEST_LIFETIME = dt.timedelta(minutes=15)  # a test is wanted now or not at all


class Action(StrEnum):
    """What to do with the text."""

    SEND = "send"
    DEFER = "defer"
    SKIP = "skip"


class Purpose(StrEnum):
    """Why a text exists."""

    CAMPAIGN = "campaign"
    CONFIRMATION = "confirmation"  # answers STOP, START or HELP: allowed after an opt-out
    OPT_IN = "opt_in"  # asks for the YES of a double opt-in: only who waits for it
    TEST = "test"  # of a campaign, to numbers that a marketer chose: needs no subscription
    ANSWER = "answer"  # a person's answer to a text that somebody wrote to us


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
    # In the campaign's segment and in none of its exclusions; None: that could not be found out.
    in_segment: bool | None = True
    others_sent: Sequence[dt.datetime] = ()  # of the last 24 hours, by the workspace's other brands
    is_test_number: bool = False  # the workspace says that the number is its own
    wrote_at: dt.datetime | None = None  # when the person wrote what an answer answers


@dataclass(frozen=True, slots=True)
class Law:
    """What one jurisdiction demands."""

    hours: AnyHours
    cap_per_24h: int | None  # of a brand's texts to one person
    workspace_cap: int | None = None  # of all brands' texts: where the law counts by subject


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
    # What is the same for everybody of a place: legal caps, and the hours' answer at one instant.
    _legal_caps: dict[object, int | None] = field(default_factory=dict, init=False, repr=False)
    _answers: dict[object, Decision] = field(default_factory=dict, init=False, repr=False)

    def laws_for(self, jurisdictions: Sequence[str]) -> list[Law]:
        """The laws of these places: a region's or its country's, the safe default for others."""
        names = (name if name in self.laws else name.partition("-")[0] for name in jurisdictions)
        known = [name if name in self.laws else "DEFAULT_SAFE" for name in names]
        return [self.laws[name] for name in dict.fromkeys(known or ["DEFAULT_SAFE"])]

    def legal_cap_for(self, jurisdictions: Sequence[str]) -> int | None:
        """Texts that the strictest law of these places allows in 24 hours; None: any number."""
        if jurisdictions not in self._legal_caps:
            caps = [law.cap_per_24h for law in self.laws_for(jurisdictions)]
            known = [cap for cap in caps if cap is not None]
            self._legal_caps[jurisdictions] = min(known, default=None)
        return self._legal_caps[jurisdictions]

    def workspace_cap_for(self, jurisdictions: Sequence[str]) -> int | None:
        """Texts that all brands together may send there in 24 hours; None: any number."""
        caps = [law.workspace_cap for law in self.laws_for(jurisdictions)]
        return min((cap for cap in caps if cap is not None), default=None)

    def windows_for(self, facts: Facts, now: dt.datetime) -> tuple[Window, ...]:
        """The person's windows, computed once per place and day for everybody there."""
        key = (facts.zones, facts.jurisdictions, now.date())
        if key not in self._windows:
            hours = [law.hours for law in self.laws_for(facts.jurisdictions)]
            self._windows[key] = windows(facts.zones, [self.brand_hours, *hours], start=now)
        return self._windows[key]

    def hours_at(self, facts: Facts, now: dt.datetime) -> Decision:
        """What the hours say of everybody who is where this person is."""
        place = (facts.zones, facts.jurisdictions, now)
        if place not in self._answers:
            self._answers[place] = _within(self.windows_for(facts, now), now)
        return self._answers[place]


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer. `until`: the next instant to decide at (None: when somebody resumes).

    `window_end` is given with SEND: the provider must not deliver after it.
    """

    action: Action
    reason: Reason
    until: dt.datetime | None = None
    window_end: dt.datetime | None = None


type Check = Callable[[Facts, Policy, dt.datetime], Decision | None]


class Rule(NamedTuple):
    """One rule. `check` answers None where it has nothing against the text: the next one decides."""

    about: str  # which facts it looks at
    title: str  # what it asks for, as people read it
    check: Check


@dataclass(frozen=True, slots=True)
class Step:
    """What one rule says of one person. `reached`: no earlier rule had decided."""

    rule: Rule
    decision: Decision | None
    reached: bool

    @property
    def passes(self) -> bool:
        """Whether the rule lets the text go."""
        return self.decision is None or self.decision.action is Action.SEND


def decide(facts: Facts, policy: Policy, now: dt.datetime) -> Decision:
    """Decide for one person and one message. `now` is the brand's clock, an aware datetime."""
    for rule in RULES[policy.purpose]:
        decision = rule.check(facts, policy, now)
        if decision is not None:
            return decision
    return Decision(Action.SKIP, Reason.ERROR)  # never: the last rule always answers


def walk(facts: Facts, policy: Policy, now: dt.datetime) -> list[Step]:
    """Every rule in order and what it says, also those that `decide` does not reach.

    The decision of the first step that has one is `decide`'s. A rule that fails says ERROR, which is
    what becomes of an error at planning and at the gate.
    """
    steps: list[Step] = []
    reached = True
    for rule in RULES[policy.purpose]:
        try:
            decision = rule.check(facts, policy, now)
        except Exception:  # noqa: BLE001 - facts of any kind must be explainable
            decision = Decision(Action.SKIP, Reason.ERROR)
        steps.append(Step(rule, decision, reached))
        reached = reached and decision is None
    return steps


_SKIPPED = {reason: Decision(Action.SKIP, reason) for reason in Reason}
_WAITING = {reason: Decision(Action.DEFER, reason) for reason in Reason}  # until somebody resumes


def _platform_on(facts: Facts, policy: Policy, now: dt.datetime) -> Decision | None:
    return None if policy.platform_enabled else _WAITING[Reason.PLATFORM_OFF]


def _brand_on(facts: Facts, policy: Policy, now: dt.datetime) -> Decision | None:
    return None if policy.brand_enabled else _WAITING[Reason.BRAND_OFF]


def _running(facts: Facts, policy: Policy, now: dt.datetime) -> Decision | None:
    return None if policy.campaign_running else _WAITING[Reason.CAMPAIGN_PAUSED]


def _not_opted_out(facts: Facts, policy: Policy, now: dt.datetime) -> Decision | None:
    return _SKIPPED[Reason.OPTED_OUT] if facts.subscription == "opted_out" else None


def _opted_in(facts: Facts, policy: Policy, now: dt.datetime) -> Decision | None:
    if facts.subscription == "opted_in" and facts.has_evidence:
        return None
    return _SKIPPED[Reason.NOT_OPTED_IN]


def _pending(facts: Facts, policy: Policy, now: dt.datetime) -> Decision | None:
    return None if facts.subscription == "pending" else _SKIPPED[Reason.NOT_PENDING]


def _not_suppressed(facts: Facts, policy: Policy, now: dt.datetime) -> Decision | None:
    return _SKIPPED[Reason.SUPPRESSED] if facts.suppressed else None


def _reachable(facts: Facts, policy: Policy, now: dt.datetime) -> Decision | None:
    return _SKIPPED[Reason.UNREACHABLE] if facts.number_kind in UNREACHABLE_KINDS else None


def _engaged(facts: Facts, policy: Policy, now: dt.datetime) -> Decision | None:
    if policy.engagement is None:
        return None
    if facts.last_engagement is None or facts.last_engagement < now - policy.engagement:
        return _SKIPPED[Reason.NOT_ENGAGED]
    return None


def _in_segment(facts: Facts, policy: Policy, now: dt.datetime) -> Decision | None:
    if facts.in_segment:
        return None
    return _SKIPPED[Reason.ERROR if facts.in_segment is None else Reason.NOT_IN_SEGMENT]


def _weekly_cap(facts: Facts, policy: Policy, now: dt.datetime) -> Decision | None:
    return _capped(Reason.WEEKLY_CAP, facts.campaign_sent, policy.weekly_cap, WEEK, now)


def _daily_limit(facts: Facts, policy: Policy, now: dt.datetime) -> Decision | None:
    return _capped(Reason.DAILY_LIMIT, facts.brand_sent, policy.daily_limit, DAY, now)


def _legal_cap(facts: Facts, policy: Policy, now: dt.datetime) -> Decision | None:
    """The caps by subject count what all brands sent: nobody can tell the subjects of two brands of a
    workspace apart, so they are taken to be the same. The brand's own texts the first look counts.
    """
    cap = policy.legal_cap_for(facts.jurisdictions)
    capped = _capped(Reason.LEGAL_CAP, facts.brand_sent, cap, DAY, now)
    if capped or not facts.others_sent:
        return capped
    together = sorted([*facts.brand_sent, *facts.others_sent])
    shared = policy.workspace_cap_for(facts.jurisdictions)
    return _capped(Reason.LEGAL_CAP, together, shared, DAY, now)


def _platform_cap(facts: Facts, policy: Policy, now: dt.datetime) -> Decision | None:
    if policy.platform_remaining > 0:
        return None
    tomorrow = now.astimezone(dt.UTC).date() + dt.timedelta(days=1)
    midnight = dt.datetime.combine(tomorrow, dt.time(), dt.UTC)
    return Decision(Action.DEFER, Reason.PLATFORM_CAP, midnight)


def _capped(
    reason: Reason,
    sent: Sequence[dt.datetime],
    cap: int | None,
    period: dt.timedelta,
    now: dt.datetime,
) -> Decision | None:
    """A rolling cap: it puts off until it allows one more text."""
    if cap is None or (cap > 0 and not sent):
        return None
    recent = [moment for moment in sent if moment > now - period]
    if len(recent) < cap:
        return None
    free = recent[-cap] + period if cap > 0 else now + period
    return Decision(Action.DEFER, reason, free)


def _hours(facts: Facts, policy: Policy, now: dt.datetime) -> Decision:
    return policy.hours_at(facts, now)


def _answer_hours(facts: Facts, policy: Policy, now: dt.datetime) -> Decision:
    """For a day after the person's own text the law's hours alone; then the brand's, too."""
    if facts.wrote_at is not None and now < facts.wrote_at + DAY:
        laws = [law.hours for law in policy.laws_for(facts.jurisdictions)]
        decision = _within(windows(facts.zones, laws, start=now), now)
        if decision.until is None or decision.until < facts.wrote_at + DAY:
            return decision
    return _hours(facts, policy, now)


def _within(windows_of: Sequence[Window], now: dt.datetime) -> Decision:
    for window in windows_of:
        last_call = window.end - STOP_BEFORE_END
        if now >= last_call or window.start >= last_call:
            continue
        if now >= window.start:
            return Decision(Action.SEND, Reason.OK, window_end=window.end)
        return Decision(Action.DEFER, Reason.OUTSIDE_HOURS, window.start)
    return _SKIPPED[Reason.NO_HOURS]


def _never_later(decision: Decision | None) -> Decision | None:
    """For a test: what would be put off is not sent."""
    if decision is not None and decision.action is Action.DEFER:
        return Decision(Action.SKIP, decision.reason, decision.until)
    return decision


def _own_number(facts: Facts, policy: Policy, now: dt.datetime) -> Decision | None:
    """The hours hold for every number that is not on the workspace's own list: the law protects
    whoever reads the text, and calling it a test changes nothing for them.
    """
    if not facts.is_test_number:
        return None
    return Decision(Action.SEND, Reason.OK, window_end=now + TEST_LIFETIME)


def _answer(facts: Facts, policy: Policy, now: dt.datetime) -> Decision:
    return Decision(Action.SEND, Reason.OK, window_end=now + dt.timedelta(minutes=5))


_PLATFORM = Rule("platform", "The installation may send", _platform_on)
_BRAND = Rule("brand", "The brand may send", _brand_on)
_NOT_OUT = Rule("opt_out", "Has not opted out of the brand", _not_opted_out)
_NOT_SUPPRESSED = Rule("suppression", "The number is not suppressed", _not_suppressed)
_REACHABLE = Rule("number", "The number can receive texts", _reachable)
_LEGAL_CAP = Rule("legal_cap", "The law allows another text within 24 hours", _legal_cap)
_HOURS = Rule("hours", "It is a permitted hour, wherever the person may be", _hours)

# In the order of design.md. The last rule of each purpose always answers.
RULES: dict[Purpose, tuple[Rule, ...]] = {
    Purpose.CAMPAIGN: (
        _PLATFORM,
        _BRAND,
        Rule("campaign", "The campaign is running", _running),
        _NOT_OUT,
        Rule("opt_in", "Has opted in to the brand, with evidence", _opted_in),
        _NOT_SUPPRESSED,
        _REACHABLE,
        Rule("engagement", "Has engaged within the brand's window", _engaged),
        Rule("segment", "Is in the campaign's segment and not left out of it", _in_segment),
        Rule("weekly_cap", "May get another text of this campaign this week", _weekly_cap),
        Rule("daily_limit", "May get another text of the brand today", _daily_limit),
        _LEGAL_CAP,
        Rule("platform_cap", "The installation may send more texts today", _platform_cap),
        _HOURS,
    ),
    Purpose.CONFIRMATION: (
        _PLATFORM,
        _BRAND,
        Rule("campaign", "The campaign is running", _running),
        Rule("answer", "A person's text is answered at once", _answer),
    ),
    # The hours hold; no cap does: it is one text, which the person asked for.
    Purpose.OPT_IN: (
        _PLATFORM,
        _BRAND,
        _NOT_OUT,
        Rule("pending", "Waits to confirm an opt-in", _pending),
        _NOT_SUPPRESSED,
        _REACHABLE,
        _HOURS,
    ),
    # Whoever writes to us may be answered, subscribed or not, unless they said no: docs/compliance.md.
    Purpose.ANSWER: (
        _PLATFORM,
        _BRAND,
        _NOT_OUT,
        _NOT_SUPPRESSED,
        _REACHABLE,
        _LEGAL_CAP,
        Rule("answer_hours", "It is a permitted hour for an answer", _answer_hours),
    ),
    # No subscription, engagement or cap, whatever the campaign's state; never later.
    Purpose.TEST: (
        Rule("platform", _PLATFORM.title, lambda *known: _never_later(_platform_on(*known))),
        Rule("brand", _BRAND.title, lambda *known: _never_later(_brand_on(*known))),
        _NOT_OUT,
        _NOT_SUPPRESSED,
        _REACHABLE,
        Rule("own_number", "The workspace's own numbers get tests at any hour", _own_number),
        Rule("hours", _HOURS.title, lambda *known: _never_later(_hours(*known))),
    ),
}
