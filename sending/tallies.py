"""How senders' texts were answered lately: counted in memory, kept in Valkey for some minutes.

What is lost with Valkey is a minute of statistics: `circuits.py` then judges from the next one.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import redis
import structlog

from sending.gateways.base import Fate, Outcome, broke_down
from sending.queues import valkey

log = structlog.get_logger("carillon.tallies")

SLOT = 10  # seconds
SLOTS = 6  # that are looked at: a minute
SAMPLE = 10  # accepted texts a minute and sender, whose receipts are looked for later
KEEP_SAMPLES = 30  # minutes
KINDS = ("calls", "errors", "texts")


@dataclass(slots=True)
class Count:
    """One sender's calls that ended: their texts, how many speak against it, some accepted texts.

    A call of 500 texts that fails is one piece of bad luck, not 500.
    """

    calls: int = 0
    errors: int = 0
    texts: int = 0
    accepted: list[UUID] = field(default_factory=list)


class Tally:
    """Counts of the senders of one process since the last note; filled by the network's thread."""

    def __init__(self) -> None:
        self._counts: dict[int, Count] = {}

    def add(self, sender_id: int, told: Sequence[Outcome]) -> None:
        """Count the outcomes of one call."""
        count = self._counts.get(sender_id)
        if count is None:
            count = self._counts[sender_id] = Count()
        broken = 0
        for outcome in told:
            if outcome.fate is not Fate.ACCEPTED:
                broken += broke_down(outcome)
            elif len(count.accepted) < SAMPLE:
                count.accepted.append(outcome.text_id)
        count.calls += 1
        count.errors += 2 * broken > len(told)
        count.texts += len(told)

    def counts(self) -> list[tuple[int, Count]]:
        """By sender, as they are at this moment."""
        return list(self._counts.items())


_NOTE = """
local second = tonumber(redis.call('TIME')[1])
local slot = 'carillon:answers:' .. math.floor(second / 10)
local minute = 'carillon:accepted:' .. math.floor(second / 60)
local i = 1
while i <= #ARGV do
    local sender, texts = ARGV[i], tonumber(ARGV[i + 4])
    redis.call('HINCRBY', slot, sender .. ':calls', ARGV[i + 1])
    redis.call('HINCRBY', slot, sender .. ':errors', ARGV[i + 2])
    redis.call('HINCRBY', slot, sender .. ':texts', ARGV[i + 3])
    local list = minute .. ':' .. sender
    local room = texts > 0 and 10 - redis.call('LLEN', list) or 0
    for j = 1, math.min(room, texts) do redis.call('RPUSH', list, ARGV[i + 4 + j]) end
    if room > 0 then
        redis.call('SADD', minute, sender)
        redis.call('EXPIRE', list, 1800)
    end
    i = i + 5 + texts
end
redis.call('EXPIRE', slot, 120)
redis.call('EXPIRE', minute, 1800)
"""


def note(tally: Tally) -> None:
    """Add a process's counts to everybody's, in one call; lost where Valkey is away."""
    arguments: list[str | int] = []
    for sender_id, count in tally.counts():
        texts = [str(text_id) for text_id in count.accepted]
        arguments += [sender_id, count.calls, count.errors, count.texts, len(texts), *texts]
    if not arguments:
        return
    try:
        valkey().register_script(_NOTE)(args=arguments)
    except redis.RedisError:
        log.warning("valkey_away")


@dataclass(slots=True)
class Minute:
    """A sender's last minute: calls that ended, those that speak against it, and their texts."""

    calls: int = 0
    errors: int = 0
    texts: int = 0


def last_minute() -> dict[int, Minute]:
    """What the last minute was like, by sender. Raises redis.RedisError."""
    slot = int(valkey().time()[0]) // SLOT
    pipe = valkey().pipeline(transaction=False)
    for at in range(slot - SLOTS, slot + 1):
        pipe.hgetall(f"carillon:answers:{at}")
    seen: dict[int, Minute] = defaultdict(Minute)
    for counted in pipe.execute():
        for name, count in counted.items():
            sender, kind = name.decode().split(":")
            minute = seen[int(sender)]
            setattr(minute, kind, getattr(minute, kind) + int(count))
    return seen


def accepted_before(minutes: int, *, at_least: int, back_to: int) -> dict[int, list[UUID]]:
    """Some texts that were accepted at least so many minutes ago, by sender: the latest of them.

    Goes back minute by minute, at most to `back_to` minutes ago, until a sender has `at_least`.
    Raises redis.RedisError.
    """
    now = int(valkey().time()[0]) // 60
    found: dict[int, list[UUID]] = defaultdict(list)
    for minute in range(now - minutes - 1, now - back_to - 1, -1):
        key = f"carillon:accepted:{minute}"
        senders = [int(one) for one in valkey().smembers(key)]
        short = [sender for sender in senders if len(found[sender]) < at_least]
        if not short:
            continue
        pipe = valkey().pipeline(transaction=False)
        for sender in short:
            pipe.lrange(f"{key}:{sender}", 0, -1)
        for sender, texts in zip(short, pipe.execute(), strict=True):
            found[sender] += [UUID(text.decode()) for text in texts]
    return {sender: texts for sender, texts in found.items() if len(texts) >= at_least}


def forget(sender_ids: Iterable[int]) -> None:
    """What a sender did before its traffic moved says nothing about what it does after.

    Raises redis.RedisError.
    """
    senders = list(sender_ids)
    if not senders:
        return
    second = int(valkey().time()[0])
    fields = [f"{sender}:{kind}" for sender in senders for kind in KINDS]
    pipe = valkey().pipeline(transaction=False)
    for at in range(second // SLOT - SLOTS, second // SLOT + 1):
        pipe.hdel(f"carillon:answers:{at}", *fields)
    for at in range(second // 60 - KEEP_SAMPLES, second // 60 + 1):
        pipe.srem(f"carillon:accepted:{at}", *senders)
        pipe.delete(*[f"carillon:accepted:{at}:{sender}" for sender in senders])
    pipe.execute()
