"""Figures of the whole installation for monitoring: one query a family, whatever the brands."""

import contextlib
import datetime as dt
import time
from dataclasses import dataclass, field

import redis
from django.db import OperationalError, connection, transaction
from django.db.models import Count, Sum

from campaigns.models import AutomaticPause
from sending import queue_state, queues, turns
from sending.identity import lower_bound
from sending.models import DailyTotal, QueuedText
from subscribers import clock

RECENT = dt.timedelta(hours=1)
RECENT_EVERY = 60.0  # seconds for which a count of recent texts is kept
RECENT_TIMEOUT = "2s"  # more recent texts than can be counted in it are not counted
MOST_BRANDS = 500  # with a label of their own; the others are one

_recent: tuple[float, dict[str, int]] = (float("-inf"), {})


@dataclass(slots=True)
class BrandQueue:
    """One brand's queue. Ages in seconds, rate in texts a second."""

    brand: str  # workspace/slug, or "others"
    due: dict[str, int] = field(
        default_factory=lambda: {lane.label.lower(): 0 for lane in QueuedText.Lane}
    )
    later: int = 0
    oldest_due: float = 0.0
    on_the_way: int = 0
    rate: float | None = None

    def add(self, other: "BrandQueue") -> None:
        """Count another brand's queue with this one."""
        for lane, count in other.due.items():
            self.due[lane] += count
        self.later += other.later
        self.oldest_due = max(self.oldest_due, other.oldest_due)
        self.on_the_way += other.on_the_way
        if other.rate is not None:
            self.rate = (self.rate or 0.0) + other.rate


def brand_queues() -> list[BrandQueue]:
    """Brands with anything waiting or on its way; beyond `MOST_BRANDS` the shallow ones are one.

    Without rates where Valkey is away.
    """
    found: dict[int, BrandQueue] = {}
    with connection.cursor() as cursor:
        cursor.execute(_DEPTH)
        for brand_id, name, lane, due, later, oldest in cursor.fetchall():
            one = found.setdefault(brand_id, BrandQueue(name))
            one.due[QueuedText.Lane(lane).label.lower()] = due
            one.later += later
            one.oldest_due = max(one.oldest_due, float(oldest or 0))
        cursor.execute(_ON_THE_WAY)
        for brand_id, name, texts in cursor.fetchall():
            found.setdefault(brand_id, BrandQueue(name)).on_the_way = texts
    with contextlib.suppress(redis.RedisError):
        for brand_id, rate in queues.departed_per_second_of(list(found)).items():
            found[brand_id].rate = rate
    deepest = sorted(found.values(), key=lambda one: (-sum(one.due.values()), one.brand))
    if len(deepest) <= MOST_BRANDS:
        return deepest
    others = BrandQueue("others")
    for one in deepest[MOST_BRANDS:]:
        others.add(one)
    return [*deepest[:MOST_BRANDS], others]


def recent_texts() -> dict[str, int]:
    """Texts planned within the last hour, by state; counted once a minute a process.

    Empty where there are too many to count in `RECENT_TIMEOUT`.
    """
    global _recent  # noqa: PLW0603 - one memory a process
    if time.monotonic() - _recent[0] > RECENT_EVERY:
        _recent = (time.monotonic(), _count_recent())
    return _recent[1]


def _count_recent() -> dict[str, int]:
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT set_config('statement_timeout', %s, true)", [RECENT_TIMEOUT])
            cursor.execute(
                "SELECT state, count(*) FROM sending_sentlog WHERE id >= %s GROUP BY state",
                [lower_bound(clock.now() - RECENT)],
            )
            return dict(cursor.fetchall())
    except OperationalError:  # too many; when PostgreSQL is away the next query says so
        return {}


def sent_total() -> int:
    """Texts that the installation ever sent."""
    return DailyTotal.objects.aggregate(all=Sum("sent"))["all"] or 0


def automatic_pauses() -> dict[str, int]:
    """Campaigns that ever paused by themselves, by cause."""
    found = AutomaticPause.objects.values_list("cause").annotate(Count("pk")).order_by()
    return dict.fromkeys(AutomaticPause.Cause.values, 0) | dict(found)


def live_workers() -> int:
    """Workers that gave a sign lately. Raises redis.RedisError."""
    client = queues.valkey()
    return client.zcount(turns.WORKERS, client.time()[0] - turns.SILENT_SECONDS, "+inf")


_NAME = "workspace.slug || '/' || brand.slug"
_OF = """JOIN subscribers_brand AS brand ON brand.id = counted.brand_id
    JOIN subscribers_workspace AS workspace ON workspace.id = brand.workspace_id"""
_DEPTH = f"""
    SELECT brand_id, {_NAME}, lane, due, later, oldest
    FROM (SELECT brand_id, lane, {queue_state.COUNTS}
          FROM sending_queuedtext GROUP BY brand_id, lane) AS counted
    {_OF}"""
_ON_THE_WAY = f"""
    SELECT brand_id, {_NAME}, texts
    FROM (SELECT brand_id, sum(cardinality(texts))::bigint AS texts
          FROM sending_departure GROUP BY brand_id) AS counted
    {_OF}"""
