"""Who follows a link: a person, or a machine that looks at it for one. Machines are kept, not counted.

By what they say of themselves (data/scanners.csv), by how they ask, and by what no person does:
many people's links from one place at once, or a link before its text can have been read.
"""

import csv
import datetime as dt
import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
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
PURPOSES = ("Sec-Purpose", "Purpose", "X-Purpose")  # headers of who looks ahead
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
    purposes = (visit.headers.get(name, "") for name in PURPOSES)
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


def bursts(visits: Sequence[tuple[Visit, str, str]]) -> list[list[str]]:
    """Note visits (with the code and the event's id); for each the events of the burst that it
    belongs to, its own included, else none.

    Nothing where Valkey cannot be reached: nobody waits for statistics.
    """
    if not visits:
        return []
    keys = [f"carillon:clicks:{_hidden(one.address, one.agent)}" for one, _, _ in visits]
    told = [part for _, code, event_id in visits for part in (code, event_id)]
    try:
        answered = _valkey().eval(_NOTE, len(keys), *keys, BURST_SECONDS, BURST_LINKS, *told)
    except redis.RedisError:
        return [[] for _ in visits]
    return [[one.decode() for one in same_burst] for same_burst in answered]


def guessing(addresses: Collection[str]) -> set[str]:
    """Those of the addresses that asked for too many unknown codes within a minute."""
    asking = list(addresses)
    try:
        counts = _valkey().mget([_misses(address) for address in asking])
    except redis.RedisError:
        return set()
    pairs = zip(asking, counts, strict=True)
    return {address for address, count in pairs if int(count or 0) >= MISSES}


def count_misses(addresses: Sequence[str]) -> None:
    """Note that addresses asked for a code that there is none of, each once for each time."""
    if not addresses:
        return
    try:
        with _valkey().pipeline(transaction=False) as pipe:
            for address in addresses:
                pipe.incr(_misses(address))
                pipe.expire(_misses(address), MISSES_SECONDS, nx=True)
            pipe.execute()
    except redis.RedisError:
        return


# For each key, a device or a data centre: none, or the events of its burst. Who makes it one more
# link than a person follows is told all of them, and whoever comes later itself alone.
_NOTE = """
local answers = {}
for at, key in ipairs(KEYS) do
    local event = ARGV[2 * at + 2]
    redis.call('HSET', key, ARGV[2 * at + 1], event)
    redis.call('EXPIRE', key, ARGV[1], 'NX')
    local different, most = redis.call('HLEN', key), tonumber(ARGV[2])
    if different <= most then
        answers[at] = {}
    elseif different == most + 1 then
        answers[at] = redis.call('HVALS', key)
    else
        answers[at] = {event}
    end
end
return answers
"""


def _misses(address: str) -> str:
    return f"carillon:misses:{_hidden(address)}"


def _hidden(*parts: str) -> str:
    """No address is kept as such, not even for seconds."""
    named = "\x1f".join(parts).encode(errors="replace")
    key = settings.SECRET_KEY.encode()[:64]
    return hashlib.blake2b(named, digest_size=12, key=key).hexdigest()


def _valkey() -> redis.Redis:
    return _client(settings.REDIS_URL)


@cache
def _client(url: str) -> redis.Redis:
    """One for all threads: making a client takes longer than asking it."""
    return redis.Redis.from_url(url, socket_connect_timeout=_PATIENCE, socket_timeout=_PATIENCE)
