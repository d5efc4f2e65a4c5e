"""Consent by API: a person's subscriptions with their evidence, opt-ins, opt-outs and suppressions.

Every change goes through `consent`. There is no way back for an opt-out here: only the person's own
text brings somebody back.
"""

from typing import Any

import django_filters
from django.db.models import QuerySet
from django.urls import path
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from subscribers import clock, consent
from subscribers.api import storable
from subscribers.api_pages import NamedFilters, Pages, SparseFields
from subscribers.api_people import WHO, person_named, whole_number
from subscribers.key_models import ApiKey, Scope
from subscribers.models import (
    Brand,
    ConsentEvent,
    ConsentSource,
    Subscriber,
    Subscription,
    Suppression,
)
from subscribers.secrets import phone_hash

MOST_EVENTS = 200


class SubscriptionShown(serializers.ModelSerializer):
    """One person's consent to one brand."""

    brand = serializers.CharField(source="brand.slug")
    optedInAt = serializers.DateTimeField(source="opted_in_at")
    optedOutAt = serializers.DateTimeField(source="opted_out_at")

    class Meta:
        model = Subscription
        fields = ("brand", "status", "optedInAt", "optedOutAt")


class ConsentEventShown(serializers.ModelSerializer):
    """Evidence. A brand of null stands for the whole workspace."""

    brand = serializers.CharField(source="brand.slug", allow_null=True, default=None)
    occurredAt = serializers.DateTimeField(source="occurred_at")
    recordedAt = serializers.DateTimeField(source="recorded_at")

    class Meta:
        model = ConsentEvent
        fields = ("kind", "source", "brand", "occurredAt", "recordedAt", "evidence")


class SuppressionShown(SparseFields, serializers.ModelSerializer):
    """A number that must not be texted, in a brand or (null) in the whole workspace."""

    brand = serializers.CharField(source="brand.slug", allow_null=True, default=None)
    createdAt = serializers.DateTimeField(source="created_at")

    class Meta:
        model = Suppression
        fields = ("id", "phone", "brand", "source", "reason", "createdAt")


class ConsentAnswer(serializers.Serializer):
    """All that is known of a person's consent to the key's brands; the latest evidence first."""

    subscriptions = SubscriptionShown(many=True)
    suppressions = SuppressionShown(many=True)
    events = ConsentEventShown(many=True)


class SubscriberConsent(APIView):
    """What a person agreed to, what they refused, and how that is known."""

    @extend_schema(parameters=[WHO], responses=ConsentAnswer)
    def get(self, request: Request, who: str) -> Response:
        return Response(_consent_of(person_named(request, who), request.auth))


def _consent_of(person: Subscriber, key: ApiKey) -> dict[str, Any]:
    own = {"phone_hash": bytes(person.phone_hash)}
    subscriptions = Subscription.objects.for_key(key).filter(subscriber=person)
    suppressions = Suppression.objects.for_key(key).filter(**own)
    events = ConsentEvent.objects.for_key(key).filter(**own).order_by("-occurred_at", "-pk")
    told = {
        "subscriptions": subscriptions.select_related("brand").order_by("brand__slug"),
        "suppressions": suppressions.select_related("brand").order_by("pk"),
        "events": events.select_related("brand")[:MOST_EVENTS],
    }
    return ConsentAnswer(told).data


class OptInRequest(serializers.Serializer):
    """An opt-in that was given elsewhere. `evidence`: wording, page, address, whatever proves it."""

    brand = serializers.CharField()
    at = serializers.DateTimeField(required=False)
    evidence = serializers.DictField(validators=[storable])


class OptIn(APIView):
    """Record that a person opted in to a brand. Who opted out before stays out, with the evidence kept."""

    scope = Scope.SUBSCRIBERS

    @extend_schema(parameters=[WHO], request=OptInRequest, responses=ConsentAnswer)
    def post(self, request: Request, who: str) -> Response:
        person = person_named(request, who)
        given = OptInRequest(data=request.data)
        given.is_valid(raise_exception=True)
        wanted, now = given.validated_data, clock.now()
        at = wanted.get("at", now)
        if at > now:
            raise serializers.ValidationError({"at": ["This is in the future."]})
        if not wanted["evidence"]:
            raise serializers.ValidationError(
                {"evidence": ["Say how you know: an opt-in without evidence is none."]}
            )
        consent.opt_in(
            person,
            _brand(request, wanted["brand"]),
            at=at,
            source=ConsentSource.API,
            evidence={**wanted["evidence"], "key": request.auth.prefix},
        )
        return Response(_consent_of(person, request.auth))


