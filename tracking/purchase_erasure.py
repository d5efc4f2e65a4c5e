"""Orders and other events of a person: what goes when she is erased, what an export tells of them.

The order's row stays, without its number at the shop, for the books; a keyed hash of that number
keeps it from being taken for a new one.
"""

from typing import Any

from django.db import transaction
from django.db.models import Q

from subscribers.erasure import Person
from subscribers.models import Subscriber
from subscribers.person_export import rows
from tracking.models import CustomEvent, Purchase, Refund


@transaction.atomic
def erase(person: Person) -> bool:
    """Blank what shops told of the person; always True. A step of `subscribers.erasure`."""
    bought = list(
        _purchases(person).order_by("pk").select_for_update().values_list("pk", flat=True)
    )
    Purchase.objects.filter(pk__in=bought).update(order_id="", keyword="", phone="", email="")
    Refund.objects.filter(purchase__in=bought).update(refund_id="")
    if person.subscriber_id:
        events = CustomEvent.objects.filter(subscriber=person.subscriber_id)
        events.update(event_id="", properties={})
    return True


def sections(person: Person) -> dict[str, Any]:
    """The person's orders with their refunds, and the other events. A step of an export."""
    bought = _purchases(person)
    names = ("brand__slug", "order_id", "ordered_at", "amount", "refunded", "currency")
    back = Refund.objects.filter(purchase__in=bought).order_by("pk")
    events = CustomEvent.objects.filter(subscriber=person.subscriber_id or 0).order_by("pk")
    return {
        "purchases": rows(bought.order_by("pk"), (*names, "matched_by", "phone", "email")),
        "refunds": rows(back, ("purchase__order_id", "refund_id", "refunded_at", "amount")),
        "events": rows(events, ("brand__slug", "name", "event_id", "happened_at", "properties")),
    }


def _purchases(person: Person) -> Any:
    """Hers, and those of a stranger with her number or address."""
    own = Q(phone=person.phone) if person.phone else Q(pk__in=())
    if person.subscriber_id:
        own |= Q(subscriber=person.subscriber_id)
        known = Subscriber.objects.filter(pk=person.subscriber_id).exclude(email="")
        for email in known.values_list("email", flat=True):
            own |= Q(email__iexact=email, subscriber=None)
    return Purchase.objects.filter(own, brand__workspace=person.workspace_id)
