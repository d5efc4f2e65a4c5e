"""What is done with a campaign by API: checked, scheduled, paused, resumed, cancelled, its winner chosen."""

from django.db import transaction
from django.shortcuts import get_object_or_404
from django.urls import path
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from campaigns import controls, lifecycle, lint, references, variants
from campaigns.api import Conflict, ReferenceUsed, SendRequest, named, reference_of
from campaigns.api_drafts import CampaignFields, campaigns_of, draft_of
from campaigns.models import Campaign
from subscribers import clock
from subscribers.key_models import Scope


class FindingShown(serializers.Serializer):
    """One thing to mend in a message. What `blocks` refuses the launch; the rest is advice."""

    code = serializers.ChoiceField(choices=[(code.value, code.value) for code in lint.Code])
    blocks = serializers.BooleanField()
    message = serializers.IntegerField(allow_null=True)
    position = serializers.IntegerField(allow_null=True)
    sentence = serializers.CharField()


class CampaignLint(APIView):
    """What is wrong with a campaign's messages, before it is launched."""

    @extend_schema(responses=FindingShown(many=True))
    def get(self, request: Request, campaign_id: int) -> Response:
        campaign = get_object_or_404(campaigns_of(request.auth), pk=campaign_id)
        return Response(FindingShown(lint.of_campaign(campaign), many=True).data)


class WinnerRequest(serializers.Serializer):
    """The message that the rest of the audience gets."""

    message = serializers.IntegerField(min_value=1, max_value=2**63 - 1)


class CampaignWinner(APIView):
    """Choose the message that the rest of the audience gets, after the test share. It stays chosen."""

    scope = Scope.SEND

    @extend_schema(request=WinnerRequest, responses=CampaignFields)
    def post(self, request: Request, campaign_id: int) -> Response:
        campaign = get_object_or_404(campaigns_of(request.auth), pk=campaign_id)
        given = WinnerRequest(data=request.data)
        given.is_valid(raise_exception=True)
        message = campaign.messages.filter(pk=given.validated_data["message"]).first()
        if message is None:
            raise serializers.ValidationError({"message": ["There is none with this id here."]})
        try:
            variants.choose_winner(campaign, message, now=clock.now())
        except lifecycle.NotAllowed as error:
            raise Conflict(str(error)) from None
        return Response(CampaignFields(campaign).data)


class ScheduleRequest(SendRequest):
    """When the campaign starts, and how the integrator calls this launch."""

    startsAt = serializers.DateTimeField()


class ScheduledCampaign(CampaignFields):
    """A launched campaign. `client_reference` as it was given, if it was."""

    client_reference = serializers.CharField(required=False)

    class Meta(CampaignFields.Meta):
        fields = (*CampaignFields.Meta.fields, "client_reference")


class CampaignSchedule(APIView):
    """Launch a draft to start at a moment."""

    scope = Scope.SEND

    @extend_schema(request=ScheduleRequest, responses=ScheduledCampaign)
    def post(self, request: Request, campaign_id: int) -> Response:
        given = ScheduleRequest(data=request.data)
        given.is_valid(raise_exception=True)
        now = clock.now()
        if given.validated_data["startsAt"] <= now:
            raise serializers.ValidationError({"startsAt": ["This is past: choose a later time."]})
        campaign = get_object_or_404(campaigns_of(request.auth), pk=campaign_id)
        with transaction.atomic():
            _take(reference_of(given), campaign)
            campaign = draft_of(request, campaign_id)
            campaign.starts_at = given.validated_data["startsAt"]
            campaign.save(update_fields=["starts_at"])
            _press("launch", campaign)
        return Response(CampaignFields(campaign).data | named(given))


class CampaignControl(APIView):
    """Pause, resume or cancel a campaign. Takes effect within one batch."""

    scope = Scope.SEND
    control = ""

    @extend_schema(request=None, responses=CampaignFields)
    def post(self, request: Request, campaign_id: int) -> Response:
        campaign = get_object_or_404(campaigns_of(request.auth), pk=campaign_id)
        _press(self.control, campaign)
        return Response(CampaignFields(campaign).data)


def _take(reference: str, campaign: Campaign) -> None:
    try:
        references.take(campaign.brand_id, reference, references.Use.LAUNCH, campaign.pk)
    except references.Used as used:
        raise ReferenceUsed(used) from None


def _press(name: str, campaign: Campaign) -> None:
    try:
        controls.CONTROLS[name].act(campaign, clock.now())
    except lifecycle.NotAllowed as error:
        raise Conflict(str(error)) from None


urlpatterns = [
    path(
        "campaigns/<int:campaign_id>/schedule", CampaignSchedule.as_view(), name="campaign-schedule"
    ),
    path("campaigns/<int:campaign_id>/lint", CampaignLint.as_view(), name="campaign-lint"),
    path("campaigns/<int:campaign_id>/winner", CampaignWinner.as_view(), name="campaign-winner"),
    *(
        path(
            f"campaigns/<int:campaign_id>/{name}",
            CampaignControl.as_view(control=name),
            name=f"campaign-{name}",
        )
        for name in ("pause", "resume", "cancel")
    ),
]
