"""Who changed a rule, when, and from what to what: the audit trail of the rules' tables.

Triggers write a row for every change, whoever makes it and however, and the rows can only be added
to. Who it was is what the caller says by `by`; the admin's middleware says it for its pages. A
change that nobody signed was made in the database itself.
"""

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pghistory
from django.db import models

UNSIGNED = "not through Carillon"
MOST_SHOWN = 50
_LABELS = {"snapshot": "Was there", "insert": "Added", "update": "Changed", "delete": "Deleted"}


def by(who: str, **more: Any) -> pghistory.context:
    """Sign what is changed within: `with history.by("manage.py load_send_windows"): ...`."""
    return pghistory.context(who=who, **more)


def tracked(**attributes: Any) -> Callable[[type[models.Model]], type[models.Model]]:
    """Keep each state of a model's rows in a table that is only added to, with who made it.

    `attributes` are set on the model of that table, such as the way to its tenant.
    """
    return pghistory.track(
        pghistory.InsertEvent(),
        pghistory.UpdateEvent(),
        pghistory.DeleteEvent(),
        append_only=True,
        # The signature is part of the row: deleting a user must not take it away.
        context_field=pghistory.ContextJSONField(),
        context_id_field=None,
        attrs=attributes,
    )


@dataclass(frozen=True, slots=True)
class Change:
    """One change of one row: what happened, and each field's value before and after, in words."""

    at: dt.datetime
    who: str
    what: str
    row: str
    fields: Sequence[tuple[str, str, str]]


def of(rows: models.QuerySet) -> list[Change]:
    """The latest changes among rows of a model's history, newest first."""
    latest = list(rows.order_by("-pgh_id")[: MOST_SHOWN + 1])
    before = {event.pgh_id: _before(event, latest[at + 1 :]) for at, event in enumerate(latest)}
    return [_change(event, before[event.pgh_id]) for event in latest[:MOST_SHOWN]]


def who(event: Any) -> str:
    """Who made a change, in words."""
    return (event.pgh_context or {}).get("who") or UNSIGNED


def what(event: Any) -> str:
    """What kind of change it was, in words."""
    return _LABELS.get(event.pgh_label, event.pgh_label)


def _before(event: Any, older: Sequence[Any]) -> Any:
    return next((one for one in older if one.pgh_obj_id == event.pgh_obj_id), None)


def _change(event: Any, before: Any) -> Change:
    fields = [] if event.pgh_label == "delete" else _differences(event, before)
    return Change(event.pgh_created_at, who(event), what(event), _name(event), fields)


def _name(event: Any) -> str:
    model = event.pgh_tracked_model
    values = {field.attname: getattr(event, field.attname) for field in _fields(event)}
    return str(model(**values))


def _differences(event: Any, before: Any) -> list[tuple[str, str, str]]:
    """Field, value before ('' where it is the first that is known) and after."""
    found = []
    for field in _fields(event):
        old = getattr(before, field.attname) if before else None
        new = getattr(event, field.attname)
        if field.primary_key or (before and old == new):
            continue
        found.append((str(field.verbose_name).capitalize(), _words(old), _words(new)))
    return found


def _fields(event: Any) -> Sequence[Any]:
    return event.pgh_tracked_model._meta.concrete_fields  # noqa: SLF001 - documented API


def _words(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)
