"""`POST /api/subscribers`: the request schema and the answers of the first seed document."""

import math
import re
from typing import Any

import structlog
from django.db import transaction
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from subscribers import phones, upsert
from subscribers.key_models import Scope
from subscribers.models import Brand, Subscriber, Subscription

log = structlog.get_logger("carillon.subscribers")

MOST_LEVELS = 20
_UNSTORABLE = re.compile(r"[\x00\ud800-\udfff]")


def storable(traits: dict[str, Any]) -> None:
    """Refuse what PostgreSQL's jsonb cannot hold: NUL, half characters, infinite numbers."""
    waiting: list[tuple[Any, int]] = [(traits, 0)]
    while waiting:
        value, depth = waiting.pop()
        if depth > MOST_LEVELS:
            raise ValidationError(f"This is nested more than {MOST_LEVELS} levels deep.")
        if isinstance(value, dict):
            waiting += [(inner, depth + 1) for pair in value.items() for inner in pair]
        elif isinstance(value, list):
            waiting += [(inner, depth + 1) for inner in value]
        elif isinstance(value, str) and _UNSTORABLE.search(value):
            raise ValidationError("This holds a character that cannot be stored.")
        elif isinstance(value, float) and not math.isfinite(value):
            raise ValidationError("This holds a number that is too large.")


class SubscriberRequest(serializers.Serializer):
    """The schema, name for name. `subscribe_<brand>` is read for each brand of the key."""

    phone = serializers.CharField(max_length=40)
    name = serializers.CharField(required=False, allow_blank=True, max_length=200)
    firstName = serializers.CharField(
        source="first_name", required=False, allow_blank=True, max_length=100
    )
    lastName = serializers.CharField(
        source="last_name", required=False, allow_blank=True, max_length=100
    )
    email = serializers.EmailField(required=False, allow_blank=True)
    status = serializers.ChoiceField(required=False, choices=Subscriber.Status.values)
    hasClicked = serializers.BooleanField(source="has_clicked", required=False)
    hasPurchased = serializers.BooleanField(source="has_purchased", required=False)
    firstClickAt = serializers.DateTimeField(
        source="first_click_at", required=False, allow_null=True
    )
    firstPurchaseAt = serializers.DateTimeField(
        source="first_purchase_at", required=False, allow_null=True
    )
    totalClicks = serializers.IntegerField(
        source="total_clicks", required=False, min_value=0, max_value=2**31 - 1
    )
    totalPurchases = serializers.IntegerField(
        source="total_purchases", required=False, min_value=0, max_value=2**31 - 1
    )
    totalRevenue = serializers.DecimalField(
        source="total_revenue",
        required=False,
        max_digits=14,
        decimal_places=2,
        coerce_to_string=False,
    )
    last_engagement = serializers.DateTimeField(required=False, allow_null=True)
    lastPurchaseAt = serializers.DateTimeField(
        source="last_purchase_at", required=False, allow_null=True
    )
    acq_source = serializers.CharField(required=False, allow_blank=True, max_length=200)
    acq_campaign = serializers.CharField(required=False, allow_blank=True, max_length=200)
    acq_medium = serializers.CharField(required=False, allow_blank=True, max_length=200)
    acq_term = serializers.CharField(required=False, allow_blank=True, max_length=200)
    acq_content = serializers.CharField(required=False, allow_blank=True, max_length=200)
    form_title = serializers.CharField(required=False, allow_blank=True, max_length=200)
    traits = serializers.DictField(
        required=False,
        validators=[storable],
        help_text="Anything. `state` and `postcode` (or `zip`) add the hours and laws of that place.",
    )
    timezone = serializers.CharField(required=False, allow_blank=True, max_length=40)


class SubscriberAnswer(SubscriberRequest):
    """What an upsert answers: the request's fields, and what the system keeps."""

    id = serializers.IntegerField()
    createdAt = serializers.DateTimeField(source="created_at")

    def to_representation(self, instance: Subscriber) -> dict[str, Any]:
        shown = super().to_representation(instance)
        wanted = self.context.get("wanted_brands", self.context["brands"])
        subscribed = {  # in Python: a list of people has fetched them all at once
            row.brand_id
            for row in (instance.subscriptions.all() if wanted else ())
            if row.status == Subscription.Status.OPTED_IN
        }
        for brand in wanted:
            shown[f"subscribe_{brand.slug}"] = brand.pk in subscribed
        return shown


class SubscriberUpsert(APIView):
    """Create a subscriber, or change the given fields of the one with this phone."""

    scope = Scope.SUBSCRIBERS

    @extend_schema(request=SubscriberRequest, responses=SubscriberAnswer)
    def post(self, request: Request) -> Response:
        data = request.data
        if not isinstance(data, dict):
            raise ValidationError("Send one JSON object.")
        if not data.get("phone"):
            # The seed's answer to the letter, without the envelope's other fields.
            return Response({"error": "Phone required"}, status=400)
        return Response({"success": True, "subscriber": write(request, data)})


def write(request: Request, data: dict[str, Any]) -> dict[str, Any]:
    """Create or change the person of `data["phone"]` for the request's key; the person as shown."""
    key = request.auth
    brands = list(Brand.objects.for_key(key))
    given = SubscriberRequest(data=data)
    given.is_valid(raise_exception=True)
    fields = dict(given.validated_data)
    address = _address(data)
    try:
        with transaction.atomic():
            subscriber = upsert.upsert(
                key.workspace,
                fields,
                subscribe=_wishes(data, brands),
                within=None if key.brand_ids() is None else brands,
                evidence={
                    "key": key.prefix,
                    "form_title": fields.get("form_title", ""),
                    **({"address": address} if address else {}),
                },
            )
    except phones.InvalidPhone as error:
        raise ValidationError({"phone": [str(error)]}, code="invalid_phone") from None
    except upsert.UnknownTimeZone as error:
        raise ValidationError({"timezone": [str(error)]}, code="invalid") from None
    return SubscriberAnswer(subscriber, context={"brands": brands}).data


def _address(data: dict[str, Any]) -> str:
    """Where the person agreed, an IP address or a page: `consent_address`, beside the schema."""
    address = data.get("consent_address", "")
    if not isinstance(address, str) or len(address) > 200 or _UNSTORABLE.search(address):
        raise ValidationError({"consent_address": ["Send a text of at most 200 characters."]})
    return address


def _wishes(data: dict[str, Any], brands: list[Brand]) -> dict[Brand, bool]:
    """Which brands the person wants, by `subscribe_<slug>`. Unknown brands are refused."""
    known = {f"subscribe_{brand.slug}": brand for brand in brands}
    wishes = {}
    for name, value in data.items():
        if not name.startswith("subscribe_"):
            continue
        if name not in known:
            raise ValidationError(
                {name: ["There is no such brand, or your key does not cover it."]}
            )
        if not isinstance(value, bool):
            raise ValidationError({name: ["Send true or false."]})
        wishes[known[name]] = value
    return wishes
