"""The list of `GET /api/events`: its filters, its cursor, what it shows."""

import base64
import datetime as dt
import json
from typing import Any
from uuid import UUID

from django.utils.dateparse import parse_datetime
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.utils.urls import replace_query_param

from campaigns.models import Campaign
from subscribers import clock
from subscribers.api_pages import Pages
from subscribers.api_people import people_of
from subscribers.models import Brand
from tracking import happened
from tracking.happened import Happened, Kind, Position, Wanted

LATELY = dt.timedelta(days=7)  # where neither a campaign, a person nor a time is named
MOST_ID = 2**63 - 1


class HappenedShown(serializers.Serializer):
    """One event. `data` has what only its type has: of a click `link` and `machine`; of a reply
    `reply`, `meaning`, `body`; of a purchase `purchase`, `orderId`, `amount`, `refunded`, `currency`,
    `matchedBy` and `credited` (each text's share); of a refund `purchase`, `orderId`, `refundId`,
    `amount`, `currency`; of a custom event `eventId`, `name`, `properties`, `matchedBy`.

    `text`, `campaign` and `message`: the text that it followed, or (purchase) that is credited most.
    """

    type = serializers.ChoiceField(source="position.kind", choices=[str(kind) for kind in Kind])
    id = serializers.CharField(source="position.id", help_text="Once among the events of its type.")
    brand = serializers.CharField()
    at = serializers.DateTimeField(help_text="When it happened.")
    recordedAt = serializers.DateTimeField(source="position.recorded_at")
    subscriber = serializers.IntegerField(allow_null=True)
    text = serializers.UUIDField(allow_null=True)
    campaign = serializers.IntegerField(allow_null=True)
    message = serializers.IntegerField(allow_null=True)
    data = serializers.DictField()


class EventPage(serializers.Serializer):
    """The one recorded last first. `next` is the address of what was recorded before."""

    next = serializers.URLField(allow_null=True)
    results = HappenedShown(many=True)


class EventFilters(serializers.Serializer):
    """What a request asks for; anything else is refused."""

    type = serializers.MultipleChoiceField(choices=[str(kind) for kind in Kind], required=False)
    brand = serializers.CharField(required=False)
    campaign = serializers.IntegerField(required=False, min_value=0, max_value=MOST_ID)
    subscriber = serializers.IntegerField(required=False, min_value=0, max_value=MOST_ID)
    since = serializers.CharField(required=False)
    until = serializers.CharField(required=False)
    limit = serializers.IntegerField(required=False, min_value=1, max_value=Pages.max_page_size)
    cursor = serializers.CharField(required=False)

    def validate_since(self, told: str) -> dt.datetime:
        return _moment(told)

    def validate_until(self, told: str) -> dt.datetime:
        return _moment(told)


def _moment(told: str) -> dt.datetime:
    """An instant with its zone. Raises ValidationError."""
    try:
        # In a query a plus sign means a space, and is meant as a plus.
        found = parse_datetime(told.replace(" ", "+") if "T" in told else told)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise ValidationError("Give a moment with its time zone, such as 2026-11-22T09:30:00Z.")
    try:
        return found.astimezone(dt.UTC)
    except OverflowError:
        raise ValidationError("This moment is too far away.") from None


PARAMETERS = [
    OpenApiParameter(
        "type", str, enum=[str(kind) for kind in Kind], many=True, description="One or more types."
    ),
    OpenApiParameter("brand", str, description="A brand's slug."),
    OpenApiParameter("campaign", int, description="A campaign's id: what its texts led to."),
    OpenApiParameter("subscriber", int, description="A person's id."),
    OpenApiParameter("since", OpenApiTypes.DATETIME, description="Recorded from then on."),
    OpenApiParameter("until", OpenApiTypes.DATETIME, description="Recorded before."),
    OpenApiParameter("limit", int, description="Events a page: 50, at most 500."),
    OpenApiParameter("cursor", str, description="From `next` of the page before."),
]


def answer(request: Request) -> dict[str, Any]:
    """A page of the events that the key covers. Raises ValidationError and NotFound."""
    given = _given(request)
    wanted = _wanted(request, given)
    most = given.get("limit", Pages.page_size)
    after = _position(given["cursor"]) if given.get("cursor") else None
    found = happened.page(wanted, after=after, most=most + 1) if wanted else []
    return {
        "next": _next(request, found[most - 1]) if len(found) > most else None,
        "results": HappenedShown(found[:most], many=True).data,
    }


def _given(request: Request) -> dict[str, Any]:
    query = request.query_params
    reading = EventFilters(data=query)
    unknown = sorted(query.keys() - reading.fields.keys())
    if unknown:
        names = ", ".join(sorted(reading.fields))
        raise ValidationError(
            {unknown[0]: [f"There is no such filter; there are: {names}."]}, code="unknown_filter"
        )
    reading.is_valid(raise_exception=True)
    return {name: value for name, value in reading.validated_data.items() if name in query}


def _wanted(request: Request, given: dict[str, Any]) -> Wanted | None:
    """What is asked for; None where it names a row that the key does not cover."""
    key = request.auth
    brands = Brand.objects.for_key(key)
    campaign = None
    if "brand" in given:
        brands = brands.filter(slug=given["brand"])
    if "campaign" in given:
        campaign = Campaign.objects.for_key(key).filter(pk=given["campaign"]).first()
        if campaign is None:
            return None
        brands = brands.filter(pk=campaign.brand_id)
    if "subscriber" in given and not people_of(key).filter(pk=given["subscriber"]).exists():
        return None
    return Wanted(
        brands=list(brands.order_by("pk").values_list("pk", flat=True)),
        since=given.get("since") or _earliest(campaign, given),
        until=given.get("until"),
        kinds=frozenset(map(Kind, given["type"])) if given.get("type") else frozenset(Kind),
        campaign=campaign,
        subscriber=given.get("subscriber"),
    )


def _earliest(campaign: Campaign | None, given: dict[str, Any]) -> dt.datetime:
    if campaign:
        return campaign.launched_at or clock.now()
    if "subscriber" in given:
        return dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    return clock.now() - LATELY


def _next(request: Request, last: Happened) -> str:
    one = last.position
    told = json.dumps([one.recorded_at.isoformat(), one.kind, one.id])
    cursor = base64.urlsafe_b64encode(told.encode()).decode()
    return replace_query_param(request.build_absolute_uri(), "cursor", cursor)


def _position(cursor: str) -> Position:
    """Raises NotFound, as other lists do."""
    try:
        at, kind, row_id = json.loads(base64.urlsafe_b64decode(cursor.encode("ascii")))
        moment = dt.datetime.fromisoformat(at).astimezone(dt.UTC)
        checked = UUID(row_id) if Kind(kind) == Kind.CLICK else int(row_id)
    except (ValueError, TypeError, AttributeError, RecursionError, OverflowError):
        raise NotFound(Pages.invalid_cursor_message) from None
    if isinstance(checked, int) and not 0 <= checked <= MOST_ID:
        raise NotFound(Pages.invalid_cursor_message)
    return Position(moment, kind, str(checked))
