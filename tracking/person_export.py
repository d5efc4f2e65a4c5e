"""What `tracking` keeps of a person, for whoever asks for it."""

from itertools import batched
from typing import Any

from sending.erasure import text_ids
from subscribers.erasure import Person
from subscribers.person_export import rows
from tracking.erasure import BATCH
from tracking.models import Reply, TrackingEvent


def sections(person: Person) -> dict[str, Any]:
    """The person's replies, and what happened to each text to them."""
    replies = Reply.objects.filter(brand__workspace=person.workspace_id, phone=person.phone)
    events: list[dict[str, Any]] = []
    for ids in batched(text_ids(person), BATCH):
        found = TrackingEvent.objects.filter(text_id__in=ids).order_by("id")
        events += rows(found, ("kind", "name", "code", "text_id", "received_at", "raw"))
    names = ("brand__slug", "received_at", "body", "meaning", "campaign__name")
    return {"replies": rows(replies.order_by("pk"), names), "tracking_events": events}
