"""The queue in PostgreSQL and its doorbell in Valkey."""

import datetime as dt

from sending import queues, turns
from sending.models import QueuedText
from subscribers import clock
from subscribers.models import Brand
from tests import sending_world as world

Lane = QueuedText.Lane


def test_a_claim_takes_the_highest_lane_and_then_the_oldest_first(brand: Brand) -> None:
    now = clock.now()
    order = [
        (Lane.HIGH, 30), (Lane.HIGH, 10), (Lane.NORMAL, 60), (Lane.NORMAL, 20), (Lane.BULK, 90),
    ]  # fmt: skip
    texts = [world.make_text(brand) for _ in order]
    for text, (lane, seconds) in zip(texts, order, strict=True):
        due = now - dt.timedelta(seconds=seconds)
        QueuedText.objects.filter(pk=text.pk).update(lane=lane, due_at=due)

    taken = [queues.claim(brand.pk, at_most=1)[1][0].id for _ in order]

    assert taken == [text.pk for text in texts]


def test_a_claim_takes_no_more_than_asked_over_all_lanes(brand: Brand) -> None:
    for lane in Lane:
        for _ in range(3):
            QueuedText.objects.filter(pk=world.make_text(brand).pk).update(lane=lane)

    assert len(queues.claim(brand.pk, at_most=4)[1]) == 4
    assert len(queues.claim(brand.pk, at_most=400)[1]) == 5


def test_what_is_claimed_is_nobody_elses_until_the_lease_ends(brand: Brand) -> None:
    text = world.make_text(brand)

    first, _ = queues.claim(brand.pk, at_most=10)
    assert queues.claim(brand.pk, at_most=10)[1] == []
    lease = QueuedText.objects.get().due_at - clock.now()
    assert queues.LEASE - dt.timedelta(seconds=5) < lease <= queues.LEASE

    world.all_due()
    second, taken = queues.claim(brand.pk, at_most=10)
    assert [one.id for one in taken] == [text.pk]
    assert queues.still_held(second, [text.pk]) == {text.pk}
    # A plain read: `still_held` locks what it finds.
    assert not QueuedText.objects.filter(lease_token=first).exists()


def test_what_is_not_due_or_parked_or_another_brands_is_not_claimed(brand: Brand) -> None:
    other = world.make_brand("ta", workspace=brand.workspace)
    world.make_text(other)
    for due in (clock.now() + dt.timedelta(minutes=1), queues.PARKED):
        QueuedText.objects.filter(pk=world.make_text(brand).pk).update(due_at=due)

    assert queues.claim(brand.pk, at_most=10)[1] == []


def test_texts_given_back_are_due_when_it_was_said(brand: Brand) -> None:
    one, other = world.make_text(brand), world.make_text(brand)
    token, _ = queues.claim(brand.pk, at_most=10)
    later = clock.now() + dt.timedelta(hours=2)

    queues.put_off(token, [(one.pk, later)])
    queues.give_back(token, [other.pk], seconds=0)

    rows = {row.pk: row for row in QueuedText.objects.all()}
    assert rows[one.pk].due_at == later
    assert rows[other.pk].due_at <= clock.now()
    assert {row.lease_token for row in rows.values()} == {None}


def test_nothing_is_given_back_under_a_token_that_does_not_hold_it(brand: Brand) -> None:
    text = world.make_text(brand)
    slow, _ = queues.claim(brand.pk, at_most=10)
    world.all_due()
    token, _ = queues.claim(brand.pk, at_most=10)

    queues.put_off(slow, [(text.pk, queues.PARKED)])
    queues.give_back(slow, [text.pk], seconds=0)

    row = QueuedText.objects.get()
    assert row.lease_token == token
    assert clock.now() < row.due_at < queues.PARKED


def test_a_brand_that_rings_twice_is_served_once(brand: Brand) -> None:
    queues.ring(brand.pk)
    queues.ring(brand.pk)

    assert queues.queue_of(brand.pk).count == 1
    client = queues.valkey()
    assert [turns.take(client, "w"), turns.take(client, "w")] == [brand.pk, None]


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
    assert {turns.take(client, "w") for _ in range(2)} == {brand.pk, waiting.pk}
    assert queues.queue_of(idle.pk).count == 0


def test_after_everything_in_valkey_is_lost_the_next_look_rings_again(brand: Brand) -> None:
    world.make_text(brand)
    queues.ring_due()
    queues.valkey().flushdb()

    assert queues.ring_due() == 1
    assert turns.take(queues.valkey(), "w") == brand.pk
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
    assert {turns.take(client, "a") for _ in brands} == {one.pk for one in brands}


def test_a_brand_whose_job_was_lost_is_rung_again(brand: Brand) -> None:
    world.make_text(brand)
    queues.ring_due()
    queues.queue_of(brand.pk).empty()
    assert turns.take(queues.valkey(), "a") == brand.pk  # who finds no job

    queues.ring_due()

    assert queues.queue_of(brand.pk).count == 1
