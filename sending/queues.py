"""Per-brand queues. PostgreSQL is the queue; RQ's, in Valkey, are the doorbell.

A ring says "look in the table". One that is lost is rung again by the ticker, one that comes
twice finds nothing the second time.
"""

import datetime as dt
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
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

_pool: redis.ConnectionPool | None = None


def valkey() -> redis.Redis:
    """The process's connection to Valkey, with time-outs: it being away must be noticed."""
    global _pool  # noqa: PLW0603 - one pool a process
    if _pool is None:
        _pool = redis.ConnectionPool.from_url(
            settings.REDIS_URL, socket_connect_timeout=2, socket_timeout=5
        )
    return redis.Redis(connection_pool=_pool)


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


def note_departed(brand_id: int, texts: int) -> None:
    """Count texts that departed, for the rate that an operator sees."""
    key = f"carillon:departed:{brand_id}:{int(time.time() // 60)}"
    pipe = valkey().pipeline(transaction=False)
    pipe.incrby(key, texts)
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


@dataclass(frozen=True, slots=True)
class Leased:
    """A queued text that this worker holds until the lease ends."""

    id: UUID
    subscriber_id: int | None
    campaign_id: int | None


def claim(brand_id: int, *, at_most: int) -> tuple[UUID, list[Leased]]:
    """Lease due texts of a brand, the highest lane first: (token, texts). Nobody else gets them."""
    token = uuid.uuid4()
    with connection.cursor() as cursor:
        cursor.execute(
            _CLAIM, {"brand": brand_id, "at_most": at_most, "token": token, "lease": LEASE}
        )
        return token, [Leased(*row) for row in cursor.fetchall()]


def put_off(token: UUID, until: Sequence[tuple[UUID, dt.datetime]]) -> None:
    """Give leased texts back, each due at its own instant."""
    if not until:
        return
    with connection.cursor() as cursor:
        ids, moments = zip(*until, strict=True)
        cursor.execute(_PUT_OFF, [arrays.ids(ids), arrays.literal(moments), token])


def give_back(token: UUID, ids: Sequence[UUID], *, seconds: float) -> None:
    """Give leased texts back, due again after so many seconds."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE sending_queuedtext SET lease_token = NULL,"
            " due_at = clock_timestamp() + make_interval(secs => %s)"
            " WHERE id = ANY(%s::uuid[]) AND lease_token = %s",
            [seconds, arrays.ids(ids), token],
        )


def still_held(token: UUID, ids: Sequence[UUID]) -> set[UUID]:
    """Which of these texts the lease still holds; they stay locked until the transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM sending_queuedtext WHERE id = ANY(%s::uuid[]) AND lease_token = %s"
            " ORDER BY id FOR UPDATE",
            [arrays.ids(ids), token],
        )
        return {row[0] for row in cursor.fetchall()}


# now() and not clock_timestamp(): an index cannot be searched by a volatile function.
_BRANDS_WITH_DUE = """
    SELECT brand.id FROM subscribers_brand AS brand
    WHERE EXISTS (SELECT FROM generate_series(0, 2) AS lanes(lane), LATERAL (
        SELECT 1 FROM sending_queuedtext AS queued
        WHERE queued.brand_id = brand.id AND queued.lane = lanes.lane
          AND queued.due_at <= now() LIMIT 1) AS due)"""

# Materialised: a subquery with LIMIT inside an UPDATE may run more than once and take too many.
_CLAIM = """
    WITH taken AS MATERIALIZED (
        SELECT due.id FROM generate_series(0, 2) AS lanes(lane), LATERAL (
            SELECT waiting.id FROM sending_queuedtext AS waiting
            WHERE waiting.brand_id = %(brand)s AND waiting.lane = lanes.lane
              AND waiting.due_at <= now()
            ORDER BY waiting.due_at LIMIT %(at_most)s FOR UPDATE SKIP LOCKED) AS due
        LIMIT %(at_most)s)
    UPDATE sending_queuedtext AS queued
    SET lease_token = %(token)s, due_at = now() + %(lease)s
    FROM taken WHERE queued.id = taken.id
    RETURNING queued.id, queued.subscriber_id, queued.campaign_id"""

_PUT_OFF = """
    UPDATE sending_queuedtext AS queued SET lease_token = NULL, due_at = given.due_at
    FROM unnest(%s::uuid[], %s::timestamptz[]) AS given(id, due_at)
    WHERE queued.id = given.id AND queued.lease_token = %s"""
