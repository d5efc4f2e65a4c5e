"""Throughput: a token bucket per sender in Valkey, counted in segments, on Valkey's clock.

When Valkey cannot be reached nothing is granted: sending stops rather than exceed a rate.
"""

import redis
import structlog

from sending.models import Sender
from sending.queues import valkey

log = structlog.get_logger("carillon.limits")

# A sender that rested may send this many seconds' worth at once.
BURST_SECONDS = 1

# Answers {granted, milliseconds until there is a token again}. A bucket may be in debt: texts of
# several segments are charged once their size is known.
_TAKE = """
local resting = redis.call('PTTL', KEYS[2])
if resting > 0 and tonumber(ARGV[3]) > 0 then return {0, resting} end
local rate, burst, want = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] + time[2] / 1e6
local level = tonumber(redis.call('HGET', KEYS[1], 'level') or burst)
local since = tonumber(redis.call('HGET', KEYS[1], 'at') or now)
level = math.min(burst, level + (now - since) * rate)
local granted = math.max(0, math.min(want, math.floor(level)))
if want < 0 then granted = want end
level = level - granted
redis.call('HSET', KEYS[1], 'level', tostring(level), 'at', tostring(now))
redis.call('EXPIRE', KEYS[1], 3600)
local wait = 0
if level < 1 then wait = math.ceil((1 - level) / rate * 1000) end
return {granted, wait}
"""


def take(sender: Sender, want: int) -> tuple[int, float]:
    """Take up to `want` segments: (how many were granted, seconds until there is one again).

    Raises redis.RedisError when Valkey cannot be reached.
    """
    granted, wait = _run(sender, want)
    return granted, wait / 1000


def cool_down(sender_id: int, seconds: float) -> None:
    """Grant a sender nothing for so many seconds: its provider said that it is too fast."""
    valkey().set(_rest(sender_id), 1, px=max(1, int(seconds * 1000)))


def rests_for(sender: Sender) -> float:
    """Seconds that a sender still cools down; 0 where it does not. Raises redis.RedisError."""
    return max(0, valkey().pttl(_rest(sender.pk))) / 1000


def settle(sender: Sender, *, granted: int, used: int) -> None:
    """Correct a grant by what was really used: more is charged, less is given back.

    Its texts have departed by now, so Valkey being away must not stop them.
    """
    try:
        if used < granted:
            _run(sender, used - granted)
        elif used > granted:
            _charge(sender, used - granted)
    except redis.RedisError:
        log.warning("valkey_away", sender=sender.pk)


def _run(sender: Sender, want: int) -> tuple[int, int]:
    rate = max(1, sender.rate)
    script = valkey().register_script(_TAKE)
    return script(
        keys=[_key(sender), _rest(sender.pk)], args=[rate, max(1, rate * BURST_SECONDS), want]
    )


def _charge(sender: Sender, segments: int) -> None:
    valkey().hincrbyfloat(_key(sender), "level", -segments)


def _key(sender: Sender) -> str:
    return f"carillon:bucket:{sender.pk}"


def _rest(sender_id: int) -> str:
    return f"carillon:resting:{sender_id}"
