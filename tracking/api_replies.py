"""Replies by API: what people wrote, and answers to them."""

import hashlib
import uuid

import django_filters
from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django.urls import path
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from campaigns import content, references
from campaigns.api import Conflict, ReferenceUsed, SendRequest, named, reference_of
from campaigns.models import Campaign
from sending import answers, credits
from subscribers.api_pages import NamedFilters, Pages, SparseFields
from subscribers.key_models import Scope
from tracking import conversations
from tracking.models import Reply


class ReplyShown(SparseFields, serializers.ModelSerializer):
    """A text from a person. `text` is the id of ours that it may answer."""

    brand = serializers.CharField(source="brand.slug")
    subscriber = serializers.IntegerField(source="subscriber_id", allow_null=True)
    campaign = serializers.IntegerField(source="campaign_id", allow_null=True)
    text = serializers.UUIDField(source="text_id", allow_null=True)
    receivedAt = serializers.DateTimeField(source="received_at")
    answeredAt = serializers.DateTimeField(source="answered_at", allow_null=True)

    class Meta:
        model = Reply
        fields = (
            *("id", "brand", "subscriber", "phone", "campaign", "text", "body", "meaning"),
            *("receivedAt", "answeredAt"),
        )


class ReplyFilters(django_filters.FilterSet):
    """`answered=false`: what waits for an answer by a person."""

    brand = django_filters.CharFilter(field_name="brand__slug", help_text="A brand's slug.")
    subscriber = django_filters.NumberFilter(
        field_name="subscriber_id", help_text="A person's id.", max_value=2**63 - 1
    )
    campaign = django_filters.NumberFilter(method="by_campaign", help_text="A campaign's id.")
    meaning = django_filters.ChoiceFilter(choices=Reply.Meaning.choices)
    answered = django_filters.BooleanFilter(method="by_answered")

    class Meta:
        model = Reply
        fields = ()

    def by_campaign(self, rows: QuerySet, name: str, value: object) -> QuerySet:
        campaign = Campaign.objects.for_key(self.request.auth).filter(pk=value).first()
        return rows.filter(campaign=campaign) if campaign else rows.none()

    def by_answered(self, rows: QuerySet, name: str, value: bool) -> QuerySet:
        waiting = {"meaning": Reply.Meaning.OTHER, "answered_at": None}
        return rows.exclude(**waiting) if value else rows.filter(**waiting)


class Replies(ListAPIView):
    """Replies to the key's brands, the latest first."""

    serializer_class = ReplyShown
    pagination_class = Pages
    filter_backends = (NamedFilters,)
    filterset_class = ReplyFilters

    def get_queryset(self) -> QuerySet[Reply]:
        return Reply.objects.for_key(self.request.auth).select_related("brand")


class AnswerRequest(SendRequest):
    """What the person shall read, as it is: no fields are filled in."""

    body = serializers.CharField(max_length=content.LONGEST_BODY)


class AnswerAccepted(serializers.Serializer):
    """The text, and when it leaves at the earliest."""

    id = serializers.UUIDField()
    leavesAt = serializers.DateTimeField(source="leaves_at")


class AnswerPlanned(serializers.Serializer):
    """`client_reference` as it was given, if it was."""

    success = serializers.BooleanField(default=True)
    answer = AnswerAccepted()
    client_reference = serializers.CharField(required=False)


class ReplyAnswer(APIView):
    """Answer a reply by text, within 3 days of it, unless the person said no.

    It leaves ahead of campaigns, or when the law allows it. With an `Idempotency-Key` header the
    same request can be repeated: nobody gets it twice.
    """

    scope = Scope.SEND

    @extend_schema(
        request=AnswerRequest,
        parameters=[OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER)],
        responses={202: AnswerPlanned},
    )
    def post(self, request: Request, reply_id: int) -> Response:
        replies = Reply.objects.for_key(request.auth).select_related("brand__workspace")
        reply = get_object_or_404(replies, pk=reply_id)
        given = AnswerRequest(data=request.data)
        given.is_valid(raise_exception=True)
        try:
            planned = conversations.answer(
                reply,
                given.validated_data["body"],
                key=_key(request),
                by=f"API key {request.auth.prefix}",
                reference=reference_of(given),
            )
        except references.Used as used:
            raise ReferenceUsed(used) from None
        except (answers.Refused, credits.Short) as error:
            raise Conflict(str(error)) from None
        told = {"success": True, "answer": AnswerAccepted(planned).data}
        return Response(told | named(given), status=202)


def _key(request: Request) -> str:
    """One for each request: two integrators may number theirs alike."""
    given = request.headers.get("Idempotency-Key", "")
    if not given:
        return uuid.uuid4().hex
    return hashlib.sha256(f"{request.auth.pk}:{given}".encode()).hexdigest()


urlpatterns = [
    path("replies", Replies.as_view(), name="replies"),
    path("replies/<int:reply_id>/answer", ReplyAnswer.as_view(), name="reply-answer"),
]
