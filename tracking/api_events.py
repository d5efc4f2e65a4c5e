"""`/api/events`: purchases, refunds and other events, one or up to 1,000 a call; the list of what
happened."""

from django.urls import path
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from subscribers import throttling
from subscribers.key_models import Scope
from subscribers.models import Brand
from tracking import api_event_list, api_event_rows


class Events(APIView):
    """What happened in a shop, and with texts. Telling an event again changes nothing."""

    scope = Scope.EVENTS
    rate_policy = throttling.EVENTS

    @extend_schema(parameters=api_event_list.PARAMETERS, responses=api_event_list.EventPage)
    def get(self, request: Request) -> Response:
        """Clicks, replies and what shops told, of the key's brands: of the last 7 days where neither a
        campaign, a person nor `since` is named."""
        return Response(api_event_list.answer(request))

    @extend_schema(
        request=api_event_rows.EventsRequest,
        responses={200: api_event_rows.EventsAnswer},
        examples=[
            OpenApiExample(
                "An order and what went back of it",
                {
                    "events": [
                        {
                            "type": "purchase",
                            "brand": "wswd",
                            "orderId": "1001",
                            "amount": "59.90",
                            "at": "2026-11-27T18:04:00Z",
                            "clickId": "4cXk2Lw9QzRt",
                            "phone": "+12125550100",
                        },
                        {
                            "type": "refund",
                            "brand": "wswd",
                            "orderId": "1001",
                            "refundId": "R-1",
                            "amount": "9.90",
                            "at": "2026-11-28T09:30:00Z",
                        },
                    ]
                },
                request_only=True,
            )
        ],
    )
    def post(self, request: Request) -> Response:
        """Answered event by event: one that cannot be kept is refused, the others are kept."""
        data = request.data
        brands = {brand.slug: brand for brand in Brand.objects.for_key(request.auth)}
        told = api_event_rows.take(data, brands)
        if "events" not in data and told["refused"]:
            refused = told["results"][0]
            raise ValidationError({refused["field"]: [refused["error"]]}, code=refused["code"])
        return Response(told)


urlpatterns = [path("events", Events.as_view(), name="events")]
