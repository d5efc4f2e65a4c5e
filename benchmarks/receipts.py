"""Receipts through the web as providers tell them: two web workers, the ticker, their database.

Open loop: each receipt has its moment, and its latency counts from there, whether or not a
connection was free. Every text is told sent and delivered, the latter first for every tenth, and
every twentieth receipt is told twice.
"""

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median, quantiles
from urllib.parse import urlencode, urlsplit

from django.conf import settings
from django.db import connection
from twilio.request_validator import RequestValidator

from benchmarks import cpu, world
from campaigns.models import Campaign, Run
from config import processes
from sending import progress
from sending.identity import namer
from sending.models import Sender, State
from subscribers import clock
from subscribers.models import Brand

CONNECTIONS = 64


def told(*, rate: int, seconds: int) -> dict[str, float]:
    """So many receipts a second for so long; then the totals must be right."""
    world.empty()
    brand = world.brand()
    sender = world.sender(brand, "twilio")
    texts = rate * seconds // 2
    campaign = _sent(brand, sender, texts)
    posts = _posts(sender, texts)
    port = processes.free_port()
    children = _installation(port)
    try:
        if not processes.wait_for(f"http://127.0.0.1:{port}/healthz"):
            raise RuntimeError("the web server did not start")
        asyncio.run(_Load(port, posts[:CONNECTIONS], rate=100).run())  # everybody is awake
        used = cpu.Meter(web=_family(children[0].pid), ticker=[children[1].pid])
        load = _Load(port, posts[CONNECTIONS:], rate=rate)
        asyncio.run(load.run())
        ended = time.monotonic()
        world.wait_until(lambda: _delivered(campaign) == texts, seconds=60, every=0.02)
        lag = time.monotonic() - ended
        count = len(load.latencies)
        return {
            "receipts_per_second": count / load.seconds,
            "p50_ms": median(load.latencies) * 1000,
            "p95_ms": quantiles(load.latencies, n=20)[18] * 1000,
            "totals_right_after_seconds": lag,
            "generator_cpu": load.cpu,
            **used.read(count),
        }
    finally:
        for child in children:
            child.terminate()
        for child in children:
            child.wait(30)


def _installation(port: int) -> list[subprocess.Popen[bytes]]:
    environment = {**os.environ, "PUBLIC_URL": settings.PUBLIC_URL, "LOG_LEVEL": "WARNING"}
    web = processes.web_command("127.0.0.1", port)
    return [
        subprocess.Popen(command, cwd=world.ROOT, env=environment)
        for command in (web, [sys.executable, str(world.ROOT / "manage.py"), "ticker"])
    ]


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


class _Load:
    """Posts requests at their moments over a few kept connections."""

    def __init__(self, port: int, posts: list[bytes], *, rate: int) -> None:
        self.port, self.rate = port, rate
        self.due = enumerate(posts)
        self.latencies: list[float] = []
        self.seconds = self.cpu = 0.0

    async def run(self) -> None:
        cpu, self.began = time.process_time(), time.monotonic()
        await asyncio.gather(*(self._connection() for _ in range(CONNECTIONS)))
        self.seconds, self.cpu = time.monotonic() - self.began, time.process_time() - cpu

    async def _connection(self) -> None:
        reader = writer = None
        for place, post in self.due:
            moment = self.began + place / self.rate
            await asyncio.sleep(max(0.0, moment - time.monotonic()))
            if reader is None or writer is None or reader.at_eof():
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            writer.write(post)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith((b"HTTP/1.1 200", b"HTTP/1.1 204")):
                raise RuntimeError(f"a receipt was answered {head[:40]!r}")
            length = head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0]
            await reader.readexactly(int(length or 0))
            self.latencies.append(time.monotonic() - moment)
        if writer:
            writer.close()


def _delivered(campaign: Campaign) -> int:
    return progress.of_campaign(campaign).by_state.get(State.DELIVERED, 0)


def _family(parent: int) -> list[int]:
    """The process ids of a process and its children."""
    tasks = Path(f"/proc/{parent}/task").iterdir()
    return [
        parent,
        *(int(pid) for task in tasks for pid in (task / "children").read_text().split()),
    ]
