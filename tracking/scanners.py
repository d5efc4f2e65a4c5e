"""Who follows a link: a person, or a machine that looks at it for one. Machines are kept, not counted.

By what they say of themselves (data/scanners.csv), by how they ask, and by what no person does:
many people's links from one place at once, or a link before its text can have been read.
"""

import csv
import datetime as dt
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import redis
from django.conf import settings

SCANNERS = Path(__file__).parent / "data" / "scanners.csv"
PERSON = "click"  # the name of an event that counts; the others say why it does not
TOO_SOON, HEAD, PREFETCH, BURST = "too_soon", "head", "prefetch", "burst"
UNREADABLY_SOON = dt.timedelta(seconds=3)  # to hear it, look, read and tap takes longer
# More different people's links from one device or data centre within so many seconds are a scan.
BURST_LINKS, BURST_SECONDS = 20, 10
MISSES, MISSES_SECONDS = 100, 60  # unknown codes from one address
_PATIENCE = 0.2  # seconds: without Valkey people are still sent on, only bursts go unnoticed
_PREFETCHING = ("prefetch", "preview", "prerender")


@dataclass(frozen=True, slots=True)
class Visit:
    """What a request for a link tells of who asks."""

    method: str
    address: str
    agent: str
    headers: Mapping[str, str]


def judge(
    visit: Visit, *, sent_at: dt.datetime | None, delivered_at: dt.datetime | None, now: dt.datetime
) -> str:
    """PERSON, or why the visit does not count. Instants are the database's."""
    known = _agents()
    said = known[0].search(visit.agent.lower())
    if said or not visit.agent:
        return known[1][said.group()] if said else "scanner"
    if visit.method == "HEAD":
        return HEAD
    purposes = (visit.headers.get(name, "") for name in ("Sec-Purpose", "Purpose", "X-Purpose"))
    if any(word in purpose.lower() for purpose in purposes for word in _PREFETCHING):
        return PREFETCH
    if sent_at is None or now - max(sent_at, delivered_at or sent_at) < UNREADABLY_SOON:
        return TOO_SOON
    return PERSON


@cache
def _agents() -> tuple[re.Pattern[str], dict[str, str]]:
    with SCANNERS.open(newline="") as lines:
        kinds = {row["part_of_user_agent"]: row["kind"] for row in csv.DictReader(lines)}
    return re.compile("|".join(map(re.escape, kinds))), kinds


def burst(visit: Visit, code: str, event_id: str) -> list[str]:
    """Note a visit; the events of a burst that it belongs to, its own included, else none.

    Nothing where Valkey cannot be reached: nobody waits for statistics.
    """
    key = f"carillon:clicks:{_hidden(visit.address, visit.agent)}"
    try:
        with _valkey().pipeline() as pipe:
            pipe.hset(key, code, event_id)
            pipe.expire(key, BURST_SECONDS, nx=True)
            pipe.hlen(key)
            different = pipe.execute()[-1]
        if different <= BURST_LINKS:
            return []
        return (
            [one.decode() for one in _valkey().hvals(key)]
            if different == BURST_LINKS + 1
            else [event_id]
        )
    except redis.RedisError:
        return []


def is_guessing(address: str) -> bool:
    """Whether an address has asked for too many unknown codes within a minute."""
    try:
        return int(_valkey().get(_misses(address)) or 0) >= MISSES
    except redis.RedisError:
        return False


def count_miss(address: str) -> None:
    """Note that an address asked for a code that there is none of."""
    try:
        with _valkey().pipeline() as pipe:
            pipe.incr(_misses(address))
            pipe.expire(_misses(address), MISSES_SECONDS, nx=True)
            pipe.execute()
    except redis.RedisError:
        return


def _misses(address: str) -> str:
    return f"carillon:misses:{_hidden(address)}"


def _hidden(*parts: str) -> str:
    """No address is kept as such, not even for seconds."""
    named = "\x1f".join(parts).encode(errors="replace")
    key = settings.SECRET_KEY.encode()[:64]
    return hashlib.blake2b(named, digest_size=12, key=key).hexdigest()


@cache
def _pool(url: str) -> redis.ConnectionPool:
    return redis.ConnectionPool.from_url(
        url, socket_connect_timeout=_PATIENCE, socket_timeout=_PATIENCE
    )


def _valkey() -> redis.Redis:
    return redis.Redis(connection_pool=_pool(settings.REDIS_URL))
