"""The page that says what became of a campaign, once it is launched."""

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render

from campaigns.models import Campaign
from subscribers import clock
from tracking import attribution, reports
from tracking.models import AttributionRules
from tracking.reports import Figures, Moment

LATEST_DAYS = dt.timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Number:
    """A big number of the page, what it is, and a line of small print."""

    figure: str
    title: str
    note: str = ""


def report_page(request: HttpRequest, campaign_id: int, model_admin: Any) -> HttpResponse:
    """The report of one campaign, counted while the page is asked for."""
    if not request.user.has_perm("campaigns.view_campaign"):
        raise PermissionDenied
    campaigns = Campaign.objects.for_user(request.user).select_related("brand")
    campaign = get_object_or_404(campaigns, pk=campaign_id)
    currency = attribution.currency_of(campaign.brand)
    report = reports.of_campaign(campaign)
    now = clock.now()
    days = reports.moments_of_campaign(campaign, reports.DAY, now - LATEST_DAYS, now)
    context = admin.site.each_context(request) | {
        "campaign": campaign,
        "title": f"Report: {campaign.name}",
        "basis": _basis(campaign),
        "numbers": _numbers(report.totals, currency),
        "variants": [(one, _cells(figures, currency)) for one, figures in report.messages],
        "days": [_day(one, currency) for one in reversed(days)],
    }
    return render(request, "admin/tracking/report.html", context)


def _numbers(found: Figures, currency: str) -> list[Number]:
    visits = "visit by a machine is" if found.machine_clicks == 1 else "visits by machines are"
    machines = f"{found.machine_clicks:,} {visits} not counted"
    return [
        Number(f"{found.sent:,}", "texts sent", "to the provider"),
        Number(f"{found.delivered:,}", "delivered", _share(found.delivered, found.sent, "sent")),
        Number(
            f"{found.clicks:,}",
            "people clicked",
            f"{_share(found.clicks, found.delivered, 'delivered')}; {machines}",
        ),
        Number(f"{found.replies:,}", "replies", "including opt-outs"),
        Number(
            f"{found.opt_outs:,}", "people opted out", _share(found.opt_outs, found.sent, "sent")
        ),
        Number(
            _money(found.revenue, currency),
            "revenue",
            f"from {found.purchases:,} order{'' if found.purchases == 1 else 's'}, less refunds",
        ),
    ]


def _cells(found: Figures, currency: str) -> list[str]:
    counts = (found.sent, found.delivered, found.clicks, found.machine_clicks, found.replies)
    more = (found.opt_outs, found.purchases)
    return [*(f"{count:,}" for count in (*counts, *more)), _money(found.revenue, currency)]


def _day(moment: Moment, currency: str) -> tuple[str, list[str]]:
    counts = (moment.sent, moment.delivered, moment.clicks, moment.purchases)
    cells = [*(f"{count:,}" for count in counts), _money(moment.revenue, currency)]
    return f"{moment.at:%a} {moment.at.day} {moment.at:%b %Y}", cells


def _basis(campaign: Campaign) -> str:
    """How orders are credited, in words."""
    own = AttributionRules.objects.filter(brand=campaign.brand).first()
    rules = own or AttributionRules()
    whose = rules.get_model_display().lower()
    return (
        f"An order is credited to {whose} that was clicked up to {_span(rules.click_window)} before"
        f" it, or delivered up to {_span(rules.delivery_window)} before it."
    )


def _span(window: dt.timedelta) -> str:
    hours = window / dt.timedelta(hours=1)
    if hours >= 48 and not hours % 24:
        return f"{hours / 24:.0f} days"
    return f"{hours:g} hours"


def _share(part: int, whole: int, of: str) -> str:
    return f"{100 * part / whole:.1f} % of those {of}" if whole else f"none {of} yet"


def _money(amount: Decimal, currency: str) -> str:
    return f"{amount:,.2f} {currency}"
