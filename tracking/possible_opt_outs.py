"""What a person of the staff says of a reply that reads like an opt-out."""

from collections.abc import Iterable

from django.db import transaction

from subscribers import clock, consent, undo
from subscribers.models import ConsentSource
from subscribers.undo import CannotUndo
from tracking import conversations
from tracking.models import PossibleOptOut

__all__ = ["CannotUndo", "confirm", "take_back"]

Status = PossibleOptOut.Status


@transaction.atomic
def confirm(ids: Iterable[int], *, actor: str) -> int:
    """It is an opt-out, and stays one; answers how many were still open."""
    return PossibleOptOut.objects.filter(pk__in=list(ids), status=Status.OPEN).update(
        status=Status.CONFIRMED, decided_at=clock.now(), decided_by=actor
    )


@transaction.atomic
def take_back(possible: PossibleOptOut, *, actor: str, reason: str) -> None:
    """It was none: the person is what they were before, unless they are opted out otherwise too.

    Raises CannotUndo with a sentence; then nothing changed. Texts that were cancelled stay so.
    """
    reply = possible.reply
    if reply.subscriber_id:  # in everybody's order: people before rows
        consent.lock_people([reply.subscriber_id])
    row = PossibleOptOut.objects.select_for_update().get(pk=possible.pk)
    if row.status == Status.UNDONE:
        raise CannotUndo("This was undone already.")
    now = clock.now()
    undo.undo(
        reply.brand.workspace,
        reply.phone,
        brand=None if row.everywhere else reply.brand,
        at=now,
        of=ConsentSource.FREE_TEXT,
        evidence={"actor": actor, "reason": reason, "reply": reply.pk},
    )
    row.status, row.decided_at, row.decided_by, row.reason = Status.UNDONE, now, actor, reason
    row.save(update_fields=["status", "decided_at", "decided_by", "reason"])
    conversations.needs_an_answer(reply)
