"""Deliveries of webhooks by API: what was told, what came of each attempt, and telling it again."""

import datetime as dt
from typing import Any

import django_filters
from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django.urls import path
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from campaigns.api import Conflict
from subscribers.api_pages import NamedFilters, Pages, SparseFields
from subscribers.key_models import ApiKey, Scope
from tracking.outbound import deliveries, payloads
from tracking.outbound.models import EventType, WebhookAttempt, WebhookDelivery

State = WebhookDelivery.State
MOST_ATTEMPTS = 100


class AttemptFields(serializers.ModelSerializer):
    """One request and what came of it. `status` null: no answer came; `error` says why."""

    class Meta:
        model = WebhookAttempt
        fields = ("at", "status", "milliseconds", "error", "answer")


class DeliveryFields(SparseFields, serializers.ModelSerializer):
    """One event on its way to one endpoint."""

    webhookId = serializers.SerializerMethodField("read_webhook_id")
    type = serializers.CharField(source="event.type", read_only=True)
    brand = serializers.SerializerMethodField("read_brand")
    occurredAt = serializers.DateTimeField(source="event.occurred_at", read_only=True)
    dueAt = serializers.SerializerMethodField("read_due_at")
    createdAt = serializers.DateTimeField(source="created_at", read_only=True)
    finishedAt = serializers.DateTimeField(source="finished_at", read_only=True, allow_null=True)

    class Meta:
        model = WebhookDelivery
        fields = (
            *("id", "endpoint", "webhookId", "type", "brand", "occurredAt", "state", "attempts"),
            *("dueAt", "createdAt", "finishedAt"),
        )
        read_only_fields = fields

    def read_webhook_id(self, delivery: WebhookDelivery) -> str:
        return payloads.webhook_id(delivery.event)

    def read_brand(self, delivery: WebhookDelivery) -> str | None:
        """Its slug; null for what concerns every brand."""
        return delivery.event.brand.slug if delivery.event.brand else None

    def read_due_at(self, delivery: WebhookDelivery) -> dt.datetime | None:
        """When it is tried next; null once it has ended."""
        return delivery.due_at if delivery.state == State.WAITING else None


class DeliveryWithAttempts(DeliveryFields):
    """With its attempts, the newest first."""

    attemptLog = serializers.SerializerMethodField("read_attempts")

    class Meta(DeliveryFields.Meta):
        fields = (*DeliveryFields.Meta.fields, "attemptLog")
        read_only_fields = fields

    def read_attempts(self, delivery: WebhookDelivery) -> list[dict[str, Any]]:
        newest = delivery.attempt_log.order_by("-pk")[:MOST_ATTEMPTS]
        return AttemptFields(newest, many=True).data


class DeliveryFilters(django_filters.FilterSet):
    """`since` and `until` bound when a delivery was made."""

    endpoint = django_filters.NumberFilter(field_name="endpoint_id")
    state = django_filters.ChoiceFilter(choices=State.choices)
    type = django_filters.ChoiceFilter(field_name="event__type", choices=EventType.choices)
    since = django_filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="gte")
    until = django_filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="lt")

    class Meta:
        model = WebhookDelivery
        fields = ()


def deliveries_of(key: ApiKey) -> QuerySet[WebhookDelivery]:
    """The deliveries to the endpoints that a key covers."""
    return WebhookDelivery.objects.for_key(key).select_related("event__brand")


class Deliveries(ListAPIView):
    """Deliveries to the key's endpoints, the newest first. They are kept for 30 days."""

    serializer_class = DeliveryFields
    pagination_class = Pages
    filter_backends = (NamedFilters,)
    filterset_class = DeliveryFilters

    def get_queryset(self) -> QuerySet[WebhookDelivery]:
        return deliveries_of(self.request.auth)


class Delivery(APIView):
    """One delivery with its attempts."""

    @extend_schema(responses=DeliveryWithAttempts)
    def get(self, request: Request, delivery_id: int) -> Response:
        delivery = get_object_or_404(deliveries_of(request.auth), pk=delivery_id)
        return Response(DeliveryWithAttempts(delivery, context={"request": request}).data)


class DeliveryReplay(APIView):
    """Deliver one event again, with the same webhook-id."""

    scope = Scope.WEBHOOKS

    @extend_schema(request=None, responses={202: DeliveryFields})
    def post(self, request: Request, delivery_id: int) -> Response:
        delivery = get_object_or_404(deliveries_of(request.auth), pk=delivery_id)
        if not deliveries.replay([delivery.pk]):
            raise Conflict("This delivery is under way already: it is tried until it succeeds.")
        again = deliveries_of(request.auth).get(pk=delivery.pk)
        return Response(DeliveryFields(again).data, status=202)


urlpatterns = [
    path("webhook-deliveries", Deliveries.as_view(), name="webhook-deliveries"),
    path("webhook-deliveries/<int:delivery_id>", Delivery.as_view(), name="webhook-delivery"),
    path(
        "webhook-deliveries/<int:delivery_id>/replay",
        DeliveryReplay.as_view(),
        name="webhook-delivery-replay",
    ),
]
