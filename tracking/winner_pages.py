"""How a campaign's messages did, as a part of its page."""

from dataclasses import dataclass
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render

from campaigns import variants
from campaigns.models import Campaign
from campaigns.shares import WinnerBy
from campaigns.winners import Figure
from subscribers import clock
from tracking import winners


@dataclass(frozen=True, slots=True)
class Cell:
    """A figure in words, and the range in which the real one probably is."""

    figure: str
    range: str


@dataclass(frozen=True, slots=True)
class Row:
    """One message: its texts, and a cell for each way to tell the best."""

    name: str
    texts: str
    cells: list[Cell]
    won: bool


def messages_panel(request: HttpRequest, campaign_id: int, model_admin: Any) -> HttpResponse:
    """A table of the messages with their figures; nothing where there is one message only."""
    if not request.user.has_perm("campaigns.view_campaign"):
        raise PermissionDenied
    campaigns = Campaign.objects.for_user(request.user).select_related("brand")
    campaign = get_object_or_404(campaigns, pk=campaign_id)
    run = winners.test_of(campaign)
    broadcast = campaign.kind == Campaign.Kind.BROADCAST
    if run is None or not broadcast or campaign.messages.filter(weight__gt=0).count() < 2:
        return HttpResponse("")
    chosen = campaign.runs.exclude(winner=None).first()
    told = {by: winners.figures(campaign, run, by) for by in WinnerBy.values}
    head = ["Message", "Texts", *(f"{by.label} per text" for by in WinnerBy)]
    values = {
        "campaign": campaign,
        "head": head,
        "rows": _table(told, campaign.winner_by, chosen and chosen.winner_id),
        "sentence": _sentence(campaign, chosen),
    }
    return render(request, "admin/tracking/messages.html", values)


def _table(told: dict[str, list[Figure]], by: str, won: int | None) -> list[Row]:
    """The best first, by what tells the best."""
    order = told[by or WinnerBy.CLICKS]
    of = {name: {one.message_id: one for one in some} for name, some in told.items()}
    return [
        Row(
            one.name,
            f"{one.texts:,}",
            [_cell(of[name][one.message_id], name) for name in WinnerBy.values],
            one.message_id == won,
        )
        for one in order
    ]


def _cell(one: Figure, by: str) -> Cell:
    if not one.texts:
        return Cell("-", "nothing was sent yet")
    scale, end = (1, "") if by == WinnerBy.REVENUE else (100, " %")
    places = 2 if by == WinnerBy.REVENUE else 1
    low, high = one.interval.low * scale, one.interval.high * scale
    return Cell(
        f"{one.value * scale:,.{places}f}{end}",
        f"{low:,.{places}f} to {high:,.{places}f}{end}",
    )


def _sentence(campaign: Campaign, chosen: Any) -> str:
    if chosen is not None:
        why = chosen.winner_because or "Somebody chose it."
        return f"The rest of the audience gets {chosen.winner}. {why}"
    if not variants.awaits_winner(campaign):
        return ""
    if not campaign.winner_by:
        return "The rest of the audience waits until you choose the winner."
    verdict = winners.verdict_of(campaign, now=clock.now())
    if verdict.winner is not None:
        return f"{verdict.winner.name} is about to win. {verdict.because}"
    return f"The rest of the audience waits. {verdict.because}"
