"""Taking an opt-out back that was not the person's own word. Part of `consent`'s writers.

What stands is worked out from the evidence, never from the suppression alone: one row of that may
hide a STOP behind what an operator did.
"""

import datetime as dt
from collections.abc import Iterable
from typing import Any

from django.db import transaction
from django.db.models import Q

from subscribers import consent
from subscribers.models import (
    Brand,
    ConsentEvent,
    ConsentSource,
    Subscriber,
    Subscription,
    Suppression,
    Workspace,
)
from subscribers.secrets import phone_hash

Kind = ConsentEvent.Kind
# An operator's own act, and what was read into free wording. Everything else stands.
UNDOABLE = (ConsentSource.OPERATOR, ConsentSource.FREE_TEXT)


class CannotUndo(Exception):
    """There is nothing to undo, or it is not the operator's to undo. The text is a sentence."""


def standing(events: Iterable[ConsentEvent], brand_id: int | None) -> list[ConsentEvent]:
    """The opt-outs of exactly this scope that nothing has ended since; events in any order.

    The person's own text to a brand ends what they said before, in the brand and in the whole
    workspace; an undo ends the opt-outs of its scope and source before it.
    """
    return [
        event
        for event in events
        if event.kind == Kind.OPT_OUT
        and event.brand_id == brand_id
        and not any(_ends(later, event, brand_id) for later in events)
    ]


def _ends(later: ConsentEvent, event: ConsentEvent, brand_id: int | None) -> bool:
    if later.occurred_at <= event.occurred_at:
        return False
    if later.kind == Kind.UNDO:
        return later.brand_id == brand_id and later.source == event.source
    return (
        later.kind == Kind.OPT_IN
        and later.source in consent.BRINGS_BACK
        and event.source in consent.LIFTED_BY_NEWER_OPT_IN
        and (brand_id is None or later.brand_id == brand_id)
    )


def undoable(subscriber: Subscriber) -> list[Brand | None]:
    """Where an operator's opt-out of this person may be undone: brands, None for the workspace."""
    events = list(_events(bytes(subscriber.phone_hash)).select_related("brand"))
    scopes = {event.brand_id: event.brand for event in events}
    return [
        brand
        for brand_id, brand in scopes.items()
        if {event.source for event in standing(events, brand_id)} == {ConsentSource.OPERATOR}
    ]


@transaction.atomic
def undo(
    workspace: Workspace,
    phone: str,
    *,
    brand: Brand | None,
    at: dt.datetime,
    of: str,
    evidence: dict[str, Any],
) -> list[int]:
    """Take back the opt-outs of source `of` in one scope; answers the brands subscribed again.

    The person is what they were before: subscribed only where they had opted in and no other
    opt-out stands. `evidence` says who and why. `phone` is E.164. Raises CannotUndo.
    """
    if of not in UNDOABLE:
        raise CannotUndo("Only an operator's opt-out or a guessed one can be undone.")
    hashed = phone_hash(workspace.pk, phone)
    person = Subscriber.objects.filter(workspace=workspace, phone_hash=hashed).first()
    if person:
        consent.lock_people([person.pk])
    consent.lock_numbers([hashed])
    events = list(_events(hashed))
    _refuse(standing(events, brand and brand.pk), of)
    ConsentEvent.objects.create(
        workspace=workspace,
        brand=brand,
        phone_hash=hashed,
        subscriber=person,
        kind=Kind.UNDO,
        source=of,
        occurred_at=at,
        evidence=evidence,
    )
    Suppression.objects.filter(phone_hash=hashed, brand=brand, source=of).delete()
    return _restore(person, brand, list(_events(hashed)), at) if person else []


def _events(hashed: bytes) -> Any:
    kinds = (Kind.OPT_OUT, Kind.UNDO)
    own = Q(kind=Kind.OPT_IN, source__in=consent.BRINGS_BACK)
    return ConsentEvent.objects.filter(Q(kind__in=kinds) | own, phone_hash=hashed)


def _refuse(stands: list[ConsentEvent], of: str) -> None:
    others = sorted((one for one in stands if one.source != of), key=lambda one: one.occurred_at)
    if others:
        last = others[-1]
        raise CannotUndo(
            f"This person is also opted out by {last.get_source_display().lower()} since"
            f" {last.occurred_at:%Y-%m-%d %H:%M} UTC: that cannot be undone. They can come back"
            " themselves, by texting START."
        )
    if not stands:
        raise CannotUndo("There is no such opt-out any more.")


def _restore(
    person: Subscriber, brand: Brand | None, events: list[ConsentEvent], at: dt.datetime
) -> list[int]:
    rows = Subscription.objects.filter(subscriber=person, status=Subscription.Status.OPTED_OUT)
    if brand:
        rows = rows.filter(brand=brand)
    else:
        Subscriber.objects.filter(pk=person.pk).update(status=Subscriber.Status.ACTIVE)
    everywhere = bool(standing(events, None))
    free = [row for row in rows if not everywhere and not standing(events, row.brand_id)]
    back = [row for row in free if row.opted_in_at is not None]
    for row in back:
        row.status, row.updated_at = Subscription.Status.OPTED_IN, at
    Subscription.objects.bulk_update(back, ["status", "updated_at"])
    # Who had never opted in is what they were: not asked.
    Subscription.objects.filter(pk__in=[row.pk for row in free if row.opted_in_at is None]).delete()
    return [row.brand_id for row in back]
