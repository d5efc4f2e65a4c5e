"""Campaigns and their messages by API: listed, made, and edited while they are drafts."""

from typing import Any

import django_filters
from django.db import transaction
from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django.urls import path
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from campaigns import content
from campaigns.api import Conflict
from campaigns.models import Campaign, Message
from campaigns.shares import SHORTEST_WAIT, WinnerBy, shares_error
from subscribers.api_pages import NamedFilters, Pages, SparseFields
from subscribers.key_models import ApiKey, Scope
from subscribers.models import Brand
from subscribers.segment_models import ManualList, Segment

MOST_MESSAGES = 50
MOST_EXCLUSIONS = 20
OF_WINNER = ("winner_by", "winner_after", "winner_deadline")


class OfTheKey(serializers.SlugRelatedField):
    """A row that the request's key covers, named by one of its fields. Others are as good as none."""

    default_error_messages = {
        "does_not_exist": "There is no {slug_name} {value!r} here, or your key does not cover it.",
        "invalid": "This names nothing.",
    }

    def get_queryset(self) -> QuerySet:
        return super().get_queryset().for_key(self.context["key"])

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, bool):
            self.fail("invalid")
        return super().to_internal_value(data)


class MessageFields(SparseFields, serializers.ModelSerializer):
    """One text variant. A weight of 0 takes it out of use; messages are not deleted."""

    body = serializers.CharField(max_length=2000, trim_whitespace=False)
    weight = serializers.IntegerField(default=1, min_value=0, max_value=32767)

    replaceLookAlikes = serializers.BooleanField(
        source="replace_look_alikes", required=False, allow_null=True
    )

    class Meta:
        model = Message
        fields = ("id", "name", "body", "weight", "language", "replaceLookAlikes")

    def validate_body(self, body: str) -> str:
        body = body.replace("\r\n", "\n")
        try:
            content.check(body)
        except content.BadContent as error:
            raise serializers.ValidationError(str(error)) from None
        return body


class CampaignFields(SparseFields, serializers.ModelSerializer):
    """A campaign as it is made and listed."""

    brand = OfTheKey(slug_field="slug", queryset=Brand.objects.all())
    statusReason = serializers.CharField(source="status_reason", read_only=True)
    startsAt = serializers.DateTimeField(source="starts_at", required=False, allow_null=True)
    launchedAt = serializers.DateTimeField(source="launched_at", read_only=True, allow_null=True)
    weeklyCap = serializers.IntegerField(
        source="weekly_cap", required=False, min_value=1, max_value=32767
    )
    segment = OfTheKey(
        slug_field="pk", queryset=Segment.objects.all(), required=False, allow_null=True
    )
    excludeSegments = OfTheKey(
        source="exclude_segments",
        slug_field="pk",
        queryset=Segment.objects.all(),
        many=True,
        required=False,
    )
    excludeLists = OfTheKey(
        source="exclude_lists",
        slug_field="pk",
        queryset=ManualList.objects.all(),
        many=True,
        required=False,
    )

    testShare = serializers.IntegerField(
        source="test_share", required=False, allow_null=True, min_value=1, max_value=99
    )
    winnerBy = serializers.ChoiceField(
        source="winner_by", choices=WinnerBy.choices, required=False, allow_blank=True
    )
    winnerSample = serializers.IntegerField(
        source="winner_sample", required=False, min_value=1, max_value=2**31 - 1
    )
    winnerAfter = serializers.DurationField(
        source="winner_after", required=False, min_value=SHORTEST_WAIT
    )
    winnerDeadline = serializers.DurationField(
        source="winner_deadline",
        required=False,
        allow_null=True,
        min_value=SHORTEST_WAIT,
    )
    utmSource = serializers.CharField(
        source="utm_source", required=False, allow_blank=True, max_length=100
    )
    utmMedium = serializers.CharField(
        source="utm_medium", required=False, allow_blank=True, max_length=100
    )
    utmCampaign = serializers.CharField(
        source="utm_campaign", required=False, allow_blank=True, max_length=100
    )

    class Meta:
        model = Campaign
        fields = (
            *("id", "brand", "name", "kind", "status", "statusReason", "startsAt", "launchedAt"),
            *("weeklyCap", "segment", "excludeSegments", "excludeLists", "holdout", "testShare"),
            *("winnerBy", "winnerSample", "winnerAfter", "winnerDeadline"),
            *("utmSource", "utmMedium", "utmCampaign"),
        )
        read_only_fields = ("status",)

    def validate(self, given: dict[str, Any]) -> dict[str, Any]:
        brand = given.get("brand") or self.instance.brand
        named = {"segment": [given["segment"]] if given.get("segment") else []}
        named |= {"excludeSegments": given.get("exclude_segments", [])}
        for name, segments in named.items():
            if any(one.brand_id not in (None, brand.pk) for one in segments):
                raise serializers.ValidationError({name: ["This segment is another brand's."]})
        kind = given.get("kind") or getattr(self.instance, "kind", Campaign.Kind.BROADCAST)
        shares = given.get("test_share", getattr(self.instance, "test_share", None))
        if shares is not None and kind != Campaign.Kind.BROADCAST:
            raise serializers.ValidationError({"testShare": ["Only a broadcast has a test share."]})
        winner = {name: given.get(name, getattr(self.instance, name, None)) for name in OF_WINNER}
        wrong = shares_error(**winner, test_share=shares)
        if wrong:
            raise serializers.ValidationError({"winnerBy": [wrong]})
        for name in ("exclude_segments", "exclude_lists"):
            if len(given.get(name, [])) > MOST_EXCLUSIONS:
                raise serializers.ValidationError(
                    {name: [f"A campaign has at most {MOST_EXCLUSIONS} of these."]}
                )
        return given


