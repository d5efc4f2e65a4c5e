"""`/api/subscribers`: the people that a key covers, listed, read and changed."""

from typing import Any

import django_filters
from django.db.models import Exists, OuterRef, QuerySet
from django.http import Http404
from django.urls import path
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from subscribers import phones
from subscribers.api import SubscriberAnswer, SubscriberRequest, SubscriberUpsert, write
from subscribers.api_pages import NamedFilters, Pages, SparseFields, wanted_fields
from subscribers.key_models import ApiKey, Scope
from subscribers.models import Brand, Subscriber, Subscription

WHO = OpenApiParameter("who", str, OpenApiParameter.PATH, description="An id, or an E.164 number.")


def people_of(key: ApiKey) -> QuerySet[Subscriber]:
    """Whom a key covers: its workspace, or who ever had to do with one of its brands."""
    people = Subscriber.objects.for_key(key)
    brands = key.brand_ids()
    if brands is None:
        return people
    own = Subscription.objects.filter(subscriber=OuterRef("pk"), brand__in=brands)
    return people.filter(Exists(own))


class SubscriberFilters(django_filters.FilterSet):
    """Times are ISO 8601; `subscribed` is the slug of a brand."""

    phone = django_filters.CharFilter(method="by_phone", help_text="A whole number.")
    email = django_filters.CharFilter(field_name="email")
    status = django_filters.ChoiceFilter(choices=Subscriber.Status.choices)
    subscribed = django_filters.CharFilter(
        method="by_brand", help_text="Opted in to the brand with this slug."
    )
    updated_since = django_filters.IsoDateTimeFilter(field_name="updated_at", lookup_expr="gte")

    class Meta:
        model = Subscriber
        fields = ()

    def by_phone(self, rows: QuerySet, name: str, value: str) -> QuerySet:
        return rows.filter(phone=whole_number(value))

    def by_brand(self, rows: QuerySet, name: str, value: str) -> QuerySet:
        brand = Brand.objects.for_key(self.request.auth).filter(slug=value).first()
        if brand is None:
            raise ValidationError(
                {name: ["There is no such brand, or your key does not cover it."]}
            )
        joined = Subscription.objects.filter(
            subscriber=OuterRef("pk"), brand=brand, status=Subscription.Status.OPTED_IN
        )
        return rows.filter(Exists(joined))


def whole_number(text: str) -> str:
    """The E.164 number that a request names, as people write it. Raises ValidationError."""
    try:
        return phones.parse(text).e164
    except phones.InvalidPhone as error:
        raise ValidationError({"phone": [str(error)]}, code="invalid_phone") from None


class PersonAnswer(SparseFields, SubscriberAnswer):
    """A subscriber with `subscribe_<brand>` for each of the key's brands."""


def _context(request: Request) -> dict[str, Any]:
    brands = list(Brand.objects.for_key(request.auth))
    named = {f"subscribe_{brand.slug}": brand for brand in brands}
    wanted = wanted_fields(request)
    shown = brands if wanted is None else [one for name, one in named.items() if name in wanted]
    return {
        "request": request,
        "brands": brands,
        "wanted_brands": shown,
        "more_fields": named.keys(),
    }


class Subscribers(SubscriberUpsert, ListAPIView):
    """The key's people, the newest first; a POST creates or changes one."""

    serializer_class = PersonAnswer
    pagination_class = Pages
    filter_backends = (NamedFilters,)
    filterset_class = SubscriberFilters

    def get_queryset(self) -> QuerySet[Subscriber]:
        return people_of(self.request.auth).prefetch_related("subscriptions")

    def get_serializer_context(self) -> dict[str, Any]:
        return super().get_serializer_context() | _context(self.request)


class SubscriberDetail(APIView):
    """One of the key's people."""

    scope = Scope.SUBSCRIBERS

    @extend_schema(parameters=[WHO], responses=PersonAnswer)
    def get(self, request: Request, who: str) -> Response:
        return Response(PersonAnswer(person_named(request, who), context=_context(request)).data)

    @extend_schema(parameters=[WHO], request=SubscriberRequest, responses=SubscriberAnswer)
    def patch(self, request: Request, who: str) -> Response:
        """Change the given fields. The number stays: a new number is a new person's consent."""
        person = person_named(request, who)
        data = request.data
        if not isinstance(data, dict):
            raise ValidationError("Send one JSON object.")
        if "phone" in data and whole_number(str(data["phone"])) != person.phone:
            raise ValidationError(
                {"phone": ["A number is not changed: post a new subscriber instead."]}
            )
        return Response(write(request, {**data, "phone": person.phone}))


def person_named(request: Request, who: str) -> Subscriber:
    """The person of an id or an E.164 number, of those that the key covers. Raises Http404."""
    people = people_of(request.auth)
    if who.isascii() and who.isdigit() and len(who) <= 18:
        found = people.filter(pk=int(who))
    elif who.startswith("+"):
        found = people.filter(phone=who)
    else:
        raise Http404
    person = found.first()
    if person is None:
        raise Http404
    return person


urlpatterns = [
    path("subscribers", Subscribers.as_view(), name="subscribers"),
    path("subscribers/<str:who>", SubscriberDetail.as_view(), name="subscriber"),
]
