"""Which brand a worker serves next: brands take turns, and none holds most of the workers.

Kept in Valkey, on its clock. What is lost there costs a turn, never a text: the ticker rings again.
"""

from collections.abc import Collection

import redis

from sending.queues import RINGING, valkey

SERVING = "carillon:serving"  # sorted set: "brand:worker" by the start of the turn
WORKERS = "carillon:workers"  # sorted set: workers by their last sign of life
SHARE = 0.5  # of the live workers, that one brand may hold while another one rings
SILENT_SECONDS = 60  # a worker that gave no sign for so long is gone; a turn takes 5

# The brands that have been ringing longest, of those that do not hold their share of the workers
# yet; where all of them do, nobody is kept waiting by it.
_TAKE = """
local worker, share, silent = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local many = tonumber(ARGV[4])
local time = redis.call('TIME')
local now = time[1] + time[2] / 1e6
redis.call('ZADD', KEYS[3], now, worker)
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now - silent)
local held = {}
for _, turn in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
    local brand, by = turn:match('^(%d+):(.+)$')
    if by ~= worker and redis.call('ZSCORE', KEYS[3], by) then
        held[brand] = (held[brand] or 0) + 1
    else
        redis.call('ZREM', KEYS[2], turn)
    end
end
local ringing = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, 100)
if #ringing == 0 then return {} end
local most = math.max(1, math.ceil(redis.call('ZCARD', KEYS[3]) * share))
local chosen = {}
for _, brand in ipairs(ringing) do
    if #chosen < many and (held[brand] or 0) < most then chosen[#chosen + 1] = brand end
end
if #chosen == 0 then chosen = {ringing[1]} end
for _, brand in ipairs(chosen) do
    redis.call('ZREM', KEYS[1], brand)
    redis.call('ZADD', KEYS[2], now, brand .. ':' .. worker)
end
return chosen
"""


def take(client: redis.Redis, worker: str, *, many: int = 1) -> list[int]:
    """The brands that this worker serves now, so many at most; none where none rings.

    Raises redis.RedisError.
    """
    script = client.register_script(_TAKE)
    chosen = script(keys=[RINGING, SERVING, WORKERS], args=[worker, SHARE, SILENT_SECONDS, many])
    return [int(one) for one in chosen]


def end(client: redis.Redis, worker: str) -> None:
    """This worker is gone, and what it held is free. Raises redis.RedisError."""
    client.zrem(WORKERS, worker)


def others_wait(brand_ids: Collection[int]) -> bool:
    """Whether another brand rings, so that these brands' turn should end. Raises redis.RedisError."""
    client = valkey()
    seconds, microseconds = client.time()
    ringing = client.zrangebyscore(
        RINGING, "-inf", seconds + microseconds / 1e6, start=0, num=len(brand_ids) + 1
    )
    return any(int(one) not in brand_ids for one in ringing)
