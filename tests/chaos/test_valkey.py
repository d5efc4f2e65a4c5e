"""F5 and F6: the doorbell dies, forgets, is full, or does not answer."""

from collections.abc import Callable

import pytest

from sending import queues
from sending.models import QueuedText, State
from tests.chaos.conftest import LONG
from tests.chaos.scene import Scene

RESUMES_WITHIN = 10.0  # seconds after Valkey's return


def sending(it: Scene, people: int = 600, rate: int = 60) -> None:
    """A brand whose texts need some ten seconds, and workers that are in the midst of it."""
    it.launch(it.brand("lime", "twilio", people=people, rate=rate))
    it.stop_people(0.05)
    it.staff(2)
    it.wait_for(lambda: len(it.ids(State.ACCEPTED)) > 20, "text")


def resumes(it: Scene) -> float:
    """Seconds until something that was still queued has been accepted."""
    accepted = len(it.ids(State.ACCEPTED))
    assert QueuedText.objects.filter(brand__in=it.brands).exists(), "it was all sent before"
    return it.wait_for(lambda: len(it.ids(State.ACCEPTED)) > accepted, "text sent again", 15)


def finish(it: Scene, *, unknown: int | None = 0) -> None:
    it.settle()
    verdict = it.judge()
    assert unknown is None or verdict.unknown <= unknown


def test_f5_valkey_is_killed_and_stays_away(scene: Callable[..., Scene]) -> None:
    with scene("F5 Valkey killed and away") as it:
        sending(it)
        with it.crash():
            it.installation.kill_valkey()
        it.wait_for(lambda: not it.ids(State.SENDING), "end of what was on its way")
        accepted = len(it.ids(State.ACCEPTED))
        it.hold_still(60.0 if LONG else 4.0)
        assert len(it.ids(State.ACCEPTED)) == accepted, "sent without knowing the rate"
        it.installation.revive()
        assert resumes(it) < RESUMES_WITHIN
        finish(it)


@pytest.mark.long
def test_f5_valkey_forgets_everything(scene: Callable[..., Scene]) -> None:
    with scene("F5 FLUSHALL") as it:
        sending(it)
        for _ in range(5):
            with it.crash():
                it.installation.doorbell().flushall()
            assert resumes(it) < RESUMES_WITHIN
        finish(it)


@pytest.mark.long
def test_f5_valkey_has_no_memory_left(scene: Callable[..., Scene]) -> None:
    with scene("F5 Valkey's memory full") as it:
        sending(it)
        doorbell = it.installation.doorbell()
        with it.crash():
            doorbell.config_set("maxmemory", 1)
        try:
            it.wait_for(lambda: not it.ids(State.SENDING), "end of what was on its way")
            accepted = len(it.ids(State.ACCEPTED))
            it.hold_still(5.0)
            assert len(it.ids(State.ACCEPTED)) == accepted, "sent without counting"
        finally:
            doorbell.config_set("maxmemory", 0)
        assert resumes(it) < RESUMES_WITHIN
        finish(it)


@pytest.mark.long
@pytest.mark.parametrize(
    ("what", "command"),
    [("enqueue", b"RPUSH"), ("ring", b"ZADD"), ("turn", b"ZPOPMIN"), ("dequeue", b"LMOVE")],
)
def test_f6_a_reply_is_lost(scene: Callable[..., Scene], what: str, command: bytes) -> None:
    """Valkey did it, and whoever asked does not know: asking again must be harmless."""
    with scene(f"F6 lost reply on {what}") as it:
        sending(it, people=300)
        it.lose_answers(it.installation.valkey, command, times=3, within=5.0)
        finish(it)


@pytest.mark.long
def test_f6_rings_that_nobody_asked_for_are_harmless(scene: Callable[..., Scene]) -> None:
    with scene("F6 a hundred rings") as it:
        sending(it, people=300)
        for _ in range(100):
            queues.queue_of(it.brands[0].pk).enqueue(queues.DRAIN, it.brands[0].pk)
        finish(it)


@pytest.mark.long
def test_f6_the_wire_to_valkey_breaks_again_and_again(scene: Callable[..., Scene]) -> None:
    with scene("F6 cut wire to Valkey") as it:
        sending(it)
        for _ in range(10):
            with it.crash(wait=it.random.random()):
                it.installation.valkey.cut()
        with it.crash(wait=1.0):
            it.installation.valkey.swallow = True
        it.installation.valkey.heal()
        it.installation.valkey.cut()
        assert resumes(it) < RESUMES_WITHIN
        finish(it)
