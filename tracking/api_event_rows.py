"""Events as a shop writes them, read: what the API and the webhook take, and what they answer."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, ValidationError

from subscribers import clock, phones
from subscribers.api import storable
from subscribers.models import Brand
from tracking import purchases
from tracking.matching import Clue
from tracking.purchases import Answer, Event, Kind

CENT = Decimal("0.01")


class EventRow(serializers.Serializer):
    """One event. Its person is found by `clickId` (the code of a short link), `phone`, `email`, in
    this order; else `keyword` (a campaign's UTM campaign) names where an order came from.

    A purchase takes `orderId` and `amount`; a refund `orderId`, `refundId` and `amount`; a custom
    event `eventId` and `name`. `at` is when it happened, with its time zone.
    """

    type = serializers.ChoiceField(choices=[str(kind) for kind in Kind])
    brand = serializers.CharField(
        required=False, max_length=30, help_text="Needed where a key covers more than one."
    )
    at = serializers.DateTimeField()
    orderId = serializers.CharField(required=False, max_length=100)
    amount = serializers.DecimalField(
        required=False, max_digits=14, decimal_places=2, min_value=Decimal(0)
    )
    currency = serializers.RegexField(
        r"^[A-Z]{3}$", required=False, help_text="Such as USD. Default: the brand's."
    )
    refundId = serializers.CharField(required=False, max_length=100)
    eventId = serializers.CharField(required=False, max_length=100)
    name = serializers.CharField(required=False, max_length=60)
    properties = serializers.DictField(required=False, validators=[storable])
    clickId = serializers.CharField(required=False, allow_blank=True, max_length=100)
    phone = serializers.CharField(required=False, allow_blank=True, max_length=40)
    email = serializers.EmailField(required=False, allow_blank=True)
    keyword = serializers.CharField(required=False, allow_blank=True, max_length=100)

    def validate_phone(self, told: str) -> str:
        if not told:
            return ""
        try:
            return phones.parse(told).e164
        except phones.InvalidPhone as error:
            raise ValidationError(str(error), code="invalid_phone") from None

    def validate(self, given: dict[str, Any]) -> dict[str, Any]:
        needed = {
            Kind.PURCHASE: ("orderId", "amount"),
            Kind.REFUND: ("orderId", "refundId", "amount"),
            Kind.CUSTOM: ("eventId", "name"),
        }[Kind(given["type"])]
        for name in needed:
            if name not in given:
                sentence = f"A {given['type']} event needs this."
                raise ValidationError({name: [sentence]}, code="required")
        if given["type"] == Kind.REFUND and not given["amount"]:
            raise ValidationError({"amount": ["A refund is more than nothing."]}, code="min_value")
        return given


class EventsRequest(serializers.Serializer):
    """Up to 1,000 events. One event may also be sent as it is, without the list."""

    events = EventRow(many=True)


class EventAnswer(serializers.Serializer):
    """What became of an event. `index` counts from 0; `known`: it was told before, nothing changed.

    The last three are given where it was refused.
    """

    index = serializers.IntegerField()
    status = serializers.ChoiceField(choices=["accepted", "known", "refused"])
    id = serializers.IntegerField(required=False)
    matchedBy = serializers.CharField(required=False)
    error = serializers.CharField(required=False)
    code = serializers.CharField(required=False)
    field = serializers.CharField(required=False, allow_null=True)  # type: ignore[assignment]


class EventsAnswer(serializers.Serializer):
    """An answer for each event, in their order."""

    accepted = serializers.IntegerField()
    known = serializers.IntegerField()
    refused = serializers.IntegerField()
    results = EventAnswer(many=True)


def take(data: Any, brands: Mapping[str, Brand]) -> dict[str, Any]:
    """Keep the events of a request for these brands (by slug); the answer, event by event.

    Raises ValidationError for what is no list of 1 to 1,000 events.
    """
    told = read(data, brands)
    kept = purchases.record([one for one in told if isinstance(one, Event)], now=clock.now())
    answers = iter(kept)
    return _together([one if isinstance(one, Answer) else next(answers) for one in told])


def read(data: Any, brands: Mapping[str, Brand]) -> list[Event | Answer]:
    """Each event of a request, or its refusal. Pure. Raises ValidationError as `take` does."""
    rows = data.get("events", [data]) if isinstance(data, dict) else None
    if not isinstance(rows, list) or not 0 < len(rows) <= purchases.MOST_EVENTS:
        sentence = f"Send one event, or a list of 1 to {purchases.MOST_EVENTS:,} as `events`."
        raise ValidationError({"events": [sentence]})
    return [_read(row, brands) for row in rows]


def _read(row: Any, brands: Mapping[str, Brand]) -> Event | Answer:
    reading = EventRow(data=row)
    try:
        reading.is_valid(raise_exception=True)
        return _event(reading.validated_data, brands)
    except ValidationError as error:
        return Answer("refused", problem=_first_problem(error))


def _event(given: dict[str, Any], brands: Mapping[str, Brand]) -> Event:
    brand = brands.get(given["brand"]) if "brand" in given else None
    if "brand" not in given and len(brands) == 1:
        (brand,) = brands.values()
    if brand is None:
        sentence = "Name a brand that your key covers, by its slug."
        raise ValidationError({"brand": [sentence]}, code="unknown_brand")
    kind = Kind(given["type"])
    return Event(
        brand=brand,
        kind=kind,
        key_id=given["eventId"] if kind == Kind.CUSTOM else given["orderId"],
        at=given["at"],
        clue=Clue(
            brand.pk,
            click_id=given.get("clickId", ""),
            phone=given.get("phone", ""),
            email=given.get("email", ""),
            keyword=given.get("keyword", ""),
        ),
        amount=given.get("amount", Decimal(0)).quantize(CENT),
        currency=given.get("currency", ""),
        refund_id=given.get("refundId", ""),
        name=given.get("name", ""),
        properties=given.get("properties", {}),
    )


def _first_problem(error: ValidationError) -> tuple[str | None, str, str]:
    detail: Any = error.detail
    field = None
    while not isinstance(detail, ErrorDetail):
        if isinstance(detail, dict):
            name, detail = next(iter(detail.items()))
            field = field or (None if name == "non_field_errors" else name)
        else:
            detail = detail[0]
    return field, detail.code or "invalid", str(detail)


def _together(answers: Sequence[Answer]) -> dict[str, Any]:
    counts = dict.fromkeys(("accepted", "known", "refused"), 0)
    for answer in answers:
        counts[answer.status] += 1
    return counts | {"results": [_told(*one) for one in enumerate(answers)]}


def _told(index: int, answer: Answer) -> dict[str, Any]:
    told: dict[str, Any] = {"index": index, "status": answer.status}
    if answer.problem:
        told["field"], told["code"], told["error"] = answer.problem
        return told
    told["id"] = answer.id
    return told | ({"matchedBy": answer.matched_by} if answer.matched_by else {})
