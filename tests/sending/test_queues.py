"""The queue in PostgreSQL and its doorbell in Valkey."""

import datetime as dt
from collections import Counter
from uuid import UUID

from django.db import transaction

from sending import queues, turns
from sending.models import QueuedText
from subscribers import clock
from subscribers.models import Brand
from tests import sending_world as world

Lane = QueuedText.Lane


def take(at_most: int, *brands: Brand) -> list[UUID]:
    """What this transaction holds until it ends; others pass over it."""
    return [one.id for one in queues.take({one.pk: at_most for one in brands})]


def test_the_highest_lane_is_taken_first_and_then_the_oldest(brand: Brand) -> None:
    now = clock.now()
    order = [
        (Lane.HIGH, 30), (Lane.HIGH, 10), (Lane.NORMAL, 60), (Lane.NORMAL, 20), (Lane.BULK, 90),
    ]  # fmt: skip
    texts = [world.make_text(brand) for _ in order]
    for text, (lane, seconds) in zip(texts, order, strict=True):
        due = now - dt.timedelta(seconds=seconds)
        QueuedText.objects.filter(pk=text.pk).update(lane=lane, due_at=due)

    with transaction.atomic():
        assert take(9, brand) == [text.pk for text in texts]


def test_no_more_is_taken_of_a_brand_than_was_asked_over_all_lanes(brand: Brand) -> None:
    other = world.make_brand("ta", workspace=brand.workspace)
    for one in (brand, other):
        for lane in Lane:
            for _ in range(3):
                QueuedText.objects.filter(pk=world.make_text(one).pk).update(lane=lane)

    with transaction.atomic():
        taken = queues.take({brand.pk: 4, other.pk: 400})

    assert Counter(one.brand_id for one in taken) == {brand.pk: 4, other.pk: 9}


def test_what_is_taken_is_nobody_elses_until_the_transaction_ends(brand: Brand) -> None:
    text = world.make_text(brand)

    with world.elsewhere(lambda: take(10, brand)), transaction.atomic():
        assert take(10, brand) == []

    with transaction.atomic():
        assert take(10, brand) == [text.pk], "it was due all the time"


def test_what_is_not_due_or_parked_or_another_brands_is_not_taken(brand: Brand) -> None:
    other = world.make_brand("ta", workspace=brand.workspace)
    world.make_text(other)
    for due in (clock.now() + dt.timedelta(minutes=1), queues.PARKED):
        QueuedText.objects.filter(pk=world.make_text(brand).pk).update(due_at=due)

    with transaction.atomic():
        assert take(10, brand) == []


def test_texts_that_are_put_off_are_due_when_it_was_said(brand: Brand) -> None:
    one, other = world.make_text(brand), world.make_text(brand)
    later = clock.now() + dt.timedelta(hours=2)

    queues.put_off([(one.pk, later)])

    rows = {row.pk: row for row in QueuedText.objects.all()}
    assert rows[one.pk].due_at == later
    assert rows[other.pk].due_at <= clock.now()


def test_a_brand_that_rings_twice_is_served_once(brand: Brand) -> None:
    queues.ring(brand.pk)
    queues.ring(brand.pk)

    assert queues.queue_of(brand.pk).count == 1
    client = queues.valkey()
    assert [turns.take(client, "w"), turns.take(client, "w")] == [[brand.pk], []]


def test_every_brand_with_something_due_is_rung_and_no_other(brand: Brand) -> None:
    waiting, parked, idle = (
        world.make_brand(slug, workspace=brand.workspace) for slug in ("a", "b", "c")
    )
    world.make_text(brand)
    bulk = world.make_text(waiting)
    QueuedText.objects.filter(pk=bulk.pk).update(lane=Lane.BULK)
    QueuedText.objects.filter(pk=world.make_text(parked).pk).update(due_at=queues.PARKED)

    assert queues.ring_due() == 2

    client = queues.valkey()
    assert set(turns.take(client, "w", many=9)) == {brand.pk, waiting.pk}
    assert queues.queue_of(idle.pk).count == 0


def test_after_everything_in_valkey_is_lost_the_next_look_rings_again(brand: Brand) -> None:
    world.make_text(brand)
    queues.ring_due()
    queues.valkey().flushdb()

    assert queues.ring_due() == 1
    assert turns.take(queues.valkey(), "w") == [brand.pk]
    assert queues.queue_of(brand.pk).count == 1


def test_many_brands_are_rung_in_a_few_round_trips_and_once(brand: Brand) -> None:
    brands = [brand, *(world.make_brand(f"b{number}") for number in range(4))]
    for one in brands:
        world.make_text(one)

    assert queues.ring_due() == 5
    assert queues.ring_due() == 5

    client = queues.valkey()
    assert {queues.queue_of(one.pk).count for one in brands} == {1}
    job = queues.queue_of(brand.pk).jobs[0]
    assert (job.func_name, job.args) == (queues.DRAIN, (brand.pk,))
    assert set(turns.take(client, "a", many=9)) == {one.pk for one in brands}


def test_a_brand_whose_job_was_lost_is_rung_again(brand: Brand) -> None:
    world.make_text(brand)
    queues.ring_due()
    queues.queue_of(brand.pk).empty()
    assert turns.take(queues.valkey(), "a") == [brand.pk]  # who finds no job

    queues.ring_due()

    assert queues.queue_of(brand.pk).count == 1
