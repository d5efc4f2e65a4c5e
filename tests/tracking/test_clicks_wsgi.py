"""Claims about the short way of links: it answers as Django does, and many at once are each kept."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import Client, RequestFactory

from subscribers.models import Brand
from tests.subscribers.conftest import together
from tests.tracking.test_clicks import PHONE, shorts
from tracking import clicks, scanners
from tracking.clicks_wsgi import LinksFirst
from tracking.models import TrackingEvent

type Answer = tuple[int, dict[str, str], bytes]
PASSED_ON: Answer = (0, {}, b"passed on")


def short_way(path: str, method: str = "GET", **environ: str) -> Answer:
    request = RequestFactory().generic(method, path, headers={"User-Agent": PHONE})
    heads: list[tuple[str, list[tuple[str, str]]]] = []
    application = LinksFirst(lambda *_: [b"passed on"])
    body = b"".join(
        application(request.environ | environ, lambda *given: heads.append(given))  # type: ignore[arg-type]
    )
    return (int(heads[0][0][:3]), dict(heads[0][1]), body) if heads else (0, {}, body)


@pytest.mark.parametrize("address", ["/l/{}", "/{}"])
def test_a_link_leads_where_django_leads(client: Client, brand: Brand, address: str) -> None:
    path = address.format(shorts(brand, 1)[0].code)

    status, headers, body = short_way(path)

    slow = client.get(path, headers={"User-Agent": PHONE})
    assert (status, body) == (slow.status_code, slow.content) == (302, b"")
    for name in (*clicks.HEADERS, "Location", "X-Content-Type-Options"):
        assert headers[name] == slow.headers[name]
    assert {event.name for event in TrackingEvent.objects.all()} == {scanners.PERSON}


def test_an_unknown_code_is_a_sentence(db: None) -> None:
    assert short_way("/l/" + "y" * 12)[::2] == (404, b"This link does not exist.\n")


def test_a_head_has_no_body_and_is_no_person(brand: Brand) -> None:
    code = shorts(brand, 1)[0].code

    assert short_way(f"/l/{code}", "HEAD")[::2] == (302, b"")
    assert short_way("/l/" + "y" * 12, "HEAD")[::2] == (404, b"")
    assert TrackingEvent.objects.get().name == scanners.HEAD


def test_a_browser_that_looks_ahead_is_no_person(brand: Brand) -> None:
    short_way(f"/l/{shorts(brand, 1)[0].code}", HTTP_SEC_PURPOSE="prefetch")

    assert TrackingEvent.objects.get().name == scanners.PREFETCH


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/l/" + "x" * 12),
        ("GET", "/l/" + "x" * 13),
        ("GET", "/l/" + "é" * 12),
        ("GET", "/admin/"),
        ("GET", "/l/" + "x" * 12 + "/"),
    ],
)
def test_everything_else_is_passed_on(method: str, path: str) -> None:
    assert short_way(path, method) == PASSED_ON


@pytest.mark.parametrize(("scheme", "told"), [("https", True), ("http", False)])
def test_an_https_installation_says_that_it_stays_one(
    brand: Brand, settings: Any, scheme: str, told: bool
) -> None:
    settings.SECURE_HSTS_SECONDS = 60

    _, headers, _ = short_way("/l/" + "y" * 12, HTTP_X_FORWARDED_PROTO=scheme)

    assert ("Strict-Transport-Security" in headers) is told


@pytest.mark.django_db(transaction=True)
def test_many_at_once_are_each_led_on_and_kept_once(brand: Brand) -> None:
    many = shorts(brand, 12)

    def following(code: str) -> Callable[[], Answer]:
        return lambda: short_way(f"/l/{code}", HTTP_USER_AGENT=f"{PHONE} {code}")

    answers = together(*[following(short.code) for short in many])

    assert [status for status, _, _ in answers] == [302] * 12
    kept = TrackingEvent.objects.filter(name=scanners.PERSON).values_list("text_id", flat=True)
    assert sorted(kept) == sorted(short.text_id for short in many)


@pytest.mark.django_db(transaction=True)
def test_a_connection_that_broke_is_replaced(brand: Brand) -> None:
    code = shorts(brand, 1)[0].code
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        own = cursor.fetchone()[0]
    together(lambda: _end(own))

    assert short_way(f"/l/{code}")[0] == 302
    assert TrackingEvent.objects.count() == 1


def _end(backend: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s)", [backend])


@pytest.mark.django_db(transaction=True)
def test_one_click_that_cannot_be_kept_takes_no_other_with_it(brand: Brand) -> None:
    """The database refuses the row of one; the other, of the same statement, is there."""
    bad, good = shorts(brand, 2)
    found = clicks.find([bad.code, good.code])
    visit = scanners.Visit("GET", "192.0.2.1", PHONE, {})
    with connection.cursor() as cursor:
        cursor.execute(
            "ALTER TABLE tracking_trackingevent ADD CONSTRAINT no_room"
            f" CHECK (text_id <> '{bad.text_id}')"
        )
    try:
        clicks.record([clicks.Click(found[one.code], one.code, visit) for one in (bad, good)])
        assert TrackingEvent.objects.get().text_id == good.text_id
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE tracking_trackingevent DROP CONSTRAINT no_room")
