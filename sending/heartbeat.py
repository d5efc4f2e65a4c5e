"""When the ticker last went through its jobs: a figure for people, kept in Valkey on its clock."""

import contextlib

import redis

from sending.queues import valkey

KEY = "carillon:ticker"


def beat() -> None:
    """The ticker's, after each round. Valkey being away is told elsewhere."""
    with contextlib.suppress(redis.RedisError):
        client = valkey()
        seconds, microseconds = client.time()
        client.set(KEY, seconds + microseconds / 1e6)


def lag() -> float | None:
    """Seconds since the last round; None where none is known. Raises redis.RedisError."""
    client = valkey()
    last = client.get(KEY)
    if last is None:
        return None
    seconds, microseconds = client.time()
    return max(0.0, seconds + microseconds / 1e6 - float(last))
