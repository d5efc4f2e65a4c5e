"""`GET /api/campaigns/{id}/forecast`: what a campaign would do; nothing is sent or kept."""

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import PolymorphicProxySerializer, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from campaigns.api import Conflict
from campaigns.models import Campaign
from sending import forecast, forecast_words, pool_forecast
from sending.forecast import Forecast


class WaitingAnswer(serializers.Serializer):
    """Who waits for the winner of the test: people, those who would get a text of them, its cost."""

    people = serializers.IntegerField()
    texts = serializers.IntegerField()
    leastCredits = serializers.IntegerField(source="least_credits")
    mostCredits = serializers.IntegerField(source="most_credits")


class ForecastAnswer(serializers.Serializer):
    """A broadcast. Counts are people; `neverInTime` and `waitForDailyCap` are null without a sender in
    use. `waitForWinner`: in no other figure, null without a test share. `oneIn`: of a very large
    audience one person in so many was decided about, and the figures are multiplied."""

    at = serializers.DateTimeField()
    audience = serializers.IntegerField(source="totals.audience")
    texts = serializers.IntegerField()
    atOnce = serializers.IntegerField(source="now")
    later = serializers.IntegerField()
    parked = serializers.IntegerField()
    skipped = serializers.SerializerMethodField()
    waiting = serializers.SerializerMethodField()
    credits = serializers.IntegerField()
    segmentsPerSecond = serializers.IntegerField(source="rate")
    lastTextAt = serializers.DateTimeField(source="outflow.done_at", default=None)
    neverInTime = serializers.SerializerMethodField()
    waitForDailyCap = serializers.SerializerMethodField()
    waitForWinner = WaitingAnswer(source="waiting", allow_null=True)
    oneIn = serializers.IntegerField(source="step")
    hadThisTextBefore = serializers.IntegerField(source="repeated")
    hours = serializers.SerializerMethodField()
    warnings = serializers.SerializerMethodField()

    def get_skipped(self, seen: Forecast) -> dict[str, int]:
        return seen.by_reason("skipped")

    def get_waiting(self, seen: Forecast) -> dict[str, int]:
        return seen.by_reason("planned")

    def get_neverInTime(self, seen: Forecast) -> int | None:  # noqa: N802 - the field's name
        return None if seen.outflow is None else round(seen.outflow.too_late)

    def get_waitForDailyCap(self, seen: Forecast) -> int | None:  # noqa: N802 - the field's name
        return None if seen.outflow is None else round(seen.outflow.capped)

    def get_hours(self, seen: Forecast) -> dict[str, int]:
        """Texts that leave, by the full hour in UTC."""
        leaving = seen.outflow.by_hour if seen.outflow else {}
        return {hour.isoformat(): round(texts) for hour, texts in sorted(leaving.items())}

    def get_warnings(self, seen: Forecast) -> list[str]:
        return forecast_words.warnings(seen)


class PoolForecastAnswer(serializers.Serializer):
    """An evergreen pool: what its next tick would do. Counts are people."""

    at = serializers.DateTimeField()
    due = serializers.IntegerField()
    texts = serializers.IntegerField()
    otherPools = serializers.IntegerField(source="others")
    noneYet = serializers.DictField(source="nothing", child=serializers.IntegerField())
    resting = serializers.IntegerField()
    credits = serializers.IntegerField()


class CampaignForecast(APIView):
    """What a campaign would do if it were planned now, or at its start."""

    @extend_schema(
        responses=PolymorphicProxySerializer(
            "CampaignForecast", [ForecastAnswer, PoolForecastAnswer], resource_type_field_name=None
        )
    )
    def get(self, request: Request, campaign_id: int) -> Response:
        campaigns = Campaign.objects.for_key(request.auth).select_related("brand")
        campaign = get_object_or_404(campaigns, pk=campaign_id)
        try:
            if campaign.kind == Campaign.Kind.EVERGREEN:
                return Response(PoolForecastAnswer(pool_forecast.of_pool(campaign)).data)
            return Response(ForecastAnswer(forecast.of_campaign(campaign)).data)
        except forecast.NothingToForecast as nothing:
            raise Conflict(str(nothing)) from None
