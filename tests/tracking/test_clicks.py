"""Claims about short links that are followed: where they lead, who is counted, and who is not."""

import datetime as dt
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from campaigns.models import Link
from sending import queues
from sending.models import SentLog, ShortLink, State
from subscribers import clock
from subscribers.models import Brand
from tests import sending_world as world
from tracking import clicks, scanners
from tracking.models import TrackingEvent

PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 Safari/604.1"
TEA = "https://tea.example.com/sale"


@pytest.fixture
def short(brand: Brand) -> ShortLink:
    """The short link of a text that was sent a minute ago."""
    return shorts(brand, 1)[0]


def shorts(brand: Brand, people: int) -> list[ShortLink]:
    world.make_people(brand, people)
    world.plan(world.make_campaign(brand, f"See {TEA}", utm_source="sms"))
    queues_empty(brand)
    return list(ShortLink.objects.order_by("text_id"))


def queues_empty(brand: Brand, *, ago: float = 60, state: str = State.SENT) -> None:
    """All texts left the queue so many seconds ago."""
    at = clock.now() - dt.timedelta(seconds=ago)
    world.QueuedText.objects.all().delete()
    SentLog.objects.filter(brand=brand).update(state=state, sent_at=at, changed_at=at)


def follow(client: Client, code: str, *, method: str = "get", agent: str = PHONE, **more: Any):
    return getattr(client, method)(f"/l/{code}", headers={"User-Agent": agent}, **more)


def names() -> list[str]:
    return sorted(TrackingEvent.objects.filter(kind="click").values_list("name", flat=True))


def test_a_click_leads_to_the_destination_and_is_kept(client: Client, short: ShortLink) -> None:
    answer = follow(client, short.code)

    assert answer.status_code == 302
    assert answer.headers["Location"] == f"{TEA}?utm_source=sms"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["X-Robots-Tag"] == "noindex, nofollow"
    event = TrackingEvent.objects.get(kind="click")
    text = SentLog.objects.get()
    assert (event.text_id, event.subscriber_id) == (text.id, text.subscriber_id)
    assert (event.name, event.raw["link"]) == (scanners.PERSON, short.link_id)
    assert "127.0.0.1" not in str(event.raw)


def test_the_brands_link_domain_needs_no_path(client: Client, short: ShortLink) -> None:
    assert client.get(f"/{short.code}", headers={"User-Agent": PHONE}).status_code == 302


def test_a_click_costs_one_look_up_and_one_row(
    client: Client, short: ShortLink, django_assert_num_queries: Any
) -> None:
    with django_assert_num_queries(2) as asked:
        follow(client, short.code)

    assert [one["sql"].split()[0] for one in asked.captured_queries if "INTO" in one["sql"]] == [
        "WITH"  # the event, and its person on the list of those to be counted
    ]


def test_repeated_clicks_are_kept_and_one_person_is_one_clicker(
    client: Client, short: ShortLink
) -> None:
    follow(client, short.code)
    found = clicks.find([short.code])[short.code]
    visit = scanners.Visit("GET", "192.0.2.1", PHONE, {})
    for later in (5, 5, 90):
        moment = found.now + dt.timedelta(seconds=later)
        again = clicks.Followed(**{**as_dict(found), "now": moment})
        clicks.record([clicks.Click(again, short.code, visit)])

    events = TrackingEvent.objects.filter(kind="click", name=scanners.PERSON)
    assert events.count() == 3  # the same second is the same click
    assert events.values("subscriber_id").distinct().count() == 1


def as_dict(found: clicks.Followed) -> dict[str, Any]:
    return {name: getattr(found, name) for name in clicks.Followed.__slots__}


@pytest.mark.parametrize(
    "code", ["x" * 12, "x", "x" * 13, "xxxxxxxxxxx!", "..", "%00" * 12, "é" * 12]
)
def test_an_unknown_code_leads_nowhere(client: Client, short: ShortLink, code: str) -> None:
    answer = follow(client, code)

    assert answer.status_code == 404
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert answer.headers["Cache-Control"] == "no-store"
    assert names() == []


@pytest.mark.parametrize(
    "destination",
    ["http://tea.example.com/", "https://evil.com/", "javascript:alert(1)", "//x.com"],
)
def test_a_row_that_leads_elsewhere_leads_nowhere(
    client: Client, short: ShortLink, brand: Brand, destination: str
) -> None:
    brand.policy.link_domains = ["example.com"]
    brand.policy.save()
    assert follow(client, short.code).status_code == 302
    Link.objects.update(destination=destination)

    assert follow(client, short.code).status_code == 404


