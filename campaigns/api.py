"""`POST /api/campaigns/{id}/enqueue`: launch a campaign. Answers at once; `sending` finds it."""

from typing import Any

from django.shortcuts import get_object_or_404
from django.urls import path
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from campaigns import lifecycle, references
from campaigns.models import Campaign
from campaigns.reference_models import LONGEST
from subscribers import clock
from subscribers.key_models import Scope


class Conflict(APIException):
    status_code = 409
    default_code = "not_allowed"


class ReferenceUsed(APIException):
    """The request's `client_reference` stands for another send of the brand."""

    status_code = 409
    default_code = "client_reference_used"

    def __init__(self, used: references.Used) -> None:
        super().__init__({"client_reference": [str(used)]})


class SendRequest(serializers.Serializer):
    """What every request that causes texts may say: how the integrator calls this send.

    1 to 64 printable characters without a space at either end. A brand's reference is used once,
    for ever: a second request with it is refused, and sends nothing.
    """

    client_reference = serializers.CharField(
        required=False, max_length=LONGEST, trim_whitespace=False
    )

    def validate_client_reference(self, reference: str) -> str:
        if not references.is_one(reference):
            raise serializers.ValidationError(
                "A reference has printable characters, and no space at either end."
            )
        return reference


def reference_of(given: serializers.Serializer) -> str:
    """The reference in a validated SendRequest; '' where it names none."""
    return str(given.validated_data.get("client_reference", ""))


def named(given: serializers.Serializer) -> dict[str, str]:
    """What the answer to a SendRequest says of its reference."""
    reference = reference_of(given)
    return {"client_reference": reference} if reference else {}


class LaunchedCampaign(serializers.ModelSerializer):
    """A launched campaign: it starts at `startsAt`, or is on its way."""

    startsAt = serializers.DateTimeField(source="starts_at", allow_null=True)

    class Meta:
        model = Campaign
        fields = ("id", "status", "startsAt")


class Launched(serializers.Serializer):
    """`client_reference` as it was given, if it was."""

    success = serializers.BooleanField(default=True)
    campaign = LaunchedCampaign()
    client_reference = serializers.CharField(required=False)


class CampaignEnqueue(APIView):
    """Launch a draft. Doing it again changes nothing and answers the same.

    With a `client_reference` one request alone launches it, and every other is told so.
    """

    scope = Scope.SEND

    @extend_schema(request=SendRequest, responses={202: Launched})
    def post(self, request: Request, campaign_id: int) -> Response:
        campaign = get_object_or_404(Campaign.objects.for_key(request.auth), pk=campaign_id)
        given = SendRequest(data=request.data)
        given.is_valid(raise_exception=True)
        try:
            lifecycle.launch(campaign, now=clock.now(), reference=reference_of(given))
        except references.Used as used:
            raise ReferenceUsed(used) from None
        except lifecycle.NotAllowed as error:
            raise Conflict(str(error)) from None
        told: dict[str, Any] = {"success": True, "campaign": LaunchedCampaign(campaign).data}
        return Response(told | named(given), status=202)


urlpatterns = [
    path("campaigns/<int:campaign_id>/enqueue", CampaignEnqueue.as_view(), name="campaign-enqueue")
]
