"""List filters of tables whose ids begin with a time."""

import datetime as dt
from functools import reduce
from operator import or_
from typing import Any

from django.db.models import Q, QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import DropdownFilter, TextFilter

from campaigns.models import Campaign
from sending import browse, funnel, requeue
from sending.gateways import registry
from sending.gateways.codes import Category
from subscribers import clock
from subscribers.tenant_admin import MOST_CHOICES

USUAL_DAYS = 7


class WhenFilter(DropdownFilter):
    """How far back to look. Unless a person, an id or a campaign is asked for, a week."""

    title = "time"
    parameter_name = "days"
    all_option = ("", f"Last {USUAL_DAYS} days")

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("1", "Last 24 hours"), ("31", "Last 31 days"), ("93", "Last 93 days")]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        value = self.value()
        if not value and (request.GET.get("q") or request.GET.get("campaign")):
            return queryset
        days = int(value) if value in {"1", "31", "93"} else USUAL_DAYS
        return browse.since(queryset, clock.now() - dt.timedelta(days=days))


class CampaignFilter(DropdownFilter):
    """The texts of one campaign's latest runs. Offers the latest campaigns, takes any."""

    title = "campaign"
    parameter_name = "campaign"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        latest = Campaign.objects.for_user(request.user).order_by("-pk")[:MOST_CHOICES]
        return [(str(campaign.pk), campaign.name) for campaign in latest]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        value = self.value()
        if not value:
            return queryset
        known = Campaign.objects.for_user(request.user)
        campaign = known.filter(pk=int(value)).first() if value.isdecimal() else None
        return browse.of_campaign(queryset, campaign) if campaign else queryset.none()


class UnsentFilter(DropdownFilter):
    """Texts that were certainly not sent: those that can be queued again."""

    title = "not sent"
    parameter_name = "unsent"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("1", "Failed or expired")]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        if not self.value():
            return queryset
        return queryset.filter(state__in=requeue.CERTAINLY_NOT_SENT)


class CodeFilter(TextFilter):
    """The provider's error code, whole."""

    title = "error code"
    parameter_name = "code"

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        value = self.value()
        return queryset.filter(error_code=value.strip()) if value else queryset


class CategoryFilter(DropdownFilter):
    """What the tables of the gateways say that a code means; or that none says anything."""

    title = "error category"
    parameter_name = "category"
    unexplained = "unexplained"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        known = [(category.value, category.value.capitalize()) for category in Category]
        return [*known, (self.unexplained, "Not explained by a table")]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        value = self.value()
        if not value:
            return queryset
        if value == self.unexplained:
            return queryset.exclude(error_code="").exclude(_means(*Category))
        return queryset.filter(_means(value))


def _means(*categories: str) -> Q:
    """Texts whose code has one of these categories at the gateway of their sender."""
    return reduce(
        or_,
        (
            Q(
                sender__gateway=name,
                error_code__in=[
                    code
                    for table in (gateway.codes, gateway.receipt_codes)
                    for code, meaning in table.items()
                    if meaning.category in categories
                ],
            )
            for name, gateway in registry.GATEWAYS.items()
        ),
    )


class ReasonFilter(DropdownFilter):
    """Why texts wait or were not sent. Beside a campaign or a time, which bound what is read."""

    title = "reason"
    parameter_name = "because"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return funnel.choices()

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        return queryset.filter(reason=self.value()) if self.value() else queryset
