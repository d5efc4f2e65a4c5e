"""What an operator switches at night takes effect within one batch, and nothing is lost by it."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connections

from campaigns import lifecycle, policy
from campaigns.models import Campaign
from sending import dispatch, parking, queue_state, queues, routing
from sending.models import Sender, SentLog, State
from subscribers.models import Brand
from tests import sending_world as world
from tests.sending.conftest import Carrier

TEXTS = 120
IN_FLIGHT = 4
ONE_BATCH = IN_FLIGHT + IN_FLIGHT // 4 + 1  # what `Pipeline.room` lets depart beyond the answers


@pytest.fixture
def slow(provider: Carrier) -> Carrier:
    provider.turn(latency=0.1)
    return provider


@pytest.fixture
def texts(brand: Brand, slow: Carrier) -> list[SentLog]:
    world.make_sender(brand, in_flight=IN_FLIGHT)
    return world.planned_texts(brand, TEXTS)


def departed() -> int:
    return SentLog.objects.exclude(sent_at=None).count()


class Draining:
    """A worker's drain in a thread of its own; `finish` ends it and waits."""

    def __init__(self, brand: Brand) -> None:
        self._brand = brand
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            dispatch.drain(self._brand.pk, seconds=60)
        finally:
            connections.close_all()

    def wait_for_first(self) -> None:
        until = time.monotonic() + 60
        while not SentLog.objects.filter(state=State.ACCEPTED).exists():
            assert time.monotonic() < until, "nothing was ever sent"
            time.sleep(0.01)

    def finish(self) -> None:
        self._thread.join(90)
        assert not self._thread.is_alive()


@pytest.fixture
def draining(brand: Brand) -> Iterator[Callable[[], Draining]]:
    started: list[Draining] = []

    def start() -> Draining:
        started.append(Draining(brand))
        return started[-1]

    yield start
    dispatch._stopping = True
    for one in started:
        one.finish()
    dispatch._stopping = False


def of_campaign(texts: list[SentLog]) -> dict[str, Any]:
    return {"campaign": texts[0].campaign_id}


def of_sender(texts: list[SentLog]) -> dict[str, Any]:
    return {"sender": Sender.objects.get().pk}


EVERY_SWITCH = pytest.mark.parametrize(
    "target",
    [
        lambda _: {"platform": True},
        lambda _: {"brand": "wswd"},
        of_campaign,
        of_sender,
    ],
    ids=["platform", "brand", "campaign", "sender"],
)


@EVERY_SWITCH
def test_a_pause_stops_a_running_worker_within_one_batch_and_a_resume_goes_on(
    texts: list[SentLog],
    brand: Brand,
    slow: Carrier,
    draining: Callable[[], Draining],
    target: Callable[[list[SentLog]], dict[str, Any]],
) -> None:
    what = target(texts)
    worker = draining()
    worker.wait_for_first()

    call_command("pause", **what, reason="wrong price")
    at_the_switch = departed()
    worker.finish()

    assert departed() - at_the_switch <= ONE_BATCH
    assert len(slow.accepted()) == departed() < TEXTS // 2
    assert world.states(state=State.PLANNED) == {State.PLANNED: TEXTS - departed()}

    call_command("resume", **what)
    parking.unpark()
    slow.turn(latency=0)
    queues.valkey().delete(queues.RINGING)
    dispatch.drain(brand.pk, seconds=60)
    assert world.states() == {State.ACCEPTED: TEXTS}


def test_cancelling_stops_a_running_worker_within_one_batch(
    texts: list[SentLog], slow: Carrier, draining: Callable[[], Draining]
) -> None:
    worker = draining()
    worker.wait_for_first()

    lifecycle.cancel(Campaign.objects.get())
    at_the_switch = departed()
    worker.finish()

    assert departed() - at_the_switch <= ONE_BATCH
    assert world.states() == {State.ACCEPTED: departed(), State.CANCELLED: TEXTS - departed()}


def test_a_sender_paused_just_before_the_gate_sends_nothing(brand: Brand) -> None:
    gone, stays = world.make_sender(brand), world.make_sender(brand, "lime")
    world.planned_texts(brand, 40)
    known = routing.active_senders([brand])[brand.pk]
    call_command("pause", sender=gone.pk, reason="too many complaints")

    departing = world.gate_batch(brand, *known).departing

    assert {one.sender_id for one in departing} == {stays.pk}
    assert 0 < len(departing) < 40
    left = world.gate_batch(brand, stays).departing
    assert len(left) == 40 - len(departing), "what it was to carry is due at once, for another"


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ({"platform": True}, "Sending is switched off for the whole installation."),
        ({"brand": "wswd"}, "Brand wswd sends nothing more."),
        ({"campaign": None}, "is paused: 3 texts wait."),
        ({"sender": None}, "is paused; its brand's texts wait."),
    ],
)
def test_a_pause_says_what_is_so_now(
    brand: Brand, sender: Sender, capsys: Any, target: dict[str, Any], said: str
) -> None:
    campaign = world.planned_texts(brand, 3)[0].campaign_id
    ids = {"campaign": campaign, "sender": sender.pk}
    target = {name: ids.get(name, value) for name, value in target.items()}

    call_command("pause", **target, reason="wrong price")

    assert said in capsys.readouterr().out


def test_a_reason_is_shown_to_whoever_finds_it_paused(brand: Brand, sender: Sender) -> None:
    call_command("pause", brand="wswd", reason="wrong price")
    call_command("pause", platform=True, reason="carrier incident")

    everywhere, own = queue_state.held_back_by(brand)
    assert everywhere == "Sending is switched off for the whole installation: carrier incident"
    assert own == "Sending is switched off for this brand: wrong price"


def test_a_second_pause_keeps_the_first_reason(brand: Brand, capsys: Any) -> None:
    call_command("pause", brand="wswd", reason="wrong price")
    call_command("pause", brand="wswd", reason="lunch")

    assert "Brand wswd was paused already: wrong price" in capsys.readouterr().out
    assert policy.of_brand(brand).off_reason == "wrong price"


def test_a_resume_says_what_still_holds_it_back(brand: Brand, sender: Sender, capsys: Any) -> None:
    call_command("pause", platform=True, reason="carrier incident")
    call_command("pause", brand="wswd")

    call_command("resume", brand="wswd")

    said = capsys.readouterr().out
    assert "Brand wswd may send again. But: Sending is switched off for the whole" in said
    assert policy.of_brand(brand).off_reason == ""


def test_what_does_not_exist_or_cannot_be_paused_is_a_clear_sentence(brand: Brand) -> None:
    draft = world.make_campaign(brand, launched=False)

    with pytest.raises(CommandError, match="There is no campaign 999999"):
        call_command("pause", campaign=999_999)
    with pytest.raises(CommandError, match="There is no sender 999999"):
        call_command("pause", sender=999_999)
    with pytest.raises(CommandError, match="there are: wswd"):
        call_command("resume", brand="nobody")
    with pytest.raises(CommandError, match="A draft campaign cannot be paused"):
        call_command("pause", campaign=draft.pk)
    with pytest.raises(CommandError, match="one of the arguments"):
        call_command("pause", "--reason", "which?")


def test_a_paused_sender_is_not_chosen(brand: Brand, sender: Sender) -> None:
    call_command("pause", sender=sender.pk, reason="x")

    assert routing.active_senders([brand]) == {}
