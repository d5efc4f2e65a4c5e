"""Receipts through the web as providers tell them: two web workers, the ticker, their database.

Every text is told sent and delivered, the latter first for every tenth, and
every twentieth receipt is told twice.
"""

import time
from urllib.parse import urlencode, urlsplit

from django.conf import settings
from django.db import connection
from twilio.request_validator import RequestValidator

from benchmarks import cpu, load, world
from campaigns.models import Campaign, Run
from sending import progress
from sending.identity import namer
from sending.models import Sender, State
from subscribers import clock
from subscribers.models import Brand

FIRST = 64  # requests before the clock runs


def told(*, rate: int, seconds: int) -> dict[str, float]:
    """So many receipts a second for so long; then the totals must be right."""
    world.empty()
    brand = world.brand()
    sender = world.sender(brand, "twilio")
    texts = rate * seconds // 2
    campaign = _sent(brand, sender, texts)
    posts = _posts(sender, texts)
    with load.installation() as (port, web, ticker):
        statuses = (b"200", b"204")
        load.Load(port, posts[:FIRST], rate=100, statuses=statuses).run()  # everybody is awake
        used = cpu.Meter(web=load.family(web), ticker=[ticker])
        done = load.Load(port, posts[FIRST:], rate=rate, statuses=statuses).run()
        ended = time.monotonic()
        world.wait_until(lambda: _delivered(campaign) == texts, seconds=60, every=0.02)
        return {
            **done.figures("receipts"),
            "totals_right_after_seconds": time.monotonic() - ended,
            **used.read(len(done.latencies)),
        }


def _sent(brand: Brand, sender: Sender, count: int) -> Campaign:
    """A campaign whose texts the provider has accepted, by plain SQL."""
    now = clock.now().replace(microsecond=0)
    campaign = Campaign.objects.create(brand=brand, name="Bench")
    run = Run.objects.create(campaign=campaign, brand=brand, started_at=now, audience=count)
    name = namer(now, "bench")
    ids = [name(number) for number in range(count)]
    with connection.cursor() as cursor:
        cursor.execute(
            """INSERT INTO sending_sentlog (id, brand_id, campaign_id, run_id, sender_id, purpose,
                   phone, body, segments, state, expires_at, sent_at, provider_message_id)
               SELECT id, %s, %s, %s, %s, 'campaign', '+12125550100', repeat('x', 120), 1,
                      'accepted', now(), now(), 'SM' || place
               FROM unnest(%s::uuid[]) WITH ORDINALITY AS given(id, place)""",
            [brand.pk, campaign.pk, run.pk, sender.pk, ids],
        )
        cursor.execute(
            """INSERT INTO sending_providermessage (provider_id, sender_id, text_id)
               SELECT provider_message_id, sender_id, id FROM sending_sentlog"""
        )
        cursor.execute("VACUUM ANALYZE sending_sentlog, sending_providermessage")
    return campaign


def _posts(sender: Sender, texts: int) -> list[bytes]:
    """Whole HTTP requests, signed, in the order in which they are told."""
    path = f"/webhooks/twilio/{sender.webhook_token}/status"
    validator = RequestValidator(sender.credentials["auth_token"])
    host = urlsplit(settings.PUBLIC_URL).netloc
    told = []
    for number in range(1, texts + 1):
        states = ["delivered", "sent"] if number % 10 == 0 else ["sent", "delivered"]
        told += [(number, state) for state in states]
        told += [(number, states[-1])] if number % 10 == 0 else []
    made = []
    for number, state in told:
        fields = {
            "MessageSid": f"SM{number}",
            "MessageStatus": state,
            "AccountSid": "AC1",
            "To": f"+1212{number:07}",
            "From": sender.address,
            "ApiVersion": "2010-04-01",
        }
        signature = validator.compute_signature(f"{settings.PUBLIC_URL}{path}", fields)
        body = urlencode(fields)
        made.append(
            f"POST {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: TwilioProxy/1.1\r\n"
            f"Accept: */*\r\nContent-Type: application/x-www-form-urlencoded; charset=UTF-8\r\n"
            f"X-Twilio-Signature: {signature}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
        )
    return made


def _delivered(campaign: Campaign) -> int:
    return progress.of_campaign(campaign).by_state.get(State.DELIVERED, 0)
