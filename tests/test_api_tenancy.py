"""The wall of the API, for every route there is: another workspace's and brand's ids are not there.

A new route without an entry in `IDS` or `BODIES` fails here until it has one.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.db import connection, models
from django.http import HttpResponse
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from campaigns.models import Campaign, Message
from sending.models import SentLog
from subscribers.models import ApiKey, Brand, Subscriber
from subscribers.segment_models import ManualList, Segment
from tests import admin_rows
from tests.subscribers.conftest import api_key, make_key
from tracking.models import Reply
from tracking.outbound.models import WebhookDelivery, WebhookEndpoint

METHODS = ("get", "post", "put", "patch", "delete")
# Which row a part of a path names, and by what.
IDS: dict[str, tuple[type[models.Model], str]] = {
    "campaign_id": (Campaign, "pk"),
    "message_id": (Message, "pk"),
    "segment_id": (Segment, "pk"),
    "list_id": (ManualList, "pk"),
    "text_id": (SentLog, "pk"),
    "who": (Subscriber, "pk"),
    "slug": (Brand, "slug"),
    "reply_id": (Reply, "pk"),
    "endpoint_id": (WebhookEndpoint, "pk"),
    "delivery_id": (WebhookDelivery, "pk"),
}
# A body that would be accepted, were the row one's own. Others need none.
BODIES: dict[str, Any] = {
    "webhook-replay": {"since": "2020-01-01T00:00:00Z", "state": "ended"},
    "list": {"name": "Other"},
    "list-members": {"phones": ["+12125551009"]},
    "list-members-remove": {"phones": ["+12125551009"]},
    "reply-answer": {"body": "Hello"},
    "campaign-test": {"numbers": ["+12125551009"]},
    "campaign-schedule": {"startsAt": "2999-01-01T00:00:00Z"},
    "campaign-winner": {"message": 1},
    "campaign-messages": {"body": "Hello"},
    "campaign-message": {"weight": 0},
    "subscriber-opt-in": {"brand": "aardvark1", "evidence": {"page": "x"}},
    "subscriber-opt-out": {"brand": "aardvark1", "reason": "x"},
}
# They answer no tenant's rows.
OPEN = {"schema", "docs", "segment-schema"}


@dataclass(frozen=True, slots=True)
class Route:
    name: str
    path: str  # with {names}
    names: tuple[str, ...]
    view: Any

    def methods(self) -> list[str]:
        return [method for method in METHODS if hasattr(self.view, method)]


def routes() -> list[Route]:
    return [route for route in _routes(get_resolver().url_patterns, "") if route.name not in OPEN]


def _routes(patterns: list[Any], prefix: str) -> Iterator[Route]:
    for pattern in patterns:
        here = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _routes(pattern.url_patterns, here)
        elif isinstance(pattern, URLPattern) and here.startswith("api/"):
            names = tuple(pattern.pattern.converters)
            for name, converter in pattern.pattern.converters.items():
                kind = type(converter).__name__.removesuffix("Converter").lower()
                here = here.replace(f"<{kind}:{name}>", f"{{{name}}}")
            yield Route(pattern.name, f"/{here}", names, getattr(pattern.callback, "cls", None))


ALL = routes()
CALLS = [(route, method) for route in ALL for method in route.methods()]
named = pytest.mark.parametrize(
    ("route", "method"),
    [call for call in CALLS if call[0].names],
    ids=lambda value: value if isinstance(value, str) else value.name,
)


@pytest.fixture
def ours(db: None) -> admin_rows.Rows:
    return admin_rows.tenant("aardvark", 1)


@pytest.fixture
def theirs(ours: admin_rows.Rows) -> admin_rows.Rows:
    return admin_rows.tenant("zebra", 2)


def call(
    client: Client, key: str, route: Route, method: str, rows: admin_rows.Rows
) -> HttpResponse:
    values = {name: getattr(rows[IDS[name][0]], IDS[name][1]) for name in route.names}
    body = [] if method == "get" else [json.dumps(BODIES.get(route.name, {}))]
    return getattr(client, method)(
        route.path.format(**values), *body, content_type="application/json", headers=api_key(key)
    )


def everything() -> dict[str, tuple[int, str]]:
    """Every table of ours as a number of rows and a hash; a key's row notes that it was used."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT oid::regclass::text FROM pg_class WHERE relkind IN ('r', 'p')"
            " AND NOT relispartition AND relname ~ '^(subscribers|campaigns|sending|tracking)_'"
            " AND relname <> %s",
            [ApiKey._meta.db_table],
        )
        found = {}
        for (table,) in cursor.fetchall():
            cursor.execute(
                f"SELECT count(*), coalesce(md5(string_agg(row::text, ',' ORDER BY row::text)), '')"
                f" FROM {table} AS row"
            )
            found[table] = cursor.fetchone()
    return found


def test_every_part_of_every_path_is_known_here() -> None:
    unknown = {name for route in ALL for name in route.names} - IDS.keys()
    assert unknown == set()
    assert len(CALLS) > 30


@named
def test_another_workspaces_ids_are_not_there(
    route: Route, method: str, client: Client, ours: admin_rows.Rows, theirs: admin_rows.Rows
) -> None:
    key = make_key(ours[Brand].workspace)
    before = everything()

    answer = call(client, key, route, method, theirs)

    assert answer.status_code == 404, answer.content
    assert b"zebra" not in answer.content
    assert everything() == before


@named
def test_another_brands_ids_are_not_there(
    route: Route, method: str, client: Client, ours: admin_rows.Rows
) -> None:
    sister = Brand.objects.create(workspace=ours[Brand].workspace, slug="sister", name="Sister")
    key = make_key(sister.workspace, sister)
    before = everything()

    answer = call(client, key, route, method, ours)

    assert answer.status_code == 404, answer.content
    assert b"aardvark" not in answer.content
    assert everything() == before


@pytest.mark.parametrize(
    "route",
    [route for route in ALL if not route.names and "get" in route.methods()],
    ids=lambda route: route.name,
)
def test_a_list_shows_nothing_of_another_workspace(
    route: Route, client: Client, ours: admin_rows.Rows, theirs: admin_rows.Rows
) -> None:
    answer = client.get(route.path, headers=api_key(make_key(ours[Brand].workspace)))

    assert answer.status_code == 200, answer.content
    assert b"zebra" not in answer.content
    assert b"aardvark" in answer.content  # its own rows are there, so the wall is what hides theirs


@named
def test_without_a_key_nothing_is_told(
    route: Route, method: str, client: Client, ours: admin_rows.Rows
) -> None:
    values = {name: getattr(ours[IDS[name][0]], IDS[name][1]) for name in route.names}

    answer = getattr(client, method)(route.path.format(**values))

    assert answer.status_code == 401
