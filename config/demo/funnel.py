"""The demo's funnel: from the audience to what came back, counted from the rows."""

import datetime as dt
from dataclasses import dataclass

from django.db.models import Count

from campaigns.eligibility import REASON_TEXT, Purpose
from campaigns.models import Campaign
from sending import progress
from sending.models import Departure, EvergreenTurn, QueuedText, SentLog, State
from sending.progress import Totals
from subscribers import clock
from subscribers.models import Brand, Subscription
from tracking.models import Reply

# A text that is tried again within the longest back-off is not deferred.
_SOON = dt.timedelta(seconds=70)
SENT = (State.ACCEPTED, State.SENT, State.DELIVERED, State.UNDELIVERED)


@dataclass(frozen=True, slots=True)
class Busy:
    """What keeps the demo from being done."""

    due: int
    on_the_way: int

    def __bool__(self) -> bool:
        return bool(self.due or self.on_the_way)


def busy(campaigns: list[Campaign]) -> Busy:
    """Texts that are due or on their way, people still to be planned included."""
    now = clock.now()
    unplanned = sum(
        1
        for campaign in campaigns
        if not campaign.runs.exists() or campaign.runs.filter(planned_at=None).exists()
    )
    soon = QueuedText.objects.filter(due_at__lte=now + _SOON).count()
    turns = EvergreenTurn.objects.filter(next_at__lte=now).count()
    return Busy(due=unplanned + soon + turns, on_the_way=Departure.objects.count())


def line(brands: list[Brand]) -> str:
    """One line of progress."""
    counts = dict(
        SentLog.objects.filter(brand__in=brands).values_list("state").annotate(Count("id"))
    )
    shown = [f"{state.label.lower()} {counts[state]:,}" for state in State if counts.get(state)]
    return ", ".join(shown) or "planning ..."


def of_campaign(campaign: Campaign) -> list[str]:
    """The funnel of one campaign, as lines to print."""
    totals = progress.recount(campaign)  # it is there to check everything else
    states = totals.by_state
    sent = sum(states.get(state, 0) for state in SENT)
    lines = [
        f"{campaign.name}  ({campaign.get_kind_display().lower()}, brand {campaign.brand.slug})",
        _row("audience", _audience(campaign, totals)),
        *_turns(campaign),
        _row("planned to be sent", totals.audience - states.get(State.SKIPPED, 0)),
        _row("skipped", states.get(State.SKIPPED, 0)),
        *_reasons(totals, State.SKIPPED),
        _row("deferred until later", states.get(State.PLANNED, 0)),
        *_reasons(totals, State.PLANNED),
        _row("sent", sent),
        _row("delivered", states.get(State.DELIVERED, 0), indent=1),
        _row("undelivered", states.get(State.UNDELIVERED, 0), indent=1),
        _row("no receipt (yet)", states.get(State.ACCEPTED, 0) + states.get(State.SENT, 0), 1),
        _row("failed", states.get(State.FAILED, 0)),
        _row("unknown (never sent again)", states.get(State.UNKNOWN, 0)),
        _row("cancelled or expired", states.get(State.CANCELLED, 0) + states.get(State.EXPIRED, 0)),
    ]
    replies = Reply.objects.filter(campaign=campaign)
    lines.append(_row("replies", replies.count()))
    lines.append(_row("opt-outs by text", replies.filter(meaning=Reply.Meaning.OPT_OUT).count(), 1))
    return lines


def confirmations(brands: list[Brand]) -> str:
    """How many texts answered a STOP, START or HELP."""
    count = SentLog.objects.filter(brand__in=brands, purpose=Purpose.CONFIRMATION).count()
    return _row("answers to STOP, START, HELP", count)


def _turns(campaign: Campaign) -> list[str]:
    """Evergreen people of whom nothing is planned yet: their turn comes, or they may not be texted."""
    if campaign.kind == Campaign.Kind.BROADCAST:
        return []
    waiting = EvergreenTurn.objects.filter(brand=campaign.brand, turn=0)
    return [_row("whose turn comes later (hours, reachability)", waiting.count())]


def _audience(campaign: Campaign, totals: Totals) -> int:
    if campaign.kind == Campaign.Kind.BROADCAST:
        return totals.audience
    return Subscription.objects.filter(brand=campaign.brand).count()


def _reasons(totals: Totals, state: State) -> list[str]:
    found = {
        reason: count for (of, reason), count in totals.by_state_and_reason.items() if of == state
    }
    return [
        _row(REASON_TEXT.get(reason, reason or "due"), count, indent=1)
        for reason, count in sorted(found.items(), key=lambda item: -item[1])
    ]


def _row(label: str, count: int, indent: int = 0) -> str:
    text = "  " * (indent + 1) + label
    return f"{text:<58}{count:>8,}"
