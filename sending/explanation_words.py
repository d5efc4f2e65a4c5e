"""An explanation in words: each rule with its facts and its verdict, for the page and the command."""

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from campaigns.eligibility import DAY, REASON_TEXT, Action, Step
from sending import queues
from sending.explanation import Counted, Earlier, Explanation, local
from sending.forecast_words import place
from sending.models import State

PASSES, STOPS, WOULD_STOP = "Passes", "Stops here", "Would stop too"
MOST_NAMED = 4  # texts of a cap that are listed
KINDS = {
    "mobile": "A mobile number",
    "landline": "A landline",
    "mobile_or_landline": "A number that can be a mobile",
    "toll_free": "A toll-free number",
    "voip": "An internet number",
    "other": "A number for something else than people",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One rule: what it asks for, the verdict, what it looked at, and what follows."""

    title: str
    verdict: str
    facts: str
    follows: str  # '' where it passes


def when(moment: dt.datetime) -> str:
    """'Mon 30 Nov 2026, 10:00 UTC'."""
    moment = moment.astimezone(dt.UTC)
    return f"{moment:%a} {moment.day} {moment:%b %Y, %H:%M} UTC"


def verdict(told: Explanation) -> str:
    """The answer in a sentence."""
    decision = told.decision
    if decision.action is Action.SEND:
        return "May get it now."
    why = REASON_TEXT[decision.reason]
    if decision.action is Action.SKIP:
        return f"Does not get it: {lower(why)}."
    if decision.until is None:
        return f"Has to wait: {lower(why)}."
    return f"Has to wait until {when(decision.until)}: {lower(why)}."


def lower(words: str) -> str:
    return words[0].lower() + words[1:]


def lines(told: Explanation) -> list[Line]:
    """Every rule in order."""
    return [
        Line(step.rule.title, _verdict(step), FACTS[step.rule.about](told), _follows(step))
        for step in told.steps
    ]


def _verdict(step: Step) -> str:
    if step.passes:
        return PASSES
    return STOPS if step.reached else WOULD_STOP


def _follows(step: Step) -> str:
    decision = step.decision
    if decision is None or step.passes:
        return ""
    until = f" until {when(decision.until)}" if decision.until else ""
    return f"{REASON_TEXT[decision.reason]}{until}"


def earlier(one: Earlier) -> str:
    """'Skipped: Has opted out.' with the moments."""
    told = [f"{one.state}: {lower(one.why)}" if one.why else one.state]
    told.append(f"decided {when(one.planned_at)}")
    if one.sent_at:
        told.append(f"sent {when(one.sent_at)}")
    if one.due_at:
        parked = one.due_at == queues.PARKED
        told.append("waits until somebody resumes" if parked else f"due {when(one.due_at)}")
    if one.state != State.PLANNED.label:
        told.append(f"since {when(one.changed_at)}")
    return ", ".join(told)


def consents(told: Explanation) -> list[str]:
    """The evidence, the newest first."""
    return [
        f"{event.get_kind_display()}, {when(event.occurred_at)}, by {event.get_source_display()}"
        f" ({event.brand or 'the whole workspace'})"
        for event in told.consents
    ]


def suppressions(told: Explanation) -> list[str]:
    """Why the number must not be texted, and who said so."""
    return [
        f"{'In this brand' if one.brand_id else 'In the whole workspace'}, since"
        f" {when(one.created_at)}, by {one.get_source_display()}"
        + (f": {one.reason}" if one.reason else "")
        for one in told.suppressions
    ]


def zones(told: Explanation) -> list[str]:
    """Each zone: the time there, and when it is permitted."""
    found = []
    for zone in told.zones:
        if zone.local is None:
            found.append(f"{zone.name} is no time zone")
            continue
        hours = (
            "never" if zone.window is None else _span(zone.window.start, zone.window.end, zone.name)
        )
        found.append(f"{place([zone.name])}: it is {zone.local:%a %H:%M}, permitted {hours}")
    return found


def _span(start: dt.datetime, end: dt.datetime, zone: str) -> str:
    return f"{local(start, zone):%a %H:%M} to {local(end, zone):%H:%M}"


def _hours(told: Explanation) -> str:
    if not told.zones:
        return "No time zone is known, so no hour is permitted."
    found = "; ".join(zones(told))
    if len(told.zones) == 1 or any(zone.local is None for zone in told.zones):
        return found + "."
    if told.common is None:
        return f"{found}; no hour suits all of them."
    together = _span(told.common.start, told.common.end, told.zones[0].name)
    return f"{found}; all together: {together} in {place([told.zones[0].name])}."


def _opt_out(told: Explanation) -> str:
    if told.subscription is None:
        return "There is no subscription to this brand."
    left = told.subscription.opted_out_at
    if told.facts.subscription == "opted_out":
        return f"Opted out{f' on {when(left)}' if left else ''}."
    return f"The subscription is {told.subscription.get_status_display().lower()}."


def _opt_in(told: Explanation) -> str:
    if told.subscription is None:
        return "There is no subscription to this brand."
    since = told.subscription.opted_in_at
    if since is None:
        return f"{told.subscription.get_status_display()}, and no opt-in is recorded."
    source = next((e.get_source_display() for e in told.consents if e.kind == "opt_in"), "")
    return f"Opted in on {when(since)}{f', by {source}' if source else ''}."


def _engagement(told: Explanation) -> str:
    last = told.facts.last_engagement
    had = f"Last engaged on {when(last)}" if last else "Has never engaged"
    days = told.brand_policy.engagement_days
    return (
        f"{had}; the brand {'asks for none' if days is None else f'asks for the last {days} days'}."
    )


def _segment(told: Explanation) -> str:
    segment = told.campaign.segment
    whom = f"The segment {segment}" if segment else "Everybody of the brand"
    state = {True: "is in", False: "is not in, or is left out", None: "cannot be read"}
    return f"{whom}: {state[told.facts.in_segment]}."


def _weekly_cap(told: Explanation) -> str:
    own = [one for one in told.counted if one.campaign_id == told.campaign.pk]
    cap = told.policy.weekly_cap
    return f"{len(told.facts.campaign_sent)} of {cap} texts in 7 days{_named(own)}."


def _daily_limit(told: Explanation) -> str:
    own = _of_today(told, [one for one in told.counted if one.brand_id == told.campaign.brand_id])
    limit = told.policy.daily_limit
    return f"{len(told.facts.brand_sent)} of {limit} texts in 24 hours{_named(own)}."


def _legal_cap(told: Explanation) -> str:
    places = told.facts.jurisdictions
    where = ", ".join(places) or "an unknown place"
    cap, shared = told.policy.legal_cap_for(places), told.policy.workspace_cap_for(places)
    if cap is None and shared is None:
        return f"The law of {where} has no cap."
    brand = f"{len(told.facts.brand_sent)} of {cap}" if cap is not None else ""
    together = len(told.facts.brand_sent) + len(told.facts.others_sent)
    everybody = f"{together} of {shared} of all brands" if shared is not None else ""
    counted = " and ".join(part for part in (brand, everybody) if part)
    return f"{counted} texts in 24 hours that the law of {where} allows."


def _of_today(told: Explanation, counted: Sequence[Counted]) -> list[Counted]:
    return [one for one in counted if one.at > told.now - DAY]


def _named(counted: Sequence[Counted]) -> str:
    if not counted:
        return ""
    names = [f"{one.campaign or 'a text'} on {when(one.at)}" for one in counted[:MOST_NAMED]]
    return f": {', '.join(names)}{' and others' if len(counted) > MOST_NAMED else ''}"


def _campaign(told: Explanation) -> str:
    why = told.campaign.status_reason
    return f"It is {told.campaign.get_status_display().lower()}{f': {why}' if why else '.'}"


def _number(told: Explanation) -> str:
    return f"{KINDS.get(told.facts.number_kind, 'A number of an unknown kind')}."


def _suppression(told: Explanation) -> str:
    return f"{'; '.join(suppressions(told)) or 'It is on no list'}."


# By `Rule.about`: the facts that the rule looks at.
FACTS: dict[str, Callable[[Explanation], str]] = {
    "platform": lambda told: f"Sending is {'on' if told.policy.platform_enabled else 'off'}.",
    "brand": lambda told: f"Sending is {'on' if told.policy.brand_enabled else 'off'}.",
    "campaign": _campaign,
    "opt_out": _opt_out,
    "opt_in": _opt_in,
    "suppression": _suppression,
    "number": _number,
    "engagement": _engagement,
    "segment": _segment,
    "weekly_cap": _weekly_cap,
    "daily_limit": _daily_limit,
    "legal_cap": _legal_cap,
    "platform_cap": lambda told: (
        "There is room." if told.policy.platform_remaining > 0 else "Today's texts are used up."
    ),
    "hours": _hours,
}
