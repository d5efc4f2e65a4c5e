"""Webhook endpoints by API. Nothing here calls an endpoint: that is queued."""

from typing import Any

import django_filters
from django.db import transaction
from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django.urls import path
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from campaigns.api import Conflict
from campaigns.api_drafts import OfTheKey
from subscribers import clock
from subscribers.api_pages import NamedFilters, Pages, SparseFields
from subscribers.key_models import ApiKey, Scope
from subscribers.models import Brand
from tracking.outbound import addresses, endpoints
from tracking.outbound.api_deliveries import DeliveryFields, State, deliveries_of
from tracking.outbound.models import EventType, WebhookEndpoint

ENDED = [State.DELIVERED, State.GIVEN_UP]


class EndpointFields(SparseFields, serializers.ModelSerializer):
    """Where events are told. `state`: on, off, paused (after failures) or trying (after a pause)."""

    url = serializers.CharField(max_length=addresses.LONGEST_URL)
    brand = OfTheKey(
        slug_field="slug", queryset=Brand.objects.all(), required=False, allow_null=True
    )
    eventTypes = serializers.ListField(
        source="event_types", child=serializers.ChoiceField(choices=EventType), min_length=1
    )
    enabled = serializers.BooleanField(required=False)
    state = serializers.SerializerMethodField()
    stateReason = serializers.CharField(source="status_reason", read_only=True)
    pausedUntil = serializers.DateTimeField(source="paused_until", read_only=True, allow_null=True)
    createdAt = serializers.DateTimeField(source="created_at", read_only=True)

    class Meta:
        model = WebhookEndpoint
        fields = (
            *("id", "url", "description", "brand", "eventTypes", "enabled"),
            *("state", "stateReason", "pausedUntil", "createdAt"),
        )

    def get_state(self, endpoint: WebhookEndpoint) -> str:
        if "now" not in self.context:
            self.context["now"] = clock.now()
        return endpoints.state_of(endpoint, self.context["now"])

    def validate_url(self, url: str) -> str:
        try:
            addresses.check_url(url)
        except addresses.Refused as error:
            raise serializers.ValidationError(str(error)) from None
        return url

    def validate(self, given: dict[str, Any]) -> dict[str, Any]:
        if "event_types" in given:
            given["event_types"] = list(dict.fromkeys(given["event_types"]))
        key: ApiKey = self.context["key"]
        whole = given.get("brand") is None and (self.instance is None or "brand" in given)
        if whole and key.brand_ids() is not None:
            raise serializers.ValidationError(
                {"brand": ["Your key covers some brands alone: name one of them."]}
            )
        return given


class EndpointFilters(django_filters.FilterSet):
    """`brand` is a slug."""

    brand = django_filters.CharFilter(field_name="brand__slug")
    enabled = django_filters.BooleanFilter()

    class Meta:
        model = WebhookEndpoint
        fields = ()


def endpoints_of(key: ApiKey) -> QuerySet[WebhookEndpoint]:
    """The endpoints that a key covers, without their secrets."""
    return WebhookEndpoint.objects.for_key(key).select_related("brand").defer("secrets")


def _endpoint(request: Request, endpoint_id: int) -> WebhookEndpoint:
    return get_object_or_404(endpoints_of(request.auth), pk=endpoint_id)


class Endpoints(ListAPIView):
    """The key's webhook endpoints, the newest first."""

    scope = Scope.WEBHOOKS
    serializer_class = EndpointFields
    pagination_class = Pages
    filter_backends = (NamedFilters,)
    filterset_class = EndpointFilters

    def get_queryset(self) -> QuerySet[WebhookEndpoint]:
        return endpoints_of(self.request.auth)

    @extend_schema(request=EndpointFields, responses={201: EndpointFields})
    def post(self, request: Request) -> Response:
        """Add an endpoint. What happens from now on is told to it; GET its `secret` to verify."""
        given = EndpointFields(data=request.data, context={"key": request.auth})
        given.is_valid(raise_exception=True)
        made = WebhookEndpoint(workspace=request.auth.workspace, **given.validated_data)
        try:
            endpoints.create(made)
        except endpoints.NotAllowed as error:
            raise Conflict(str(error)) from None
        made.refresh_from_db(fields=["created_at"])
        return Response(EndpointFields(made, context={"key": request.auth}).data, status=201)


