"""`POST /api/campaigns/{id}/enqueue`: launch a campaign. Answers at once; `sending` finds it."""

from django.shortcuts import get_object_or_404
from django.urls import path
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from campaigns import lifecycle
from campaigns.models import Campaign
from subscribers import clock
from subscribers.key_models import Scope


class Conflict(APIException):
    status_code = 409
    default_code = "not_allowed"


class CampaignEnqueue(APIView):
    """Launch a draft. Doing it again changes nothing and answers the same."""

    scope = Scope.SEND

    @extend_schema(request=None, responses={202: OpenApiResponse(description="Launched.")})
    def post(self, request: Request, campaign_id: int) -> Response:
        campaign = get_object_or_404(Campaign.objects.for_key(request.auth), pk=campaign_id)
        try:
            lifecycle.launch(campaign, now=clock.now())
        except lifecycle.NotAllowed as error:
            raise Conflict(str(error)) from None
        return Response(
            {
                "success": True,
                "campaign": {
                    "id": campaign.pk,
                    "status": campaign.status,
                    "startsAt": campaign.starts_at,
                },
            },
            status=202,
        )


urlpatterns = [
    path("campaigns/<int:campaign_id>/enqueue", CampaignEnqueue.as_view(), name="campaign-enqueue")
]
