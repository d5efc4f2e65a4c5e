"""How often an API key may ask: a quota a minute, counted in Valkey by one atomic script.

While Valkey is away nobody is refused: the quota is for fairness, and an opt-out that comes through
the API must not wait for it. Nothing is sent without Valkey anyway.
"""

from dataclasses import dataclass
from functools import cache

import redis
import structlog
from django.conf import settings

from subscribers.key_models import ApiKey

log = structlog.get_logger("carillon.throttling")

WINDOW = 60  # seconds, from the key's first request on
EVENTS = "events"  # the policy of views that take events
DEFAULT = "default"

# Answers {requests of this window with this one, milliseconds until it ends}.
_COUNT = """
local count = redis.call('INCR', KEYS[1])
if count == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
local left = redis.call('PTTL', KEYS[1])
if left < 0 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) left = tonumber(ARGV[1]) end
return {count, left}
"""


@dataclass(frozen=True, slots=True)
class Quota:
    """What is left of a key's quota. `resets_in`: whole seconds until all of it is there again."""

    policy: str
    limit: int
    remaining: int
    resets_in: int
    refused: bool

    def headers(self) -> dict[str, str]:
        """As draft-ietf-httpapi-ratelimit-headers-10 writes them."""
        told = {
            "RateLimit-Policy": f'"{self.policy}";q={self.limit};w={WINDOW}',
            "RateLimit": f'"{self.policy}";r={self.remaining};t={self.resets_in}',
        }
        return told | ({"Retry-After": str(self.resets_in)} if self.refused else {})


def count(key: ApiKey, policy: str) -> Quota | None:
    """Count one request of a key; None while Valkey is away: then nobody is refused."""
    limit = _limit(key, policy)
    try:
        script = _valkey().register_script(_COUNT)
        counted, left = script(keys=[f"carillon:quota:{policy}:{key.prefix}"], args=[WINDOW * 1000])
    except redis.RedisError:
        log.warning("valkey_away", policy=policy)
        return None
    return Quota(
        policy, limit, max(0, limit - counted), max(1, -(-left // 1000)), refused=counted > limit
    )


def _limit(key: ApiKey, policy: str) -> int:
    if policy == EVENTS:
        return key.events_per_minute or settings.API_EVENTS_PER_MINUTE
    return key.per_minute or settings.API_PER_MINUTE


def _valkey() -> redis.Redis:
    return _client(settings.REDIS_URL)


@cache
def _client(url: str) -> redis.Redis:
    """A client that gives up soon, as somebody waits for it; one for all threads of a process."""
    return redis.Redis.from_url(url, socket_connect_timeout=0.5, socket_timeout=0.5)
