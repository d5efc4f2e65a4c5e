"""A campaign and how far it is, test sends of it, and a brand's queue."""

import hashlib
import json
import uuid
from typing import Any

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django.urls import path
from django.utils.http import parse_etags
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from campaigns import content, lifecycle, references
from campaigns.api import Conflict, ReferenceUsed, SendRequest, named, reference_of
from campaigns.api_drafts import CampaignEdit
from campaigns.models import Campaign
from sending import credits, progress, queue_state, trials
from sending.forecast_api import CampaignForecast
from subscribers.api_pages import SparseFields
from subscribers.key_models import Scope
from subscribers.models import Brand, Subscriber


class CampaignProgress(SparseFields, serializers.ModelSerializer):
    """A campaign, with its texts counted by state and, where they were not sent, by reason."""

    brand = serializers.CharField(source="brand.slug")
    statusReason = serializers.CharField(source="status_reason")
    startsAt = serializers.DateTimeField(source="starts_at", allow_null=True)
    launchedAt = serializers.DateTimeField(source="launched_at", allow_null=True)
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


class CampaignDetail(CampaignEdit):
    """One campaign of the key's brands, and how far it is."""

    @extend_schema(
        parameters=[OpenApiParameter("If-None-Match", str, OpenApiParameter.HEADER)],
        responses={200: CampaignProgress, 304: OpenApiResponse(description="As it was.")},
    )
    def get(self, request: Request, campaign_id: int) -> Response:
        """With its `ETag` in `If-None-Match`: 304 while nothing has changed."""
        campaigns = Campaign.objects.for_key(request.auth).select_related("brand")
        campaign = get_object_or_404(campaigns, pk=campaign_id)
        told = CampaignProgress(campaign, context={"request": request}).data
        digest = hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode())
        tag = f'"{digest.hexdigest()[:32]}"'
        if tag in parse_etags(request.headers.get("If-None-Match", "")):
            return Response(status=304, headers={"ETag": tag})
        return Response(told, headers={"ETag": tag})


class QueueStateAnswer(serializers.Serializer):
    """A brand's queue: what is due by lane, how long the oldest waits, and what holds it back."""

    brand = serializers.CharField()
    due = serializers.DictField(child=serializers.IntegerField())
    later = serializers.IntegerField()
    oldestDueSeconds = serializers.FloatField(source="oldest_due_seconds")
    onTheWay = serializers.IntegerField(source="on_the_way")
    ratePerSecond = serializers.FloatField(source="rate")
    heldBackBy = serializers.ListField(source="held_back_by", child=serializers.CharField())


class BrandQueue(APIView):
    """The queue of one of the key's brands."""

    @extend_schema(responses=QueueStateAnswer)
    def get(self, request: Request, slug: str) -> Response:
        brand = get_object_or_404(Brand.objects.for_key(request.auth), slug=slug)
        return Response(QueueStateAnswer(queue_state.of_brand(brand)).data)


class TestSendRequest(SendRequest):
    """Up to ten numbers, in any usual writing; which message and for whom it is written, if wished."""

    __test__ = False  # pytest: no test

    numbers = serializers.ListField(
        child=serializers.CharField(max_length=40), min_length=1, max_length=trials.MOST_NUMBERS
    )
    messageId = serializers.IntegerField(required=False, min_value=1, max_value=2**63 - 1)
    subscriberId = serializers.IntegerField(required=False, min_value=1, max_value=2**63 - 1)


class TestSendAnswer(serializers.Serializer):
    """What became of each number: a text's id, or the reason why it gets none."""

    __test__ = False  # pytest: no test

    number = serializers.CharField()
    id = serializers.UUIDField(allow_null=True)
    reason = serializers.CharField(allow_blank=True)


class TestsPlanned(serializers.Serializer):
    """What became of each number, in their order. `client_reference` as it was given, if it was."""

    success = serializers.BooleanField(default=True)
    tests = TestSendAnswer(many=True)
    client_reference = serializers.CharField(required=False)


class CampaignTest(APIView):
    """Send a campaign's message to chosen numbers, now, as a test.

    With an `Idempotency-Key` header the same request can be repeated: nobody gets it twice.
    """

    scope = Scope.SEND

    @extend_schema(
        request=TestSendRequest,
        parameters=[OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER)],
        responses={202: TestsPlanned},
    )
    def post(self, request: Request, campaign_id: int) -> Response:
        campaigns = Campaign.objects.for_key(request.auth).select_related("brand")
        campaign = get_object_or_404(campaigns, pk=campaign_id)
        given = TestSendRequest(data=request.data)
        given.is_valid(raise_exception=True)
        wanted = given.validated_data
        try:
            told = trials.send(
                campaign,
                wanted["numbers"],
                key=request.headers.get("Idempotency-Key", "")[:80] or uuid.uuid4().hex,
                asked_by=f"API key {request.auth.prefix}",
                message=_named("messageId", campaign.messages.all(), wanted),
                person=_named("subscriberId", Subscriber.objects.for_key(request.auth), wanted),
                reference=reference_of(given),
            )
        except references.Used as used:
            raise ReferenceUsed(used) from None
        except content.BadContent as error:
            raise serializers.ValidationError({"messageId": [str(error)]}) from None
        except (lifecycle.NotAllowed, credits.Short) as error:
            raise Conflict(str(error)) from None
        tests = TestSendAnswer(told, many=True).data
        return Response({"success": True, "tests": tests, **named(given)}, status=202)


def _named(field: str, rows: QuerySet, wanted: dict[str, Any]) -> Any:
    """The row that the request names in `field`, None where it names none."""
    if field not in wanted:
        return None
    row = rows.filter(pk=wanted[field]).first()
    if row is None:
        raise serializers.ValidationError({field: ["There is none with this id here."]})
    return row


urlpatterns = [
    path(
        "campaigns/<int:campaign_id>/forecast",
        CampaignForecast.as_view(),
        name="campaign-forecast",
    ),
    path("campaigns/<int:campaign_id>/test", CampaignTest.as_view(), name="campaign-test"),
    path("campaigns/<int:campaign_id>", CampaignDetail.as_view(), name="campaign"),
    path("brands/<slug:slug>/queue", BrandQueue.as_view(), name="brand-queue"),
]
