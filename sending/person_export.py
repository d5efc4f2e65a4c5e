"""What `sending` keeps of a person, for whoever asks for it."""

from typing import Any

from sending.erasure import text_ids
from sending.models import SentLog, TestNumber
from subscribers.erasure import Person
from subscribers.person_export import rows

TEXT = (
    *("id", "brand__slug", "campaign__name", "purpose", "phone", "body", "segments", "state"),
    *("reason", "sent_at", "changed_at"),
)


def sections(person: Person) -> dict[str, Any]:
    """The texts to a person, oldest first, and whether the number is one for tests."""
    texts = SentLog.objects.filter(id__in=text_ids(person)).order_by("id")
    own = TestNumber.objects.filter(workspace=person.workspace_id, phone=person.phone)
    return {"texts": rows(texts, TEXT), "test_numbers": rows(own, ("note", "added_at"))}
