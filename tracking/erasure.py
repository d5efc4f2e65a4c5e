"""What `tracking` keeps of a person: what providers told and what the person wrote go."""

from itertools import batched

from django.db import transaction
from django.db.models import TextField
from django.db.models.functions import Cast

from sending.erasure import text_ids
from subscribers.erasure import Person
from tracking.models import (
    KeptClicks,
    OutboundEvent,
    PossibleOptOut,
    Reply,
    TrackingEvent,
    WaitingReceipt,
    WebhookAttempt,
)

BATCH = 1000


@transaction.atomic
def erase(person: Person) -> bool:
    """Blank the person's replies and the raw words of every event about them; always True.

    A step of `subscribers.erasure`; repeating it is harmless. It runs before `sending`'s, which
    forgets which texts went to a number without a row, and after it, for receipts in between.
    """
    for ids in batched(text_ids(person), BATCH):
        TrackingEvent.objects.filter(text_id__in=ids).exclude(raw={}).update(raw={})
    replies = Reply.objects.filter(brand__workspace=person.workspace_id, phone=person.phone)
    PossibleOptOut.objects.filter(reply__in=replies).update(reason="")
    Reply.objects.filter(pk__in=list(replies.values_list("pk", flat=True))).update(
        phone="", body="", subscriber=None
    )
    waiting = WaitingReceipt.objects.filter(sender__brand__workspace=person.workspace_id)
    digits = person.phone.removeprefix("+")
    told = waiting.annotate(words=Cast("raw", TextField())).filter(words__contains=digits)
    WaitingReceipt.objects.filter(pk__in=list(told.values_list("pk", flat=True))).update(raw={})
    _blank_webhook_answers(person)
    KeptClicks.objects.filter(subscriber=person.subscriber_id or 0).delete()
    return True


def _blank_webhook_answers(person: Person) -> None:
    """Webhooks keep no number and no words, only answers of endpoints, which may repeat them."""
    if person.subscriber_id is None:
        return
    events = OutboundEvent.objects.filter(subscriber=person.subscriber_id)
    events.filter(erased=False).update(erased=True)  # waits for attempts that are being written
    told = WebhookAttempt.objects.filter(delivery__event__in=events).exclude(answer="")
    told.update(answer="")
