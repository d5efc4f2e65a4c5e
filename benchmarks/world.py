"""A database to measure in: embedded servers with their default durability, and many people."""

import datetime as dt
import os
import subprocess
import sys
import time
from pathlib import Path

import requests
from django.conf import settings
from django.db import connection

from campaigns import lifecycle, policy
from campaigns.models import Campaign, Message
from config.demo.world import shift_to_afternoon
from sending import planning, queues
from sending.models import Sender
from subscribers import clock
from subscribers.models import Brand, Workspace

BODY = (
    "{{ brand }}: Hi {{ first_name | default: 'friend' }}, all saddles are 20% off on Saturday."
    " Reply STOP to opt out."
)
ROOT = Path(__file__).resolve().parent.parent
TABLES = (
    "sending_campaigncount, tracking_inboundevent, tracking_waitingreceipt,"
    " sending_sentlog, sending_queuedtext, sending_departure, sending_providermessage,"
    " sending_dailytotal, sending_evergreenturn, campaigns_run, campaigns_message,"
    " sending_shortlink, tracking_touchedperson, tracking_countedperson,"
    " campaigns_campaign, tracking_trackingevent, sending_sender, campaigns_brandpolicy,"
    " subscribers_consentevent, subscribers_subscription, subscribers_subscriber,"
    " subscribers_brand, subscribers_workspace"
)


def empty() -> None:
    """Forget everything but the schema and the law."""
    with connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {TABLES} RESTART IDENTITY CASCADE")
    queues.valkey().flushdb()


def brand(slug: str = "bench", workspace: Workspace | None = None) -> Brand:
    """A sandbox brand whose clock says 13:00 Eastern on a weekday."""
    workspace = workspace or Workspace.objects.get_or_create(slug="bench", name="Bench")[0]
    made = Brand.objects.create(
        workspace=workspace,
        slug=slug,
        name="Bench",
        sandbox=True,
        clock_shift=shift_to_afternoon(clock.now()),
    )
    policy.of_brand(made)
    return made


def sender(of: Brand, gateway: str, *, in_flight: int = 1000) -> Sender:
    """A sender whose rate is no limit."""
    credentials = {
        "twilio": {"account_sid": "AC1", "auth_token": "token"},
        "mitto": {"api_key": "key", "traffic_account_id": "a", "webhook_secret": "s"},
    }[gateway]
    return Sender.objects.create(
        brand=of,
        gateway=gateway,
        address="+12125550100",
        credentials=credentials,
        rate=1_000_000,
        in_flight=in_flight,
    )


def people(of: Brand, count: int, *, first: int = 0) -> None:
    """Opted-in subscribers of a brand, all in New York, by plain SQL."""
    with connection.cursor() as cursor:
        cursor.execute(
            """WITH made AS (
                   INSERT INTO subscribers_subscriber
                       (workspace_id, phone, phone_hash, first_name, number_kind, country, zones,
                        jurisdictions)
                   SELECT %s, '+1212' || lpad(n::text, 7, '0'), decode(md5(n::text), 'hex'),
                          'Name' || n %% 500, 'mobile_or_landline', 'US', '{America/New_York}',
                          '{US,US-NY}'
                   FROM generate_series(%s::int, %s::int) AS n RETURNING id)
               INSERT INTO subscribers_subscription (subscriber_id, brand_id, status, opted_in_at)
               SELECT id, %s, 'opted_in', now() - interval '1 year' FROM made""",
            [of.workspace_id, first, first + count - 1, of.pk],
        )
        if count >= 1000:
            cursor.execute("ANALYZE subscribers_subscriber, subscribers_subscription")


def history(of: Brand, rows: int, *, days_ago: int = 1) -> None:
    """So many delivered texts of five days in the log, spread over the brand's people."""
    with connection.cursor() as cursor:
        cursor.execute(
            """INSERT INTO sending_sentlog (id, brand_id, subscriber_id, purpose, phone, body, segments,
                   state, expires_at, sent_at)
               SELECT (lpad(to_hex((extract(epoch FROM moment) * 1000)::bigint), 12, '0') || '8'
                       || substr(md5(n::text), 1, 3) || '8' || substr(md5(n::text), 4, 15))::uuid,
                   %s, person, 'campaign', '+12125550100', 'A text of the past week', 1,
                   'delivered', moment, moment
               FROM generate_series(1, %s::int) AS n,
                    LATERAL (SELECT now() - (%s + n %% 5) * interval '1 day'
                                    - n %% 1000 * interval '1 second' AS moment) AS t,
                    LATERAL (SELECT 1 + n %% (SELECT count(*) FROM subscribers_subscriber
                                              ) AS person) AS p""",
            [of.pk, rows, days_ago],
        )
        cursor.execute("VACUUM ANALYZE sending_sentlog")


def broadcast(of: Brand) -> Campaign:
    """A launched broadcast with one message that names the person."""
    campaign = Campaign.objects.create(brand=of, name="Bench")
    Message.objects.create(
        campaign=campaign,
        body=BODY,
    )
    lifecycle.launch(campaign, now=clock.now())
    return campaign


def planned(campaign: Campaign) -> float:
    """Plan a launched broadcast completely; seconds."""
    planning.start_due()
    began = time.monotonic()
    while planning.plan_due(budget=60):
        pass
    return time.monotonic() - began


class Stub:
    """The provider: `stub.py` in a process of its own, on FAKE_CARRIER_URL's port."""

    def __init__(self, delay_ms: int) -> None:
        port = settings.FAKE_CARRIER_URL.rpartition(":")[2]
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "benchmarks" / "stub.py"), port, str(delay_ms)],
            stdout=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        self.process.stdout.readline()

    def count(self) -> dict[str, float]:
        return requests.get(f"{settings.FAKE_CARRIER_URL}/count", timeout=5).json()

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


class Workers:
    """Sending workers, as `manage.py worker` starts them, and the CPU time that they used."""

    def __init__(self, count: int) -> None:
        self.processes = [
            subprocess.Popen(
                [sys.executable, str(ROOT / "manage.py"), "worker"],
                env={**os.environ, "LOG_LEVEL": "WARNING"},
                cwd=ROOT,
            )
            for _ in range(count)
        ]

    def pids(self) -> list[int]:
        return [process.pid for process in self.processes]

    def memory_mb(self) -> float:
        """The largest resident set of a worker."""
        sizes = []
        for process in self.processes:
            status = Path(f"/proc/{process.pid}/status").read_text()
            sizes.append(int(status.partition("VmHWM:")[2].split()[0]) / 1024)
        return max(sizes)

    def stop(self) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait(60)


def wait_until(done, *, seconds: float, every: float = 0.1) -> None:
    """Wait for `done()`; RuntimeError when it takes too long."""
    until = time.monotonic() + seconds
    while not done():
        if time.monotonic() > until:
            raise RuntimeError(f"not done within {seconds} s")
        time.sleep(every)


def span_of(campaign: Campaign) -> tuple[int, dt.timedelta]:
    """Texts accepted, and the time from the first hand-over to the last record."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*), max(changed_at) - min(sent_at) FROM sending_sentlog"
            " WHERE campaign_id = %s AND state = 'accepted'",
            [campaign.pk],
        )
        return cursor.fetchone()
