"""Provider webhooks: `/webhooks/<gateway>/<sender's token>/status` and `/inbound`."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from sending.models import Sender
from tracking import receipts, replies
from tracking.webhooks.base import ForgedError, Request, UnreadableError, Webhook
from tracking.webhooks.lime import Lime
from tracking.webhooks.mitto import Mitto
from tracking.webhooks.twilio import Twilio

WEBHOOKS: dict[str, Webhook] = {"lime": Lime(), "mitto": Mitto(), "twilio": Twilio()}


@csrf_exempt
@require_POST
def status(request: HttpRequest, gateway: str, token: str) -> HttpResponse:
    """Delivery receipts. 2xx also for texts that are not known: they are kept."""
    return _take(request, gateway, token, _status)


@csrf_exempt
@require_POST
def inbound(request: HttpRequest, gateway: str, token: str) -> HttpResponse:
    """A text from a person. An opt-out has taken effect when this answers."""
    return _take(request, gateway, token, _inbound)


def _status(sender: Sender, adapter: Webhook, told: Request) -> None:
    receipts.receive(sender, adapter.receipts(told))


def _inbound(sender: Sender, adapter: Webhook, told: Request) -> None:
    replies.receive(sender, adapter.inbound(told))


def _sender(gateway: str, token: str) -> Sender | None:
    if "\x00" in gateway + token:  # PostgreSQL refuses to look for it
        return None
    senders = Sender.objects.select_related("brand__workspace")
    return senders.filter(gateway=gateway, webhook_token=token).first()


def _take(request: HttpRequest, gateway: str, token: str, handle) -> HttpResponse:
    """Find the sender, check the proof, read, store; 404, 403 and 400 where that fails."""
    sender = _sender(gateway, token)
    if sender is None:
        return JsonResponse({"error": "There is no such webhook."}, status=404)
    adapter = WEBHOOKS[gateway]
    told = Request(
        url=f"{settings.PUBLIC_URL}{request.get_full_path()}",
        headers=request.headers,
        body=request.body,
        form=request.POST.dict(),
        query=request.GET.dict(),
    )
    try:
        adapter.verify(told, sender.credentials)
        handle(sender, adapter, told)
    except ForgedError:
        return JsonResponse({"error": "The signature or secret is wrong."}, status=403)
    except UnreadableError as error:
        return JsonResponse({"error": str(error)}, status=400)
    if gateway == "twilio":
        return HttpResponse("<Response/>", content_type="text/xml")
    return HttpResponse(status=204)


urlpatterns = [
    path("<str:gateway>/<str:token>/status", status, name="webhook-status"),
    path("<str:gateway>/<str:token>/inbound", inbound, name="webhook-inbound"),
]
