"""What a provider allows an account, whichever of its senders a text leaves from."""

import datetime as dt
import time
from typing import Any

import pytest
from django.core.exceptions import ValidationError

from sending import accounts, dispatch, limits, queue_state, queues
from sending.models import ProviderAccount, Sender
from subscribers import clock
from subscribers.models import Brand
from tests import sending_world as world
from tests.sending import buckets
from tests.sending.conftest import Carrier


def make_account(brand: Brand, **fields: Any) -> ProviderAccount:
    values: dict[str, Any] = {"gateway": "twilio", "name": "Main", "rate": 1000, "burst": 1000}
    return ProviderAccount.objects.create(workspace=brand.workspace, **values | fields)


def two_senders(brand: Brand, account: ProviderAccount, **fields: Any) -> list[Sender]:
    return [
        world.make_sender(brand, account=account, address=f"+1415555019{place}", **fields)
        for place in range(2)
    ]


def test_the_defaults_are_ten_a_second_bursts_of_fifty_and_a_minutes_rest(brand: Brand) -> None:
    account = ProviderAccount.objects.create(
        workspace=brand.workspace, gateway="lime", name="Default"
    )
    sender = world.make_sender(brand, "lime", account=account)

    assert (account.rate, account.burst, account.cool_down) == (10, 50, 60)
    assert buckets.take(sender, 500)[0] == 50
    granted, wait = buckets.take(sender, 500)
    assert granted <= 1
    assert wait <= 0.1


def test_senders_of_an_account_share_its_rate_by_weight(brand: Brand) -> None:
    account = make_account(brand, rate=1, burst=90)
    one, other = two_senders(brand, account)
    one.weight = 2

    taken = limits.take_all(dict.fromkeys([one, other], 500))

    assert 90 <= sum(taken.segments.values()) <= 91
    assert 59 <= taken.segments[one.pk] <= 61


def test_a_senders_own_rate_holds_inside_its_account(brand: Brand) -> None:
    sender = world.make_sender(brand, rate=5, account=make_account(brand))

    assert buckets.take(sender, 500)[0] == 5


def test_twenty_workers_together_keep_to_an_accounts_rate(brand: Brand) -> None:
    senders = two_senders(brand, make_account(brand, rate=40, burst=40), rate=10_000)
    started = time.monotonic()

    granted = world.at_once(
        *[lambda: sum(limits.take_all(dict.fromkeys(senders, 7)).segments.values())] * 20
    )

    assert 40 <= sum(granted) <= 42 + 40 * (time.monotonic() - started)


def test_the_days_cap_is_reached_and_never_passed(brand: Brand) -> None:
    account = make_account(brand, daily_cap=100)
    sender = world.make_sender(brand, account=account)

    granted = [buckets.take(sender, 500)[0] for _ in range(40)]

    assert sum(granted) == 100
    assert max(granted) == 25  # the rest is approached, for texts may have several segments
    assert limits.take_all(dict.fromkeys([sender], 1)).spent == {sender.pk}


def test_what_was_not_used_does_not_count_for_the_day_and_more_segments_do(brand: Brand) -> None:
    account = make_account(brand, daily_cap=100)
    sender = world.make_sender(brand, account=account)

    buckets.settle(sender, granted=buckets.take(sender, 20)[0], used=5)
    assert limits.used_today([account])[account.pk][1] == 5

    buckets.settle(sender, granted=buckets.take(sender, 10)[0], used=30)
    assert limits.used_today([account])[account.pk][1] == 35


def test_a_lost_valkey_loses_no_days_count(brand: Brand) -> None:
    account = make_account(brand, daily_cap=100)
    sender = world.make_sender(brand, account=account)
    while buckets.take(sender, 500)[0]:
        pass
    accounts.remember_use()
    queues.valkey().flushdb()

    again = Sender.objects.select_related("account").get(pk=sender.pk)
    assert buckets.take(again, 500)[0] == 0


def test_a_new_day_starts_at_nothing(brand: Brand) -> None:
    yesterday = clock.now().date() - dt.timedelta(days=1)
    account = make_account(brand, daily_cap=100, used=100, used_on=yesterday)
    sender = world.make_sender(brand, account=account)

    assert buckets.take(sender, 500)[0] == 25

    queues.valkey().hset(f"carillon:account:{account.pk}", "day", (yesterday - limits.EPOCH).days)
    assert buckets.take(sender, 500)[0] == 25


def test_the_queue_says_that_the_day_is_used_up(brand: Brand) -> None:
    account = make_account(brand, daily_cap=0)
    sender = world.make_sender(brand, account=account)
    assert queue_state.held_back_by(brand) == []
    buckets.take(sender, 1)

    assert queue_state.held_back_by(brand) == [
        "Account Main has sent its 0 segments of today and sends again at 00:00 UTC."
    ]