class Endpoint(APIView):
    """One webhook endpoint."""

    scope = Scope.WEBHOOKS

    @extend_schema(responses=EndpointFields)
    def get(self, request: Request, endpoint_id: int) -> Response:
        endpoint = _endpoint(request, endpoint_id)
        return Response(EndpointFields(endpoint, context={"request": request}).data)

    @extend_schema(request=EndpointFields, responses=EndpointFields)
    @transaction.atomic
    def patch(self, request: Request, endpoint_id: int) -> Response:
        """Change the given fields. Changing it or switching it on ends a pause."""
        locked = WebhookEndpoint.objects.for_key(request.auth).select_for_update(of=("self",))
        endpoint = get_object_or_404(locked.select_related("brand"), pk=endpoint_id)
        given = EndpointFields(
            endpoint, data=request.data, partial=True, context={"key": request.auth}
        )
        given.is_valid(raise_exception=True)
        for name, value in given.validated_data.items():
            setattr(endpoint, name, value)
        if given.validated_data:
            endpoint.save(update_fields=list(given.validated_data))
        endpoints.forget_failures(endpoint.pk)
        changed = _endpoint(request, endpoint_id)
        return Response(EndpointFields(changed, context={"key": request.auth}).data)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, endpoint_id: int) -> Response:
        """Delete it with its deliveries. To keep them, switch it off instead."""
        endpoints.delete(_endpoint(request, endpoint_id))
        return Response(status=204)


class SecretAnswer(serializers.Serializer):
    """What signs deliveries from now on. Keep it as a password."""

    secret = serializers.CharField()


class EndpointSecret(APIView):
    """The secret of an endpoint. A key that may only read does not see it."""

    scope = Scope.WEBHOOKS

    @extend_schema(responses=SecretAnswer)
    def get(self, request: Request, endpoint_id: int) -> Response:
        if Scope.WEBHOOKS not in request.auth.scopes:
            raise PermissionDenied(
                "This key lacks the scope webhooks: use another one, or have it added in the admin.",
                code="missing_scope",
            )
        endpoint = _endpoint(request, endpoint_id)
        answer = Response({"secret": endpoints.secret_of(endpoint)})
        answer["Cache-Control"] = "no-store"
        return answer


class SecretRotation(APIView):
    """Replace the secret of an endpoint."""

    scope = Scope.WEBHOOKS

    @extend_schema(request=None, responses=EndpointFields)
    def post(self, request: Request, endpoint_id: int) -> Response:
        """Make a new secret. For 24 hours the one before it signs as well: GET the new one."""
        endpoint = _endpoint(request, endpoint_id)
        endpoints.rotate(endpoint.pk, now=clock.now())
        return Response(EndpointFields(endpoint, context={"key": request.auth}).data)


class ReplayRequest(serializers.Serializer):
    """Which deliveries: made since then (until now, if not said otherwise), given up or all."""

    since = serializers.DateTimeField()
    until = serializers.DateTimeField(required=False)
    state = serializers.ChoiceField(
        choices=[State.GIVEN_UP, "ended"], default=State.GIVEN_UP, required=False
    )


class ReplayAnswer(serializers.Serializer):
    """How many deliveries were queued again; 10,000 at most, then ask again from the last on."""

    replayed = serializers.IntegerField()


class EndpointReplay(APIView):
    """Deliver again what an endpoint missed."""

    scope = Scope.WEBHOOKS

    @extend_schema(request=ReplayRequest, responses={202: ReplayAnswer})
    def post(self, request: Request, endpoint_id: int) -> Response:
        endpoint = _endpoint(request, endpoint_id)
        given = ReplayRequest(data=request.data)
        given.is_valid(raise_exception=True)
        asked = given.validated_data
        count = endpoints.replay(
            endpoint,
            since=asked["since"],
            until=asked.get("until") or clock.now(),
            states=ENDED if asked["state"] == "ended" else [State.GIVEN_UP],
        )
        return Response({"replayed": count}, status=202)


class ExampleRequest(serializers.Serializer):
    """Which type of event; without one, the endpoint's first."""

    type = serializers.ChoiceField(choices=EventType, required=False)


class EndpointTest(APIView):
    """Queue an example event, marked `"example": true`; its delivery says what came of it."""

    scope = Scope.WEBHOOKS

    @extend_schema(request=ExampleRequest, responses={202: DeliveryFields})
    def post(self, request: Request, endpoint_id: int) -> Response:
        endpoint = _endpoint(request, endpoint_id)
        given = ExampleRequest(data=request.data)
        given.is_valid(raise_exception=True)
        kind = given.validated_data.get("type", endpoint.event_types[0])
        try:
            delivery = endpoints.send_example(endpoint, kind, now=clock.now())
        except endpoints.NotAllowed as error:
            raise Conflict(str(error)) from None
        made = deliveries_of(request.auth).get(pk=delivery.pk)
        return Response(DeliveryFields(made).data, status=202)


_ENDPOINT = "webhook-endpoints/<int:endpoint_id>"
urlpatterns = [
    path("webhook-endpoints", Endpoints.as_view(), name="webhook-endpoints"),
    path(_ENDPOINT, Endpoint.as_view(), name="webhook-endpoint"),
    path(f"{_ENDPOINT}/secret", EndpointSecret.as_view(), name="webhook-secret"),
    path(f"{_ENDPOINT}/rotate-secret", SecretRotation.as_view(), name="webhook-rotate-secret"),
    path(f"{_ENDPOINT}/test", EndpointTest.as_view(), name="webhook-test"),
    path(f"{_ENDPOINT}/replay", EndpointReplay.as_view(), name="webhook-replay"),
]