class OptOutRequest(serializers.Serializer):
    """`brand` null: the whole workspace, which takes a key that covers it."""

    brand = serializers.CharField(allow_null=True)
    reason = serializers.CharField(max_length=200)


class OptOut(APIView):
    """A person wants no more texts. Takes effect before the answer."""

    scope = Scope.SUBSCRIBERS

    @extend_schema(parameters=[WHO], request=OptOutRequest, responses=ConsentAnswer)
    def post(self, request: Request, who: str) -> Response:
        person = person_named(request, who)
        given = OptOutRequest(data=request.data)
        given.is_valid(raise_exception=True)
        _suppress(request, person.phone, given.validated_data)
        return Response(_consent_of(person, request.auth))


class SuppressionRequest(OptOutRequest):
    """A number, of a subscriber or of nobody that is known."""

    phone = serializers.CharField(max_length=40)


class SuppressionFilters(django_filters.FilterSet):
    """`brand` is a slug."""

    phone = django_filters.CharFilter(method="by_phone", help_text="A whole number.")
    brand = django_filters.CharFilter(field_name="brand__slug")
    source = django_filters.ChoiceFilter(choices=ConsentSource.choices)

    class Meta:
        model = Suppression
        fields = ()

    def by_phone(self, rows: QuerySet, name: str, value: str) -> QuerySet:
        hashed = phone_hash(self.request.auth.workspace_id, whole_number(value))
        return rows.filter(phone_hash=hashed)


class Suppressions(ListAPIView):
    """Numbers that must not be texted, the latest first. One is added, none is taken away here."""

    scope = Scope.SUBSCRIBERS
    serializer_class = SuppressionShown
    pagination_class = Pages
    filter_backends = (NamedFilters,)
    filterset_class = SuppressionFilters

    def get_queryset(self) -> QuerySet[Suppression]:
        return Suppression.objects.for_key(self.request.auth).select_related("brand")

    @extend_schema(request=SuppressionRequest, responses={201: SuppressionShown})
    def post(self, request: Request) -> Response:
        given = SuppressionRequest(data=request.data)
        given.is_valid(raise_exception=True)
        wanted = given.validated_data
        phone = whole_number(wanted["phone"])
        brand = _suppress(request, phone, wanted)
        row = self.get_queryset().get(
            phone_hash=phone_hash(request.auth.workspace_id, phone), brand=brand
        )
        return Response(SuppressionShown(row).data, status=201)


def _suppress(request: Request, phone: str, wanted: dict[str, Any]) -> Brand | None:
    key = request.auth
    slug = wanted["brand"]
    if slug is None and key.brand_ids() is not None:
        raise serializers.ValidationError({"brand": ["Your key covers some brands: name one."]})
    brand = None if slug is None else _brand(request, slug)
    consent.opt_out(
        key.workspace,
        phone,
        brand=brand,
        at=clock.now(),
        source=ConsentSource.API,
        reason=wanted["reason"],
        evidence={"key": key.prefix},
    )
    return brand


def _brand(request: Request, slug: str) -> Brand:
    brand = Brand.objects.for_key(request.auth).filter(slug=slug).first()
    if brand is None:
        raise serializers.ValidationError(
            {"brand": ["There is no such brand, or your key does not cover it."]}
        )
    return brand


urlpatterns = [
    path("subscribers/<str:who>/consent", SubscriberConsent.as_view(), name="subscriber-consent"),
    path("subscribers/<str:who>/opt-in", OptIn.as_view(), name="subscriber-opt-in"),
    path("subscribers/<str:who>/opt-out", OptOut.as_view(), name="subscriber-opt-out"),
    path("suppressions", Suppressions.as_view(), name="suppressions"),
]