def test_other_senders_carry_what_a_used_up_account_cannot(brand: Brand, provider: Carrier) -> None:
    world.make_sender(brand, account=make_account(brand, daily_cap=0))
    other = world.make_sender(brand, "lime")
    world.planned_texts(brand, 20)

    dispatch.drain(brand.pk, seconds=20)

    assert world.states(sender=other) == {"accepted": 20}


def test_limes_pace_of_the_old_client_can_be_said(brand: Brand) -> None:
    """20 ms apart, 1,000 a minute (and 50 calls at once: the sender's own field)."""
    account = make_account(brand, gateway="lime", rate=50, burst=1, per_minute=1000)
    sender = world.make_sender(brand, "lime", account=account, in_flight=50)

    assert buckets.take(sender, 500)[0] == 1
    granted, wait = buckets.take(sender, 500)
    assert granted <= 1
    assert wait <= 0.02


def test_a_minutes_limit_holds_in_any_sixty_seconds(brand: Brand) -> None:
    account = make_account(brand, per_minute=100)
    sender = world.make_sender(brand, account=account, rate=1000)
    assert buckets.take(sender, 500)[0] == 100
    granted, wait = buckets.take(sender, 500)
    assert granted == 0
    assert 59 < wait <= 61

    buckets.settle(sender, granted=100, used=70)
    assert buckets.take(sender, 500)[0] == 30

    _a_minute_passes(account, 59)
    assert buckets.take(sender, 500)[0] == 0
    _a_minute_passes(account, 2)
    assert buckets.take(sender, 500)[0] == 100


def _a_minute_passes(account: ProviderAccount, seconds: int) -> None:
    """Move what was counted into the past: the script reads Valkey's own clock."""
    key = f"carillon:account:{account.pk}:minute"
    counted = queues.valkey().hgetall(key)
    queues.valkey().delete(key)
    queues.valkey().hset(key, mapping={int(at) - seconds: n for at, n in counted.items()})


def test_an_account_that_cools_down_rests_all_its_senders(brand: Brand) -> None:
    account = make_account(brand)
    one, other = two_senders(brand, account)
    alone = world.make_sender(brand, "lime")

    limits.cool_down_account(account.pk, 30)

    taken = limits.take_all(dict.fromkeys([one, other, alone], 5)).segments
    assert taken == {one.pk: 0, other.pk: 0, alone.pk: 5}
    assert 29 < limits.rests_for(one) <= 30
    assert any("cools down" in reason for reason in queue_state.held_back_by(brand))


def test_an_account_of_another_workspace_or_provider_is_refused(brand: Brand) -> None:
    sender = world.make_sender(brand)
    elsewhere = make_account(world.make_brand("other"))
    for wrong in (elsewhere, make_account(brand, gateway="lime")):
        sender.account = wrong
        with pytest.raises(ValidationError, match="same provider"):
            sender.clean()

    sender.account = make_account(brand)
    sender.clean()


def test_a_fast_senders_worker_does_not_ask_for_every_batch(brand: Brand) -> None:
    sender = world.make_sender(brand, rate=100_000)
    limits.take_all(dict.fromkeys([sender], 500))
    asked = _scripts_run()

    for _ in range(10):
        taken = limits.take_all(dict.fromkeys([sender], 500)).segments
        assert taken == {sender.pk: 500}
        limits.settle_all([sender], granted=taken, used={sender.pk: 400})

    assert _scripts_run() == asked
    limits.give_back()
    assert buckets.take(sender, 200_000)[0] > 90_000, "what was held has come back"


def _scripts_run() -> int:
    return queues.valkey().info("commandstats")["cmdstat_evalsha"]["calls"]


def test_what_is_held_goes_back_after_a_moment(brand: Brand) -> None:
    sender = world.make_sender(brand, rate=100_000)
    limits.take_all(dict.fromkeys([sender], 500))
    limits._blocks[sender.pk].until = 0.0  # the moment has passed

    limits.cool_down(sender.pk, 30)

    assert limits.take_all(dict.fromkeys([sender], 500)).segments == {sender.pk: 0}
    assert sender.pk not in limits._blocks


def test_a_cool_down_ends_what_this_worker_holds(brand: Brand) -> None:
    account = make_account(brand, rate=100_000, burst=100_000)
    sender = world.make_sender(brand, rate=100_000, account=account)
    limits.take_all(dict.fromkeys([sender], 500))

    limits.cool_down_account(account.pk, 30)

    assert limits.take_all(dict.fromkeys([sender], 500)).segments == {sender.pk: 0}
