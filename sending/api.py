"""`GET /api/campaigns/{id}`: a campaign and how far it is."""

from django.shortcuts import get_object_or_404
from django.urls import path
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from campaigns.models import Campaign
from sending import progress


class CampaignProgress(serializers.ModelSerializer):
    """A campaign, with its texts counted by state and, where they were not sent, by reason."""

    brand = serializers.CharField(source="brand.slug")
    statusReason = serializers.CharField(source="status_reason")
    startsAt = serializers.DateTimeField(source="starts_at")
    launchedAt = serializers.DateTimeField(source="launched_at")
    totals = serializers.SerializerMethodField()

    class Meta:
        model = Campaign
        fields = (
            "id",
            "name",
            "brand",
            "kind",
            "status",
            "statusReason",
            "startsAt",
            "launchedAt",
            "totals",
        )

    def get_totals(self, campaign: Campaign) -> dict[str, object]:
        totals = progress.of_campaign(campaign)
        return {
            "audience": totals.audience,
            "byState": totals.by_state,
            "byReason": totals.by_reason,
        }


class CampaignDetail(APIView):
    """One campaign of the key's brands."""

    @extend_schema(responses=CampaignProgress)
    def get(self, request: Request, campaign_id: int) -> Response:
        campaigns = Campaign.objects.for_key(request.auth).select_related("brand")
        return Response(CampaignProgress(get_object_or_404(campaigns, pk=campaign_id)).data)


urlpatterns = [path("campaigns/<int:campaign_id>", CampaignDetail.as_view(), name="campaign")]
