"""The page that says what a campaign will do before it is launched."""

from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render

from campaigns.models import Campaign
from sending import forecast, forecast_words, funnel, pool_forecast
from sending.forecast import Forecast
from sending.forecast_words import Line
from sending.pool_forecast import PoolForecast


@dataclass(frozen=True, slots=True)
class Number:
    """A big number of the page, what it is, and a line of small print."""

    figure: str
    title: str
    note: str = ""
    good: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table of lines; `head` names their columns."""

    title: str
    head: tuple[str, ...]
    lines: list[Line]


def forecast_page(request: HttpRequest, campaign_id: int, model_admin: Any) -> HttpResponse:
    """The forecast of one campaign, worked out while the page is asked for."""
    if not request.user.has_perm("campaigns.view_campaign"):
        raise PermissionDenied
    campaigns = Campaign.objects.for_user(request.user).select_related("brand")
    campaign = get_object_or_404(campaigns, pk=campaign_id)
    values: dict[str, Any] = {"campaign": campaign, "title": f"Forecast: {campaign.name}"}
    try:
        if campaign.kind == Campaign.Kind.EVERGREEN:
            values |= _of_pool(pool_forecast.of_pool(campaign))
        else:
            values |= _of_broadcast(forecast.of_campaign(campaign))
    except forecast.NothingToForecast as nothing:
        values["nothing"] = str(nothing)
    context = admin.site.each_context(request) | values
    return render(request, "admin/sending/forecast.html", context)


def _of_broadcast(seen: Forecast) -> dict[str, Any]:
    words = forecast_words
    whole = seen.totals.audience
    takes = words.takes(seen)
    none = whole - seen.texts
    numbers = [
        Number(f"{seen.texts:,}", "people get a text", f"of {whole:,} in the audience", good=True),
        Number(f"{seen.now:,}", "at once", f"{words.share(seen.now, seen.texts)} % of the texts"),
        Number(f"{seen.later:,}", "later", "when their hours or limits allow it"),
        Number(f"{none:,}", "get none", f"{words.share(none, whole)} % of the audience"),
        Number(f"{seen.credits:,}", "credits", "one for each segment"),
        Number(takes or "-", "until the last text leaves", f"at {seen.rate:,} segments a second"),
    ]
    columns = ("", "People", "%", "At once", "Later", "None", "First, local time")
    parts = ("", "People", "%", "Texts", "Credits")
    tables = [
        Table("The parts of the audience", parts, words.divided(seen)),
        Table("Who gets none, and why", ("", "People", "%"), words.skipped(seen)),
        Table("Who waits, and why", ("", "People", "%"), words.waiting(seen)),
        Table("When", ("", "May go", "%", "Leave"), words.hours(seen)),
        Table("Where", columns, words.places(seen)),
        Table("What a text costs", ("", "Texts", "%"), words.sizes(seen)),
    ]
    return {
        "basis": words.basis(seen),
        "numbers": numbers,
        "warnings": words.warnings(seen),
        "tables": [table for table in tables if table.lines],
    }


def _of_pool(seen: PoolForecast) -> dict[str, Any]:
    words = forecast_words
    numbers = [
        Number(
            f"{seen.texts:,}", "people get a text", f"of {seen.due:,} whose turn it is", good=True
        ),
        Number(f"{seen.others:,}", "get another pool's", "each person gets one of all pools"),
        Number(f"{seen.nothing.total():,}", "get none yet", "they are looked at again later"),
        Number(
            f"{seen.resting:,}", "have their turn later", "after the brand's pause between texts"
        ),
        Number(f"{seen.credits:,}", "credits", "one for each segment"),
    ]
    nothing = [
        Line(funnel.words(reason), count, words.share(count, seen.due))
        for reason, count in seen.nothing.most_common()
    ]
    tables = [
        Table("Who gets none yet, and why", ("", "People", "%"), nothing),
        Table("What a text costs", ("", "Texts", "%"), words.sizes(seen)),
    ]
    return {
        "basis": words.basis(seen),
        "numbers": numbers,
        "warnings": [],
        "tables": [table for table in tables if table.lines],
    }