def test_nothing_in_the_request_changes_the_destination(client: Client, short: ShortLink) -> None:
    answer = client.get(
        f"/l/{short.code}?url=https://evil.com&next=//evil.com",
        headers={"User-Agent": PHONE, "X-Forwarded-Host": "evil.com"},
    )

    assert answer.headers["Location"] == f"{TEA}?utm_source=sms"


@pytest.mark.parametrize("method", ["post", "put", "delete", "patch"])
def test_only_reading_follows_a_link(client: Client, short: ShortLink, method: str) -> None:
    assert follow(client, short.code, method=method).status_code == 405
    assert names() == []


@pytest.mark.parametrize(
    ("request_of", "name"),
    [
        ({"agent": "facebookexternalhit/1.1 Facebot Twitterbot/1.0"}, "preview"),
        ({"agent": "Mozilla/5.0 (compatible; Googlebot/2.1)"}, "scanner"),
        ({"agent": "python-requests/2.32"}, "scanner"),
        ({"agent": ""}, "scanner"),
        ({"method": "head"}, "head"),
    ],
)
def test_machines_are_sent_on_and_not_counted(
    client: Client, short: ShortLink, request_of: dict[str, str], name: str
) -> None:
    assert follow(client, short.code, **request_of).status_code == 302
    assert names() == [name]


def test_a_browser_that_looks_ahead_is_not_counted(client: Client, short: ShortLink) -> None:
    client.get(f"/l/{short.code}", headers={"User-Agent": PHONE, "Sec-Purpose": "prefetch"})

    assert names() == ["prefetch"]


@pytest.mark.parametrize("state", [State.SENT, State.DELIVERED])
def test_a_click_before_anybody_can_have_read_the_text_is_not_counted(
    client: Client, short: ShortLink, brand: Brand, state: str
) -> None:
    queues_empty(brand, ago=1, state=state)

    follow(client, short.code)

    assert names() == ["too_soon"]


def test_delivery_just_now_counts_from_then(client: Client, short: ShortLink, brand: Brand) -> None:
    SentLog.objects.update(state=State.DELIVERED, changed_at=clock.now())

    follow(client, short.code)

    assert names() == ["too_soon"]


def test_a_burst_from_one_place_is_not_counted_from_its_beginning(
    client: Client, brand: Brand
) -> None:
    many = shorts(brand, scanners.BURST_LINKS + 3)
    for short in many[:-3]:
        follow(client, short.code)
    assert set(names()) == {scanners.PERSON}

    for short in many[-3:]:
        assert follow(client, short.code).status_code == 302

    assert names() == [scanners.BURST] * len(many)


def test_people_behind_different_devices_are_no_burst(client: Client, brand: Brand) -> None:
    for number, short in enumerate(shorts(brand, scanners.BURST_LINKS + 3)):
        follow(client, short.code, agent=f"{PHONE} {number}")

    assert set(names()) == {scanners.PERSON}


def test_who_guesses_codes_is_slowed_down(client: Client, short: ShortLink) -> None:
    answers = [follow(client, "y" * 12).status_code for _ in range(scanners.MISSES + 1)]

    assert answers == [404] * scanners.MISSES + [429]
    assert "Retry-After" in follow(client, "z" * 12).headers
    assert follow(client, short.code, REMOTE_ADDR="192.0.2.7").status_code == 302


def test_links_lead_on_while_valkey_is_away(
    client: Client, short: ShortLink, settings: Any
) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"

    assert follow(client, short.code).status_code == 302
    assert follow(client, "y" * 12).status_code == 404
    assert names() == [scanners.PERSON]


def test_links_lead_on_where_the_click_cannot_be_kept(client: Client, short: ShortLink) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "ALTER TABLE tracking_trackingevent ADD CONSTRAINT no_room CHECK (kind <> 'click')"
        )
    try:
        assert follow(client, short.code).status_code == 302
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE tracking_trackingevent DROP CONSTRAINT no_room")


@pytest.mark.parametrize(
    ("proxies", "forwarded", "address"),
    [
        (0, "203.0.113.9", "127.0.0.1"),
        (1, "198.51.100.1, 203.0.113.9", "203.0.113.9"),
        (2, "198.51.100.1, 203.0.113.9", "198.51.100.1"),
        (2, "203.0.113.9", "127.0.0.1"),
        (1, "", "127.0.0.1"),
    ],
)
def test_an_address_is_what_our_outermost_proxy_saw(
    settings: Any, proxies: int, forwarded: str, address: str
) -> None:
    settings.TRUSTED_PROXIES = proxies

    assert clicks.address_of(forwarded, "127.0.0.1") == address


def test_the_list_of_machines_can_be_read() -> None:
    pattern, kinds = scanners._agents()

    assert set(kinds.values()) == {"preview", "scanner"}
    assert all(part == part.lower() and pattern.search(part) for part in kinds)
    assert queues.valkey().ping()
