"""The Lua of `limits.py`: takes from senders and their accounts at once, on Valkey's clock."""

KEYS_EACH = 5  # the sender's bucket and rest; its account's bucket, rest and last minute
ARGUMENTS_EACH = 11

# For each sender: takes at most `want` segments after giving `back` so many (a debt where negative:
# texts of several segments are charged once their size is known), from the sender's bucket and, where
# it has an account (`arate` above 0), from the account's, its last minute and its day in one step.
# `part` is the share of the account's level that this sender may take, `held_*` the day's count as
# PostgreSQL remembers it, for when this one is lost. Near the end of a day's cap a quarter of the rest
# is granted at a time, so that texts of up to four segments do not overshoot it.
# Answers for each {granted, milliseconds until there is a token again, 1 where the day is used up}.
TAKE = """
local time = redis.call('TIME')
local second, now = tonumber(time[1]), time[1] + time[2] / 1e6
local today = math.floor(second / 86400)
local answer = {}

local function filled(key, rate, burst)
    local held = redis.call('HMGET', key, 'level', 'at')
    local level, at = tonumber(held[1] or burst), tonumber(held[2] or now)
    return math.min(burst, level + math.max(0, now - at) * rate)
end

local function pause(level, rate)
    return level < 1 and math.ceil((1 - level) / rate * 1000) or 0
end

-- What is given back was taken a moment ago: a negative count would outlive what it corrects.
local function of_last_minute(key, back)
    local sent, oldest = 0, second
    local held = redis.call('HGETALL', key)
    local counts = {}
    for i = 1, #held, 2 do
        local at = tonumber(held[i])
        if at < second - 60 then redis.call('HDEL', key, held[i])
        else counts[at] = tonumber(held[i + 1]) end
    end
    for at = second, second - 2, -1 do
        local undone = math.min(back, counts[at] or 0)
        if undone > 0 then
            counts[at], back = counts[at] - undone, back - undone
            redis.call('HSET', key, at, counts[at])
        end
    end
    for at, count in pairs(counts) do
        sent = sent + count
        if count > 0 then oldest = math.min(oldest, at) end
    end
    return sent, (oldest + 61 - now) * 1000
end

for i = 0, #KEYS / 5 - 1 do
    local own, rest, shared, shared_rest, minute =
        KEYS[5 * i + 1], KEYS[5 * i + 2], KEYS[5 * i + 3], KEYS[5 * i + 4], KEYS[5 * i + 5]
    local a = {}
    for j = 1, 11 do a[j] = tonumber(ARGV[11 * i + j]) end
    local rate, burst, want, back, part, arate, aburst = a[1], a[2], a[3], a[4], a[5], a[6], a[7]
    local per_minute, cap, held_day, held_used = a[8], a[9], a[10], a[11]
    local level = math.min(burst, filled(own, rate, burst) + back)
    local free, wait, spent = math.floor(level), pause(level, rate), 0
    local common, used = 0, 0
    if arate > 0 then
        common = math.min(aburst, filled(shared, arate, aburst) + back)
        free = math.min(free, math.floor(common), math.ceil(common * part))
        wait = math.max(wait, pause(common, arate))
        local day = redis.call('HMGET', shared, 'day', 'used')
        if not day[1] then day = {held_day, held_used} end
        if tonumber(day[1]) == today then used = math.max(0, tonumber(day[2]) - back)
        else used = math.max(0, -back) end
        if per_minute > 0 then
            local sent, until_next = of_last_minute(minute, back)
            free = math.min(free, per_minute - sent)
            if sent >= per_minute then wait = math.max(wait, math.ceil(until_next)) end
        end
        if cap >= 0 then
            free = math.min(free, math.ceil((cap - used) / 4))
            if used >= cap then
                spent, wait = 1, math.max(wait, (86400 - second % 86400) * 1000)
            end
        end
    end
    if want > 0 then
        local resting = redis.call('PTTL', rest)
        if arate > 0 then resting = math.max(resting, redis.call('PTTL', shared_rest)) end
        if resting > 0 then free, wait = 0, resting end
    end
    local granted = math.max(0, math.min(want, free))
    redis.call('HSET', own, 'level', tostring(level - granted), 'at', string.format('%.6f', now))
    redis.call('EXPIRE', own, 3600)
    if arate > 0 then
        redis.call('HSET', shared, 'level', tostring(common - granted), 'at', string.format('%.6f', now),
                   'day', today, 'used', used + granted)
        redis.call('EXPIRE', shared, 172800)
        local more = granted + math.max(0, -back)
        if per_minute > 0 and more > 0 then
            redis.call('HINCRBY', minute, second, more)
            redis.call('EXPIRE', minute, 120)
        end
        -- What was granted is not there for the next sender, but its time has not come either.
        wait = math.max(wait, pause(common - granted, arate))
    end
    answer[#answer + 1] = granted
    answer[#answer + 1] = math.max(wait, pause(level - granted, rate))
    answer[#answer + 1] = spent
end
return answer
"""
