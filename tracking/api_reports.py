"""Reports by API: a campaign with its messages, and a brand's days."""

import datetime as dt
from dataclasses import asdict
from typing import Any

from django.shortcuts import get_object_or_404
from django.urls import path
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from campaigns.models import Campaign
from subscribers import clock
from subscribers.models import Brand
from tracking import attribution, reports


class FiguresAnswer(serializers.Serializer):
    """`clicks`: different people; visits by machines are apart. `optOuts` are among `replies`.

    `revenue` is what texts are credited with, less refunds.
    """

    sent = serializers.IntegerField()
    delivered = serializers.IntegerField()
    clicks = serializers.IntegerField()
    machineClicks = serializers.IntegerField(source="machine_clicks")
    replies = serializers.IntegerField()
    optOuts = serializers.IntegerField(source="opt_outs")
    purchases = serializers.IntegerField()
    revenue = serializers.DecimalField(max_digits=16, decimal_places=2)


class SumsAnswer(serializers.Serializer):
    """By when each thing happened; `clicks` are visits by people."""

    sent = serializers.IntegerField()
    delivered = serializers.IntegerField()
    clicks = serializers.IntegerField()
    purchases = serializers.IntegerField()
    revenue = serializers.DecimalField(max_digits=16, decimal_places=2)


class MomentAnswer(SumsAnswer):
    """One minute or day, in UTC."""

    at = serializers.DateTimeField()


class MessageFigures(FiguresAnswer):
    """Of one message."""

    id = serializers.IntegerField()
    name = serializers.CharField()


class CampaignReportAnswer(serializers.Serializer):
    """`moments` are those in which something happened."""

    id = serializers.IntegerField()
    name = serializers.CharField()
    brand = serializers.CharField()
    currency = serializers.CharField()
    totals = FiguresAnswer()
    messages = MessageFigures(many=True)
    moments = MomentAnswer(many=True)


class CreditedAnswer(serializers.Serializer):
    """Of a campaign, or of the campaigns to a segment; without an id: to everybody."""

    id = serializers.IntegerField(allow_null=True)
    name = serializers.CharField()
    purchases = serializers.IntegerField()
    revenue = serializers.DecimalField(max_digits=16, decimal_places=2)


class BrandReportAnswer(serializers.Serializer):
    """`orders` and `revenue` are all the brand's; `totals` what its texts are credited with."""

    brand = serializers.CharField()
    currency = serializers.CharField()
    orders = serializers.IntegerField()
    revenue = serializers.DecimalField(max_digits=16, decimal_places=2)
    totals = SumsAnswer()
    campaigns = CreditedAnswer(many=True)
    segments = CreditedAnswer(many=True)
    moments = MomentAnswer(many=True)


def _query(name: str, words: str, **fields: serializers.Field) -> type[serializers.Serializer]:
    """A serializer of query parameters: `from` is a word of Python's."""
    return type(name, (serializers.Serializer,), {"__doc__": words, **fields})


CampaignQuery = _query(
    "CampaignQuery",
    "Moments from `from` to before `to`: minutes of one day, or a year's days; else the latest.",
    by=serializers.ChoiceField(choices=[reports.DAY, reports.MINUTE], default=reports.DAY),
    **{name: serializers.DateTimeField(required=False) for name in ("from", "to")},
)
BrandQuery = _query(
    "BrandQuery",
    "Days in UTC, both included; the last 30 where they are not given.",
    **{name: serializers.DateField(required=False) for name in ("from", "to")},
)


class CampaignReport(APIView):
    """What became of a campaign and of each of its messages."""

    @extend_schema(parameters=[CampaignQuery], responses=CampaignReportAnswer)
    def get(self, request: Request, campaign_id: int) -> Response:
        campaigns = Campaign.objects.for_key(request.auth).select_related("brand")
        campaign = get_object_or_404(campaigns, pk=campaign_id)
        asked = _asked(CampaignQuery, request)
        by_minute = asked["by"] == reports.MINUTE
        longest = reports.LONGEST_BY_MINUTE if by_minute else reports.LONGEST_BY_DAY
        end = asked.get("to") or clock.now()
        begin = asked.get("from") or end - longest
        _check(begin, end, longest)
        report = reports.of_campaign(campaign)
        told = {
            "id": campaign.pk,
            "name": campaign.name,
            "brand": campaign.brand.slug,
            "currency": attribution.currency_of(campaign.brand),
            "totals": report.totals,
            "messages": [
                {"id": message.pk, "name": message.name, **asdict(figures)}
                for message, figures in report.messages
            ],
            "moments": reports.moments_of_campaign(campaign, asked["by"], begin, end),
        }
        return Response(CampaignReportAnswer(told).data)


class BrandReport(APIView):
    """A brand's days: what was sent, and what its texts are credited with."""

    @extend_schema(parameters=[BrandQuery], responses=BrandReportAnswer)
    def get(self, request: Request, slug: str) -> Response:
        brand = get_object_or_404(Brand.objects.for_key(request.auth), slug=slug)
        asked = _asked(BrandQuery, request)
        last = asked.get("to") or clock.now().date()
        first = asked.get("from") or last - dt.timedelta(days=29)
        _check(first, last, dt.timedelta(days=reports.LONGEST_BRAND_DAYS - 1))
        report = reports.of_brand(brand, first, last)
        told = {
            "brand": brand.slug,
            "currency": attribution.currency_of(brand),
            "orders": report.orders,
            "revenue": report.revenue,
            "totals": reports.total(report.moments),
            "campaigns": report.campaigns,
            "segments": report.segments,
            "moments": report.moments,
        }
        return Response(BrandReportAnswer(told).data)


def _asked(query: type[serializers.Serializer], request: Request) -> dict[str, Any]:
    known = query().fields.keys()
    unknown = sorted(request.query_params.keys() - known)
    if unknown:
        sentence = f"There is no such parameter; there are: {', '.join(sorted(known))}."
        raise ValidationError({unknown[0]: [sentence]}, code="unknown_filter")
    given = query(data=request.query_params.dict())
    given.is_valid(raise_exception=True)
    return dict(given.validated_data)


def _check(begin: Any, end: Any, longest: dt.timedelta) -> None:
    if begin > end:
        raise ValidationError({"from": ["This is after `to`."]})
    if end - begin > longest:
        raise ValidationError({"from": [f"Ask for at most {_words(longest)} at a time."]})


def _words(longest: dt.timedelta) -> str:
    return "one day" if longest.days == 1 else f"{longest.days} days"


urlpatterns = [
    path("reports/campaigns/<int:campaign_id>", CampaignReport.as_view(), name="campaign-report"),
    path("reports/brands/<str:slug>", BrandReport.as_view(), name="brand-report"),
]
