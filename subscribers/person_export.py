"""All that is kept of a person, as JSON: what they may ask for."""

from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.utils.module_loading import import_string

from subscribers.erasure import Nobody, Person
from subscribers.models import (
    ConsentEvent,
    ManualListMember,
    OptInRequest,
    Subscriber,
    Subscription,
    Suppression,
    Workspace,
)
from subscribers.secrets import phone_hash

_HIDDEN = {"phone_hash", "erased_at"}


def collect(workspace: Workspace, phone: str) -> dict[str, Any]:
    """Everything of a number (E.164) in a workspace, by section; JSON after DjangoJSONEncoder.

    Raises Nobody where nothing is kept of it.
    """
    hashed = phone_hash(workspace.pk, phone)
    subscriber = Subscriber.objects.filter(workspace=workspace, phone=phone).first()
    person = Person(workspace.pk, phone, subscriber and subscriber.pk)
    sections: dict[str, Any] = {
        "subscriber": _fields(subscriber) if subscriber else None,
        "subscriptions": rows(
            Subscription.objects.filter(subscriber=subscriber) if subscriber else (),
            ("brand__slug", "status", "opted_in_at", "opted_out_at"),
        ),
        "lists": rows(
            ManualListMember.objects.filter(subscriber=subscriber) if subscriber else (),
            ("manual_list__name", "added_at"),
        ),
        "opt_in_requests": rows(
            OptInRequest.objects.filter(subscriber=subscriber) if subscriber else (),
            ("brand__slug", "requested_at", "expires_at", "asked_at", "source", "evidence"),
        ),
        "consent_events": rows(
            ConsentEvent.objects.filter(phone_hash=hashed).order_by("occurred_at"),
            (
                *("kind", "brand__slug", "source", "occurred_at", "recorded_at", "evidence"),
                *("wording__version", "wording__text"),
            ),
        ),
        "suppressions": rows(
            Suppression.objects.filter(phone_hash=hashed),
            ("brand__slug", "source", "reason", "created_at"),
        ),
    }
    for path in settings.EXPORT_STEPS:
        sections |= import_string(path)(person)
    if not any(sections.values()):
        raise Nobody("Nothing is kept of this number in this workspace.")
    return {"phone": phone, "workspace": workspace.slug, **sections}


def rows(found: QuerySet | tuple[()], names: Iterable[str]) -> list[dict[str, Any]]:
    """Rows as dicts; a name with `__` is read through relations, and written with a dot."""
    if not isinstance(found, QuerySet):
        return []
    written = [(name, name.replace("__", ".")) for name in names]
    values = found.values(*(name for name, _ in written))
    return [{shown: row[name] for name, shown in written} for row in values]


def _fields(subscriber: Subscriber) -> dict[str, Any]:
    fields = Subscriber._meta.concrete_fields  # noqa: SLF001 - documented API
    shown = [field for field in fields if field.name not in _HIDDEN and not field.is_relation]
    return {field.name: getattr(subscriber, field.name) for field in shown}
