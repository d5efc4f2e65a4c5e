"""Per-brand queues. PostgreSQL is the queue; RQ's, in Valkey, are the doorbell.

A ring says "look in the table". One that is lost is rung again by the ticker, one that comes
twice finds nothing the second time.
"""

import datetime as dt
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

import redis
from django.conf import settings
from django.db import connection
from rq import Queue

from sending import arrays

RINGING = (
    "carillon:ringing"  # sorted set: brand ids by the time of their first ring, or by when they may
)
DRAIN = "sending.dispatch.drain"
LEASE = dt.timedelta(seconds=settings.SENDING_LEASE_SECONDS)
# Due when somebody resumes. (Python's clients cannot read PostgreSQL's infinity.)
PARKED = dt.datetime(9999, 1, 1, tzinfo=dt.UTC)

_client: redis.Redis | None = None


def valkey() -> redis.Redis:
    """The process's client of Valkey, with time-outs: it being away must be noticed.

    Made once: making one takes longer than most of its commands.
    """
    global _client  # noqa: PLW0603 - one a process
    if _client is None:
        _client = redis.Redis.from_url(
            settings.REDIS_URL, socket_connect_timeout=2, socket_timeout=5
        )
    return _client


def queue_of(brand_id: int, client: redis.Redis | None = None) -> Queue:
    """The RQ queue of one brand."""
    return Queue(f"brand-{brand_id}", connection=client or valkey())


def ring(brand_id: int, *, after: float = 0.0) -> None:
    """Say that a brand has something due, or will have room for it `after` so many seconds.

    Raises redis.RedisError when nobody can hear it.
    """
    client = valkey()
    queue = queue_of(brand_id, client)
    if queue.count == 0:
        queue.enqueue(DRAIN, brand_id, job_timeout=180, result_ttl=0, failure_ttl=3600)
    seconds, microseconds = client.time()  # Valkey's clock: with one that is slow a brand jumps in
    client.zadd(RINGING, {str(brand_id): seconds + microseconds / 1e6 + after}, nx=True)


def ring_due() -> int:
    """Ring every brand that has something due (the ticker's job); answers how many."""
    with connection.cursor() as cursor:
        cursor.execute(_BRANDS_WITH_DUE)
        brands = [row[0] for row in cursor.fetchall()]
    if brands:
        client = valkey()
        ringing = client.zmscore(RINGING, [str(pk) for pk in brands])
        _ring_all(client, [pk for pk, since in zip(brands, ringing, strict=True) if since is None])
    return len(brands)


def _ring_all(client: redis.Redis, brand_ids: Sequence[int]) -> None:
    """`ring` for many brands that do not ring yet, in three round trips."""
    queues = {pk: queue_of(pk, client) for pk in brand_ids}
    if not queues:
        return
    pipe = client.pipeline(transaction=False)
    for queue in queues.values():
        pipe.llen(queue.key)
    waiting = pipe.execute()
    for (pk, queue), jobs in zip(queues.items(), waiting, strict=True):
        if not jobs:
            data = Queue.prepare_data(
                DRAIN, args=(pk,), timeout=180, result_ttl=0, failure_ttl=3600
            )
            queue.enqueue_many([data], pipeline=pipe)
    seconds, microseconds = client.time()
    pipe.zadd(RINGING, dict.fromkeys(map(str, queues), seconds + microseconds / 1e6), nx=True)
    pipe.execute()


def note_departed(texts: Mapping[int, int]) -> None:
    """Count texts that departed, by brand, for the rate that an operator sees."""
    minute = int(time.time() // 60)
    pipe = valkey().pipeline(transaction=False)
    for brand_id, count in texts.items():
        key = f"carillon:departed:{brand_id}:{minute}"
        pipe.incrby(key, count)
        pipe.expire(key, 180)
    pipe.execute()


def departed_per_second(brand_id: int) -> float:
    """Texts per second over the last full minute and this one. Raises redis.RedisError."""
    return departed_per_second_of([brand_id])[brand_id]


def departed_per_second_of(brand_ids: Sequence[int]) -> dict[int, float]:
    """The same of many brands, in one question. Raises redis.RedisError."""
    if not brand_ids:
        return {}
    now = time.time()
    minute = int(now // 60)
    keys = [f"carillon:departed:{pk}:{at}" for pk in brand_ids for at in (minute - 1, minute)]
    counts = [int(count or 0) for count in valkey().mget(keys)]
    pairs = zip(brand_ids, counts[::2], counts[1::2], strict=True)
    return {pk: (last + this) / (60 + now % 60) for pk, last, this in pairs}


class Waiting(NamedTuple):
    """A due text that this transaction holds."""

    id: UUID
    brand_id: int
    subscriber_id: int | None
    campaign_id: int | None


def take(at_most: Mapping[int, int]) -> list[Waiting]:
    """Lock due texts of brands (id -> how many at most), the highest lane of each first.

    Until the transaction ends others pass over them. What nobody puts off stays due.
    """
    with connection.cursor() as cursor:
        cursor.execute(_TAKE, [arrays.literal(at_most), arrays.literal(at_most.values())])
        return [Waiting(*row) for row in cursor.fetchall()]


def put_off(until: Sequence[tuple[UUID, dt.datetime]]) -> None:
    """Let taken texts be due at an instant each."""
    if not until:
        return
    with connection.cursor() as cursor:
        ids, moments = zip(*until, strict=True)
        cursor.execute(_PUT_OFF, [arrays.ids(ids), arrays.literal(moments)])


# now() and not clock_timestamp(): an index cannot be searched by a volatile function.
_BRANDS_WITH_DUE = """
    SELECT brand.id FROM subscribers_brand AS brand
    WHERE EXISTS (SELECT FROM generate_series(0, 2) AS lanes(lane), LATERAL (
        SELECT 1 FROM sending_queuedtext AS queued
        WHERE queued.brand_id = brand.id AND queued.lane = lanes.lane
          AND queued.due_at <= now() LIMIT 1) AS due)"""

_TAKE = """
    SELECT due.id, due.brand_id, due.subscriber_id, due.campaign_id
    FROM unnest(%s::bigint[], %s::int[]) AS wanted(brand_id, at_most), LATERAL (
        SELECT waiting.* FROM generate_series(0, 2) AS lanes(lane), LATERAL (
            SELECT * FROM sending_queuedtext AS one
            WHERE one.brand_id = wanted.brand_id AND one.lane = lanes.lane
              AND one.due_at <= now()
            ORDER BY one.due_at LIMIT wanted.at_most FOR UPDATE SKIP LOCKED) AS waiting
        LIMIT wanted.at_most) AS due"""

_PUT_OFF = """
    UPDATE sending_queuedtext AS queued SET due_at = given.due_at
    FROM unnest(%s::uuid[], %s::timestamptz[]) AS given(id, due_at)
    WHERE queued.id = given.id"""
