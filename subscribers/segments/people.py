"""Who a filter finds: counted, sampled, walked through in order, or told of given people."""

import datetime as dt
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.db import OperationalError, connection, transaction
from psycopg.errors import QueryCanceled

from subscribers.models import Brand
from subscribers.segments import references
from subscribers.segments.sql import Condition, compile_tree
from subscribers.segments.tree import Node

PATIENCE = dt.timedelta(seconds=5)  # for a count that somebody waits for


class TooSlow(Exception):
    """The database did not answer in time."""


@dataclass(frozen=True, slots=True)
class Found:
    """A person whom a filter found, as a page may show one."""

    subscriber_id: int
    phone: str
    name: str


def condition(node: Node, workspace_id: int, *, now: dt.datetime) -> Condition:
    """The filter as SQL. Raises tree.Invalid where it refers to what is not there."""
    return compile_tree(node, references.load([node], workspace_id), now)


def conditions(
    nodes: Mapping[int, Node], workspace_id: int, *, now: dt.datetime
) -> dict[int, Condition]:
    """The same for several filters, by the same keys and with no more queries than for one."""
    found = references.load(nodes.values(), workspace_id)
    return {key: compile_tree(node, found, now) for key, node in nodes.items()}


def count(node: Node, workspace_id: int, *, now: dt.datetime, brand: Brand | None = None) -> int:
    """How many people of the workspace, or of those opted in to a brand, the filter finds."""
    found = condition(node, workspace_id, now=now)
    text, parameters = _among(brand)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT count(*) FROM {text} AND {found.text}", [*parameters, *found.parameters]
        )
        return cursor.fetchone()[0]


def sample(
    node: Node,
    workspace_id: int,
    *,
    now: dt.datetime,
    brand: Brand | None = None,
    at_most: int = 10,
) -> list[Found]:
    """Some of them, the newest first."""
    found = condition(node, workspace_id, now=now)
    text, parameters = _among(brand)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT person.id, person.phone,"
            " coalesce(nullif(person.name, ''), person.first_name || ' ' || person.last_name)"
            f" FROM {text} AND {found.text} ORDER BY person.id DESC LIMIT %s",
            [*parameters, *found.parameters, at_most],
        )
        return [Found(pk, phone, name.strip()) for pk, phone, name in cursor.fetchall()]


def within(
    conditions: Mapping[int, Condition], subscriber_ids: Collection[int]
) -> dict[int, set[int]]:
    """Of these people, whom each condition finds, by the conditions' own keys: one query."""
    found: dict[int, set[int]] = {key: set() for key in conditions}
    if not conditions or not subscriber_ids:
        return found
    ids = sorted(set(subscriber_ids))
    parts, parameters = [], []
    for key, one in conditions.items():
        parts.append(
            "SELECT %s::bigint, person.id FROM subscribers_subscriber AS person"
            f" WHERE person.id = ANY(%s::bigint[]) AND {one.text}"
        )
        parameters += [key, ids, *one.parameters]
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(parts), parameters)
        for key, subscriber_id in cursor.fetchall():
            found[key].add(subscriber_id)
    return found


@transaction.atomic
def patiently[T](ask: Any, *args: Any, **kwargs: Any) -> T:
    """`ask(...)` for somebody who waits for it. Raises TooSlow after PATIENCE."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT set_config('statement_timeout', %s, true)",
            [str(int(PATIENCE.total_seconds() * 1000))],
        )
    try:
        with transaction.atomic():
            return ask(*args, **kwargs)
    except OperationalError as error:
        if isinstance(error.__cause__, QueryCanceled):
            raise TooSlow("This takes too long to count now.") from None
        raise


def _among(brand: Brand | None) -> tuple[str, Iterable[object]]:
    """Where to look: everybody (the condition names the workspace), or who is opted in to a brand."""
    if brand is None:
        return "subscribers_subscriber AS person WHERE true", ()
    text = (
        "subscribers_subscription AS own JOIN subscribers_subscriber AS person"
        " ON person.id = own.subscriber_id WHERE own.brand_id = %s AND own.status = 'opted_in'"
    )
    return text, (brand.pk,)
