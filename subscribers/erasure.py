"""Erasing a person: everything goes but a keyed hash, which keeps the number suppressed.

In steps of their own transactions, each of which may be repeated: an erasure that broke off goes on
where it is called again, or by the ticker. The first step suppresses the number in the whole
workspace, so nothing starts any more; the last one empties the person's row. That row stays, without
a number, because texts, events and totals refer to it: the books still balance.
"""

import datetime as dt
from dataclasses import dataclass

import structlog
from django.conf import settings
from django.db import models, transaction
from django.utils.module_loading import import_string

from subscribers import clock, consent, idempotency
from subscribers.models import (
    ConsentEvent,
    ConsentSource,
    Erasure,
    Subscriber,
    Suppression,
    Workspace,
)
from subscribers.secrets import phone_hash

log = structlog.get_logger("carillon.erasure")

AT_ONCE = 20  # erasures that one tick of the ticker goes on with
# A text on its way keeps its number until its fate is known; asked again after so long.
AGAIN_AFTER = dt.timedelta(seconds=30)
REASON = "erased"
_ERASED = {"erased": True}
# Country code 999 is assigned to nobody: no text can go there, and no list can name it.
PLACEHOLDER = "+999"


class Nobody(Exception):
    """Nothing is known of this number in the workspace. The text is a sentence."""


@dataclass(frozen=True, slots=True)
class Person:
    """Whom the steps of other apps erase: by row, and by number where there was no row."""

    workspace_id: int
    phone: str
    subscriber_id: int | None


def erase(workspace: Workspace, phone: str, *, actor: str, reason: str) -> Erasure:
    """Erase a person of a workspace; `finished_at` is None while a text of theirs is on its way.

    Calling it again goes on with it. `phone` is E.164. Also numbers without a subscriber are
    erased, and stay suppressed.
    """
    erasure = _begin(workspace, phone, actor, reason)
    _finish(erasure)
    erasure.refresh_from_db()
    return erasure


def finish_open() -> int:
    """Go on with erasures that broke off or waited (the ticker's job); answers how many ended."""
    due = Erasure.objects.filter(finished_at=None, asked_at__lt=clock.now() - AGAIN_AFTER)
    return sum(_finish(erasure) for erasure in due.order_by("pk")[:AT_ONCE])


@transaction.atomic
def _begin(workspace: Workspace, phone: str, actor: str, reason: str) -> Erasure:
    now = clock.now()
    person = consent.opt_out(
        workspace,
        phone,
        brand=None,
        at=now,
        source=ConsentSource.ERASURE,
        reason=REASON,
        evidence={"actor": actor},
    )
    erasure, new = Erasure.objects.get_or_create(
        phone_hash=phone_hash(workspace.pk, phone),
        finished_at=None,
        defaults={
            "workspace": workspace,
            "phone": phone,
            "subscriber_id": person and person.pk,
            "actor": actor,
            "reason": reason[:200],
            "asked_at": now,
        },
    )
    if new:
        log.info("erasure_began", erasure=erasure.pk, workspace=workspace.slug, by=actor)
    return erasure


def _finish(erasure: Erasure) -> bool:
    person = Person(erasure.workspace_id, erasure.phone, erasure.subscriber_id)
    # Every step runs, also where an earlier one has to wait.
    done = [import_string(path)(person) for path in settings.ERASURE_STEPS]
    if not all(done):
        return False
    _forget(erasure)
    log.info("erasure_ended", erasure=erasure.pk)
    return True


@transaction.atomic
def _forget(erasure: Erasure) -> None:
    """The last step: the person's row, what hangs on it, and the number wherever it was kept."""
    if erasure.subscriber_id:
        consent.lock_people([erasure.subscriber_id])
        _drop_what_hangs_on(erasure.subscriber_id)
        _empty(erasure.subscriber_id)
    hashed = bytes(erasure.phone_hash)
    ConsentEvent.objects.filter(phone_hash=hashed).update(subscriber=None, evidence=_ERASED)
    Suppression.objects.filter(phone_hash=hashed).update(phone="")
    idempotency.erase(erasure.workspace_id, erasure.phone)
    Erasure.objects.filter(pk=erasure.pk).update(phone="", finished_at=clock.now())


def _drop_what_hangs_on(subscriber_id: int) -> None:
    """Rows of any app that a deletion of the person would take along: subscriptions, lists, turns."""
    for relation in Subscriber._meta.get_fields(include_hidden=True):  # noqa: SLF001 - documented API
        if (
            isinstance(relation, models.ManyToOneRel) and relation.on_delete is models.CASCADE  # type: ignore[attr-defined]
        ):
            rows = relation.related_model._base_manager  # noqa: SLF001 - documented API
            rows.filter(**{relation.field.name: subscriber_id}).delete()


def _empty(subscriber_id: int) -> None:
    """A row without a person: every field as it is on a new one."""
    person = Subscriber.objects.get(pk=subscriber_id)
    kept = {"id", "workspace", "created_at"}
    for field in Subscriber._meta.concrete_fields:  # noqa: SLF001 - documented API
        if field.name not in kept:
            setattr(person, field.name, _nothing(field))
    person.phone = f"{PLACEHOLDER}{subscriber_id:011d}"
    person.status = Subscriber.Status.OPTOUT
    person.erased_at = person.updated_at = clock.now()
    person.save()


def _nothing(field: models.Field) -> object:
    if field.null:
        return None
    if field.has_default():
        return field.get_default()
    return "" if field.empty_strings_allowed else field.db_default
