"""The token bucket of a sender, on Valkey's clock."""

import time

import pytest
import redis

from sending import queues
from sending.models import Sender
from subscribers.models import Brand
from tests import sending_world as world
from tests.sending import buckets


def test_a_rested_sender_may_send_a_seconds_worth_at_once(brand: Brand) -> None:
    sender = world.make_sender(brand, rate=50)

    assert buckets.take(sender, 20) == (20, 0)
    assert 30 <= buckets.take(sender, 100)[0] <= 40


def test_who_comes_too_early_gets_nothing_and_the_time_to_wait(brand: Brand) -> None:
    sender = world.make_sender(brand, rate=2)
    buckets.take(sender, 2)

    granted, wait = buckets.take(sender, 1)
    assert granted == 0
    assert 0 < wait <= 0.5

    time.sleep(wait)
    assert buckets.take(sender, 1)[0] == 1


def test_over_a_while_the_rate_is_exact(brand: Brand) -> None:
    sender = world.make_sender(brand, rate=100)
    buckets.take(sender, 100)
    started = time.monotonic()
    granted = 0

    while time.monotonic() - started < 1:
        granted += buckets.take(sender, 500)[0]
        time.sleep(0.01)

    due = 100 * (time.monotonic() - started)
    assert due * 0.85 <= granted <= due + 1


def test_what_was_not_used_is_given_back(brand: Brand) -> None:
    sender = world.make_sender(brand, rate=10)
    buckets.take(sender, 10)

    buckets.settle(sender, granted=10, used=4)

    assert 6 <= buckets.take(sender, 10)[0] <= 8


def test_giving_back_never_makes_a_larger_burst(brand: Brand) -> None:
    sender = world.make_sender(brand, rate=10)

    buckets.settle(sender, granted=500, used=0)

    assert buckets.take(sender, 500)[0] == 10


def test_segments_beyond_the_grant_are_a_debt(brand: Brand) -> None:
    sender = world.make_sender(brand, rate=10)
    buckets.take(sender, 10)

    buckets.settle(sender, granted=10, used=30)

    granted, wait = buckets.take(sender, 1)
    assert granted == 0
    assert 1.5 < wait <= 2.1


def test_each_sender_has_a_bucket_of_its_own(brand: Brand) -> None:
    one = world.make_sender(brand, "twilio", rate=5)
    other = world.make_sender(brand, "lime", rate=5)

    assert buckets.take(one, 5)[0] == 5
    assert buckets.take(other, 5)[0] == 5


def test_twenty_workers_together_keep_to_the_rate(brand: Brand) -> None:
    sender = world.make_sender(brand, rate=40)

    started = time.monotonic()

    granted = world.at_once(*[lambda: buckets.take(sender, 7)[0]] * 20)

    assert 40 <= sum(granted) <= 41 + 40 * (time.monotonic() - started)


def test_after_everything_in_valkey_is_lost_the_rate_still_holds(sender: Sender) -> None:
    buckets.take(sender, 1)
    queues.valkey().flushdb()

    assert buckets.take(sender, 10_000)[0] == sender.rate


def test_while_valkey_is_away_nothing_is_granted_and_settling_does_no_harm(
    sender: Sender, settings: object
) -> None:
    queues._client = redis.Redis.from_url("redis://127.0.0.1:1/0")

    with pytest.raises(redis.RedisError):
        buckets.take(sender, 1)
    buckets.settle(sender, granted=5, used=1)
    buckets.settle(sender, granted=5, used=9)
