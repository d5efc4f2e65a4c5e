"""Short links that are followed: two web workers, the ticker, their database.

Every text has a link, and each is followed once, from as many devices: one in twenty is a machine.
"""

import time

from django.db import connection

from benchmarks import cpu, load, world
from campaigns.models import Campaign, Link, Message
from sending.identity import namer
from sending.short_links import NewLink, keep
from subscribers import clock
from subscribers.models import Brand
from tracking import scanners

FIRST = 64  # requests before the clock runs
MACHINES = 20  # one in so many
TEA = "https://tea.example.com/sale?utm_source=sms"


def followed(*, rate: int, seconds: int) -> dict[str, float]:
    """So many links a second for so long; then every click must be there, once."""
    world.empty()
    count = rate * seconds + FIRST
    gets = _requests(_codes(world.brand(), count))
    with load.installation(TRUSTED_PROXIES="1") as (port, web, ticker):
        load.Load(port, gets[:FIRST], rate=100, statuses=(b"302",)).run()  # everybody is awake
        used = cpu.Meter(web=load.family(web), ticker=[ticker])
        done = load.Load(port, gets[FIRST:], rate=rate, statuses=(b"302",)).run()
        ended = time.monotonic()
        _check(count)
        world.wait_until(_all_counted, seconds=60, every=0.05)
        return {
            **done.figures("redirects"),
            "people_counted_after_seconds": time.monotonic() - ended,
            **used.read(len(done.latencies)),
        }


def _codes(brand: Brand, count: int) -> list[str]:
    """The codes of texts that were sent an hour ago, each to a person of its own."""
    world.people(brand, count)
    campaign = Campaign.objects.create(brand=brand, name="Bench")
    message = Message.objects.create(campaign=campaign, body=f"See {TEA}")
    link = Link.objects.create(message=message, url=TEA, destination=TEA, position=1)
    name = namer(clock.now().replace(microsecond=0), "bench")
    ids = [name(number) for number in range(count)]
    with connection.cursor() as cursor:
        cursor.execute(
            """INSERT INTO sending_sentlog (id, brand_id, campaign_id, message_id, subscriber_id,
                   purpose, phone, body, segments, state, expires_at, sent_at, changed_at)
               SELECT given.id, %s, %s, %s, person.id, 'campaign', person.phone, repeat('x', 120),
                      1, 'delivered', now(), now() - interval '1 hour', now() - interval '1 hour'
               FROM unnest(%s::uuid[]) WITH ORDINALITY AS given(id, place)
               JOIN subscribers_subscriber AS person ON person.id = given.place""",
            [brand.pk, campaign.pk, message.pk, ids],
        )
    links = [NewLink(f"{number:012d}", text, link.pk) for number, text in enumerate(ids)]
    keep(brand.pk, links)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE sending_sentlog, sending_shortlink, campaigns_link")
    return [one.code for one in links]


def _requests(codes: list[str]) -> list[bytes]:
    """Whole HTTP requests, as a proxy hands them on."""
    made = []
    for number, code in enumerate(codes):
        agent = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15"
        agent = "Twitterbot/1.0" if number % MACHINES == 0 else f"{agent} Safari/604.1"
        address = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
        made.append(
            f"GET /l/{code} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: {agent}\r\n"
            "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
            "Accept-Language: en-US,en;q=0.9\r\nAccept-Encoding: gzip, deflate, br\r\n"
            f"X-Forwarded-For: {address}\r\nX-Forwarded-Proto: https\r\n\r\n".encode()
        )
    return made


def _check(count: int) -> None:
    """Each text has one click, named for who followed it. RuntimeError where it is not so."""
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT count(*), count(DISTINCT text_id), count(*) FILTER (WHERE name = %s)
               FROM tracking_trackingevent WHERE kind = 'click'""",
            [scanners.PERSON],
        )
        found = cursor.fetchone()
    people = count - -(-count // MACHINES)
    if found != (count, count, people):
        raise RuntimeError(f"clicks, texts, people: {found} instead of {(count, count, people)}")


def _all_counted() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT NOT EXISTS (SELECT FROM tracking_touchedperson)")
        return cursor.fetchone()[0]