class CampaignRequest(CampaignFields):
    """A new campaign with its messages."""

    messages = MessageFields(many=True, required=False)

    class Meta(CampaignFields.Meta):
        fields = (*CampaignFields.Meta.fields, "messages")

    def validate_messages(self, messages: list[Any]) -> list[Any]:
        if len(messages) > MOST_MESSAGES:
            raise serializers.ValidationError(f"A campaign has at most {MOST_MESSAGES} messages.")
        return messages

    @transaction.atomic
    def create(self, given: dict[str, Any]) -> Campaign:
        messages = given.pop("messages", [])
        campaign = super().create(given)
        Message.objects.bulk_create(Message(campaign=campaign, **one) for one in messages)
        return campaign


class CampaignFilters(django_filters.FilterSet):
    """`brand` is a slug."""

    brand = django_filters.CharFilter(field_name="brand__slug")
    status = django_filters.ChoiceFilter(choices=Campaign.Status.choices)
    kind = django_filters.ChoiceFilter(choices=Campaign.Kind.choices)

    class Meta:
        model = Campaign
        fields = ()


def campaigns_of(key: ApiKey) -> QuerySet[Campaign]:
    """The campaigns that a key covers."""
    return (
        Campaign.objects.for_key(key)
        .select_related("brand")
        .prefetch_related("exclude_segments", "exclude_lists")
    )


class Campaigns(ListAPIView):
    """The key's campaigns, the newest first."""

    scope = Scope.CAMPAIGNS
    serializer_class = CampaignFields
    pagination_class = Pages
    filter_backends = (NamedFilters,)
    filterset_class = CampaignFilters

    def get_queryset(self) -> QuerySet[Campaign]:
        return campaigns_of(self.request.auth)

    @extend_schema(request=CampaignRequest, responses={201: CampaignRequest})
    def post(self, request: Request) -> Response:
        """Make a draft. Nothing is sent before it is launched."""
        given = CampaignRequest(data=request.data, context={"key": request.auth})
        given.is_valid(raise_exception=True)
        given.save()
        return Response(given.data, status=201)


class CampaignEdit(APIView):
    """A draft that is edited. `sending` adds how far a campaign is."""

    scope = Scope.CAMPAIGNS

    @extend_schema(request=CampaignFields, responses=CampaignFields)
    @transaction.atomic
    def patch(self, request: Request, campaign_id: int) -> Response:
        """Change the given fields of a draft. Its brand stays."""
        campaign = draft_of(request, campaign_id)
        given = CampaignFields(
            campaign, data=request.data, partial=True, context={"key": request.auth}
        )
        given.is_valid(raise_exception=True)
        if given.validated_data.get("brand", campaign.brand) != campaign.brand:
            raise serializers.ValidationError({"brand": ["A campaign never changes its brand."]})
        given.save()
        return Response(given.data)


class Messages(APIView):
    """A campaign's messages."""

    scope = Scope.CAMPAIGNS

    @extend_schema(responses=MessageFields(many=True))
    def get(self, request: Request, campaign_id: int) -> Response:
        campaign = get_object_or_404(campaigns_of(request.auth), pk=campaign_id)
        messages = campaign.messages.order_by("pk")[:MOST_MESSAGES]
        return Response(MessageFields(messages, many=True, context={"request": request}).data)

    @extend_schema(request=MessageFields, responses={201: MessageFields})
    @transaction.atomic
    def post(self, request: Request, campaign_id: int) -> Response:
        """Add a message to a draft."""
        campaign = draft_of(request, campaign_id)
        if campaign.messages.count() >= MOST_MESSAGES:
            raise Conflict(f"A campaign has at most {MOST_MESSAGES} messages.")
        given = MessageFields(data=request.data)
        given.is_valid(raise_exception=True)
        given.save(campaign=campaign)
        return Response(given.data, status=201)


class MessageEdit(APIView):
    """One message of a draft."""

    scope = Scope.CAMPAIGNS

    @extend_schema(request=MessageFields, responses=MessageFields)
    @transaction.atomic
    def patch(self, request: Request, campaign_id: int, message_id: int) -> Response:
        campaign = draft_of(request, campaign_id)
        message = get_object_or_404(campaign.messages, pk=message_id)
        given = MessageFields(message, data=request.data, partial=True)
        given.is_valid(raise_exception=True)
        given.save()
        return Response(given.data)


def draft_of(request: Request, campaign_id: int) -> Campaign:
    """The draft, locked so that a launch waits for the change. 404, or 409 for what is no draft."""
    locked = Campaign.objects.for_key(request.auth).select_for_update(of=("self",))
    campaign = get_object_or_404(locked.select_related("brand"), pk=campaign_id)
    if campaign.status != Campaign.Status.DRAFT:
        raise Conflict(
            f"A {campaign.get_status_display().lower()} campaign cannot be changed: only drafts can."
        )
    return campaign


urlpatterns = [
    path("campaigns", Campaigns.as_view(), name="campaigns"),
    path("campaigns/<int:campaign_id>/messages", Messages.as_view(), name="campaign-messages"),
    path(
        "campaigns/<int:campaign_id>/messages/<int:message_id>",
        MessageEdit.as_view(),
        name="campaign-message",
    ),
]
