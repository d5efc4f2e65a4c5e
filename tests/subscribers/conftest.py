"""Tenants and people for the tests of who: fixtures, and factories as plain functions."""

import datetime as dt
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any
from xml.sax.saxutils import escape

import pytest
from django.db import connection

from subscribers import upsert
from subscribers.models import ApiKey, Brand, Subscriber, Subscription, Workspace

JANUARY = dt.datetime(2025, 1, 15, 12, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


def make_workspace(slug: str = "acme") -> Workspace:
    return Workspace.objects.create(slug=slug, name=slug.title())


def make_brand(workspace: Workspace, slug: str = "wswd", **fields: Any) -> Brand:
    return Brand.objects.create(workspace=workspace, slug=slug, name=slug.upper(), **fields)


def make_key(workspace: Workspace, *brands: Brand, **fields: Any) -> str:
    """What an integrator holds: a key of the workspace, or of these brands alone."""
    row, key = ApiKey.objects.create_key(name="shop", workspace=workspace, **fields)
    row.brands.set(brands)
    return key


def api_key(key: str) -> dict[str, str]:
    """The header that a client sends."""
    return {"Authorization": f"Api-Key {key}"}


def phone(number: int = 0) -> str:
    """The E.164 number of the nth person: New York's area code."""
    return f"+1212555{1000 + number}"


def make_person(workspace: Workspace, number: int = 0, **fields: Any) -> Subscriber:
    """Somebody known and subscribed to nothing."""
    known = {"phone": phone(number), **fields}
    return upsert.upsert(workspace, known, subscribe={}, evidence={})


def status(person: Subscriber, brand: Brand) -> str:
    """The person's subscription to the brand; '' where there is none."""
    row = Subscription.objects.filter(subscriber=person, brand=brand).first()
    return row.status if row else ""


def record(number: int = 0, **fields: str) -> dict[str, str]:
    """The nth person as a list tells of them."""
    return {
        "MobileNumber": phone(number)[1:],
        "OptInDate": "01/15/2025 07:00:00 AM",  # JANUARY in New York
        "FirstName": "Ada",
        "Keyword": "PIZZA (71441-US)",
        "ShortCode": "71441",
    } | fields


def list_xml(records: Iterable[dict[str, str]]) -> bytes:
    """A list as Lime serves it."""
    rows = (
        "".join(f"<{tag}>{escape(text)}</{tag}>" for tag, text in row.items()) for row in records
    )
    return f"<Mobiles>{''.join(f'<Mobile>{row}</Mobile>' for row in rows)}</Mobiles>".encode()


def together(*works: Callable[[], object]) -> list[Any]:
    """Run each work in a thread of its own, started at the same moment; their results.

    Each has its own database connection, so the test needs `transaction=True`.
    """
    barrier = threading.Barrier(len(works))

    def run(work: Callable[[], object]) -> object:
        try:
            connection.ensure_connection()
            barrier.wait(10)
            return work()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(works)) as pool:
        running: list[Future[object]] = [pool.submit(run, work) for work in works]
        return [future.result(60) for future in running]


@pytest.fixture
def workspace(db: None) -> Workspace:
    return make_workspace()


@pytest.fixture
def other_workspace(db: None) -> Workspace:
    return make_workspace("zenith")


@pytest.fixture
def brand(workspace: Workspace) -> Brand:
    return make_brand(workspace)


@pytest.fixture
def key(workspace: Workspace) -> str:
    """A key of the whole workspace."""
    return make_key(workspace)
