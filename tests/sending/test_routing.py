"""Which sender a person's texts leave from."""

from collections import Counter

import pytest

from sending import routing
from sending.models import Sender
from subscribers.models import Brand
from tests import sending_world as world

PEOPLE = [str(number) for number in range(20_000)]


def some(*weights: int) -> list[Sender]:
    """Senders that need no database: only their key and weight count."""
    return [Sender(pk=pk, weight=weight) for pk, weight in enumerate(weights, start=1)]


def test_a_person_always_has_the_same_sender_whatever_the_order() -> None:
    senders = some(1, 2, 3)

    chosen = [routing.sender_for(one, senders).pk for one in PEOPLE[:500]]

    assert chosen == [routing.sender_for(one, senders[::-1]).pk for one in PEOPLE[:500]]


@pytest.mark.parametrize("weights", [(1,), (1, 1), (1, 2), (1, 2, 7), (5, 1, 1, 3)])
def test_senders_share_the_people_by_weight(weights: tuple[int, ...]) -> None:
    senders = some(*weights)

    counts = Counter(routing.sender_for(one, senders).pk for one in PEOPLE)

    for sender in senders:
        assert counts[sender.pk] / len(PEOPLE) == pytest.approx(
            sender.weight / sum(weights), abs=0.015
        )


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_losing_a_sender_moves_only_its_people(lost: int) -> None:
    senders = some(1, 2, 3)
    left = [sender for sender in senders if sender is not senders[lost]]

    before = {one: routing.sender_for(one, senders).pk for one in PEOPLE}
    after = {one: routing.sender_for(one, left).pk for one in PEOPLE}

    moved = {one for one in PEOPLE if before[one] != after[one]}
    assert moved == {one for one in PEOPLE if before[one] == senders[lost].pk}
    assert len({after[one] for one in moved}) == 2


def test_only_active_senders_of_the_brand_with_a_weight_are_used(brand: Brand) -> None:
    used = world.make_sender(brand, "twilio")
    world.make_sender(brand, "lime", status=Sender.Status.PAUSED)
    world.make_sender(brand, "mitto", status=Sender.Status.STOPPED)
    world.make_sender(brand, "lime", address="71442", weight=0)
    world.make_sender(world.make_brand("ta", workspace=brand.workspace), "lime")

    assert routing.active_senders([brand]) == {brand.pk: [used]}


def test_a_brand_whose_provider_has_no_address_has_no_sender_and_holds_up_nobody(
    brand: Brand, caplog: pytest.LogCaptureFixture
) -> None:
    other = world.make_brand("ta", workspace=brand.workspace)
    well = world.make_sender(other, "twilio")
    world.make_sender(brand, "mitto")
    brand.sandbox = False

    assert routing.active_senders([brand, other]) == {other.pk: [well]}
    assert "MITTO_URL" in caplog.text
