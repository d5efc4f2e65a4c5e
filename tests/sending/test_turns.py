"""Whose turn it is: in the order of ringing, and no brand holds most of the workers."""

import time

import pytest
from django.core.management import call_command

from sending import dispatch, queues, turns
from sending.models import Departure, Sender
from sending.pipeline import Pipeline
from subscribers.models import Brand
from tests import sending_world as world
from tests.sending.conftest import Carrier

pytestmark = pytest.mark.usefixtures("installed")


def ring(*brand_ids: int) -> None:
    for brand_id in brand_ids:
        queues.ring(brand_id)
        time.sleep(0.002)


def take(*workers: str) -> list[int | None]:
    return [next(iter(turns.take(queues.valkey(), worker)), None) for worker in workers]


def test_brands_take_turns_in_the_order_in_which_they_rang() -> None:
    ring(7, 3, 5, 7)

    assert take("a", "a", "a", "a") == [7, 3, 5, None]


def test_a_brand_that_holds_its_share_of_the_workers_waits_behind_one_that_rang_later() -> None:
    take("a", "b", "c", "d")
    ring(1)
    assert take("a") == [1]
    ring(1)
    assert take("b") == [1]
    ring(1, 2)

    assert take("c") == [2]
    assert take("d") == [1], "nobody else rings"


def test_one_turn_may_serve_many_brands_but_none_beyond_its_share() -> None:
    client = queues.valkey()
    take("a", "b")
    ring(1)
    assert take("a") == [1]
    ring(1, 2, 3, 4)

    assert turns.take(client, "b", many=2) == [2, 3], "brand 1 holds its half of the workers"
    assert turns.take(client, "b", many=9) == [4]
    assert turns.take(client, "b", many=9) == [1], "nobody else rings"


def test_a_turn_ends_with_the_next_one_and_with_its_worker() -> None:
    take("a", "b")
    ring(1)
    take("a")
    ring(2)
    take("a")  # so nobody serves brand 1 any more
    ring(1, 3)
    assert take("b") == [1]

    turns.end(queues.valkey(), "b")
    ring(1, 3)
    assert take("a") == [3], "brand 1 was rung later"


def test_a_brand_that_rings_for_later_is_not_served_before() -> None:
    queues.ring(1, after=0.3)
    assert take("a") == [None]

    time.sleep(0.35)
    assert take("a") == [1]


def test_only_another_brand_that_rings_now_ends_a_turn() -> None:
    ring(1)
    queues.ring(2, after=60)
    assert not turns.others_wait([1])

    ring(3)
    assert turns.others_wait([1])


def test_a_large_queue_makes_way_for_others_and_comes_back(brand: Brand, provider: Carrier) -> None:
    sender = world.make_sender(brand, "twilio", rate=5)  # one that can only wait
    world.planned_texts(brand, 20)
    queues.valkey().delete(queues.RINGING)
    ring(99)

    began = time.monotonic()
    assert dispatch.drain(brand.pk, seconds=20) <= sender.rate
    assert time.monotonic() - began < 5

    assert take("a") == [99]
    time.sleep(dispatch.HELD_BACK)
    assert take("a") == [brand.pk]


def test_a_brand_that_cannot_be_handed_over_takes_nobody_with_it(provider: Carrier) -> None:
    """Both have departed in one transaction when the broken one's calls are made."""
    broken, well = (world.make_brand(slug) for slug in ("broken", "well"))
    for brand in (broken, well):
        world.make_sender(brand, "twilio")
        world.planned_texts(brand, 3)
    Sender.objects.filter(brand=broken).update(credentials={})
    queues.valkey().delete(queues.RINGING)
    queues.ring(99)  # its job comes first and finds nothing; the two are served together
    for brand in (broken, well):
        queues.ring(brand.pk)

    with dispatch.shared_pipeline("worker"):
        assert take("worker") == [99]
        dispatch.drain(99)

    assert world.states(brand=well) == {"accepted": 3}
    assert world.states(brand=broken, attempts=1) == {"planned": 3}
    assert not Departure.objects.exists()


def test_a_sender_that_is_paused_in_the_midst_of_a_turn_ends_it(
    brand: Brand, sender: Sender, provider: Carrier
) -> None:
    world.planned_texts(brand, 3)
    with Pipeline().running() as pipeline:
        known = {brand.pk: [sender]}  # as the round before saw it
        call_command("pause", sender=sender.pk, reason="complaints")

        done = dispatch._round([brand], pipeline, known)

    assert (done.done, done.departed, known) == ({brand.pk}, {}, {})
    assert world.states() == {"planned": 3}


def test_one_job_serves_every_brand_that_rings(provider: Carrier) -> None:
    """RQ is asked once; the others' own jobs find nothing left to do."""
    brands = [world.make_brand(f"b{number}") for number in range(3)]
    for brand in brands:
        world.make_sender(brand)
        world.planned_texts(brand, 2)
        queues.ring(brand.pk)
    client = queues.valkey()

    with dispatch.shared_pipeline("worker"):
        (first,) = turns.take(client, "worker")
        departed = dispatch.drain(first)
        assert turns.take(client, "worker") == []

    assert departed == 6
    assert world.states() == {"accepted": 6}
    assert [dispatch.drain(brand.pk) for brand in brands] == [0, 0, 0]
