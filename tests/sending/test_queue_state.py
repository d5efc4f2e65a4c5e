"""What an operator sees of a brand's queue, by command and by API."""

import datetime as dt

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from campaigns import policy
from sending import dispatch, limits, queue_state, queues, senders
from sending.models import QueuedText, Sender
from subscribers import clock
from subscribers.models import ApiKey, Brand
from tests import sending_world as world


def test_due_texts_are_counted_by_lane_and_the_oldest_is_timed(brand: Brand) -> None:
    world.planned_texts(brand, 3)
    one = QueuedText.objects.order_by("pk").first()
    QueuedText.objects.filter(pk=one.pk).update(
        lane=QueuedText.Lane.HIGH, due_at=clock.now() - dt.timedelta(seconds=90)
    )

    state = queue_state.of_brand(brand)

    assert state.due == {"high": 1, "normal": 0, "bulk": 2}
    assert 89 < state.oldest_due_seconds < 120


def test_a_deferred_text_is_later_and_not_due(brand: Brand) -> None:
    world.planned_texts(brand, 2)
    QueuedText.objects.update(due_at=clock.now() + dt.timedelta(hours=3))

    state = queue_state.of_brand(brand)

    assert (sum(state.due.values()), state.later, state.oldest_due_seconds) == (0, 2, 0)


def test_a_brand_that_cannot_send_says_why(brand: Brand, sender: Sender) -> None:
    assert queue_state.held_back_by(brand) == []

    limits.cool_down(sender.pk, 30)
    policy.of_brand(brand)
    brand.policy.sending_enabled = False
    brand.policy.save()

    off, cooling = queue_state.held_back_by(brand)
    assert off == "Sending is switched off for this brand."
    assert "cools down" in cooling

    senders.stop(sender.pk, "http-401: credentials refused")
    assert any("no active sender" in reason for reason in queue_state.held_back_by(brand))
    assert any("http-401" in reason for reason in queue_state.held_back_by(brand))


def test_a_brand_says_that_valkey_is_away(brand: Brand, sender: Sender, settings) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    queues._client = None
    try:
        assert queue_state.held_back_by(brand) == [
            "Valkey cannot be reached: nothing is sent until it is back."
        ]
    finally:
        queues._client = None


def test_a_sender_that_cools_down_sends_nothing_and_loses_nothing(
    brand: Brand, sender: Sender
) -> None:
    world.planned_texts(brand, 3)
    limits.cool_down(sender.pk, 30)

    assert dispatch.drain(brand.pk, seconds=0.3) == 0
    assert world.states() == {"planned": 3}


def test_the_command_prints_a_line_a_brand_and_what_holds_it_back(brand: Brand, capsys) -> None:
    world.planned_texts(brand, 2)

    call_command("queue_state")

    printed = capsys.readouterr().out
    assert "wswd" in printed
    assert "The brand has no active sender." in printed


def test_the_command_names_the_brands_that_exist(brand: Brand) -> None:
    with pytest.raises(CommandError, match="wswd"):
        call_command("queue_state", brand="nobody")


def test_a_key_reads_its_own_brands_queue_and_no_other(brand: Brand, client: Client) -> None:
    world.planned_texts(brand, 2)
    other = world.make_brand("other")
    _, key = ApiKey.objects.create_key(name="k", workspace=brand.workspace)
    header = {"Authorization": f"Api-Key {key}"}

    own = client.get(f"/api/brands/{brand.slug}/queue", headers=header)
    foreign = client.get(f"/api/brands/{other.slug}/queue", headers=header)

    assert own.json()["due"] == {"high": 0, "normal": 0, "bulk": 2}
    assert foreign.status_code == 404
