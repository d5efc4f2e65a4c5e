"""`/webhooks/events/<shop's token>`: a shop tells of its orders, signed.

The body is what `POST /api/events` takes. Its proof is `X-Carillon-Signature`, the hexadecimal
HMAC-SHA256 of `<timestamp>.<body>` under the shop's secret, with the same timestamp (whole seconds
since 1970) in `X-Carillon-Timestamp`. What is older than five minutes is refused.
"""

import datetime as dt
import hashlib
import hmac
import json
import re

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST
from rest_framework.exceptions import ValidationError

from subscribers import clock
from tracking import api_event_rows
from tracking.models import Shop

TIMESTAMP, SIGNATURE = "X-Carillon-Timestamp", "X-Carillon-Signature"
TOLERANCE = dt.timedelta(minutes=5)
_SECONDS = re.compile(r"[0-9]{1,12}", re.ASCII)


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """What a shop sends as its signature."""
    return hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


@csrf_exempt
@require_POST
def events(request: HttpRequest, token: str) -> JsonResponse:
    """200 with an answer for each event, or 422 where one was refused: the others are kept, and
    sending all of them again is harmless. 404, 403 and 400 as for every webhook."""
    shop = None
    if "\x00" not in token:  # PostgreSQL refuses to look for it
        shop = Shop.objects.select_related("brand").filter(token=token, active=True).first()
    if shop is None:
        return JsonResponse({"error": "There is no such webhook."}, status=404)
    try:
        body = request.body
    except RequestDataTooBig:
        return JsonResponse({"error": "The body is too large; send fewer events."}, status=413)
    if not _is_proven(shop, request, body, clock.now()):
        sentence = "The signature is wrong, or its time is more than five minutes off."
        return JsonResponse({"error": sentence}, status=403)
    try:
        told = api_event_rows.take(json.loads(body), {shop.brand.slug: shop.brand})
    except (ValueError, RecursionError):
        return JsonResponse({"error": "The body is not JSON."}, status=400)
    except ValidationError as error:
        return JsonResponse({"error": str(error.detail["events"][0])}, status=400)
    return JsonResponse(told, status=422 if told["refused"] else 200)


def _is_proven(shop: Shop, request: HttpRequest, body: bytes, now: dt.datetime) -> bool:
    timestamp = request.headers.get(TIMESTAMP, "")
    if not _SECONDS.fullmatch(timestamp):
        return False
    if abs(now.timestamp() - int(timestamp)) > TOLERANCE.total_seconds():
        return False
    secret = (shop.credentials or {}).get("secret", "")
    given = request.headers.get(SIGNATURE, "")
    expected = sign(secret, timestamp, body)
    return bool(secret) and hmac.compare_digest(expected.encode(), given.encode())


urlpatterns = [path("events/<str:token>", events, name="webhook-events")]
