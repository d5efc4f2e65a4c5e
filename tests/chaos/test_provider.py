"""F9 and F10: everything that a provider can do wrong, to real workers, all at once."""

from collections import Counter
from collections.abc import Callable

import pytest

from sending.models import Sender, SentLog, State
from subscribers.models import Suppression
from tests import sending_world as world
from tests.chaos.conftest import LONG
from tests.chaos.scene import Scene

# Last four digits of a number -> the states in which its text may end (the carrier's own table).
OUTCOMES = {
    "0429": {State.ACCEPTED},
    "0503": {State.ACCEPTED},
    "0500": {State.UNKNOWN},
    "0501": {State.UNKNOWN},
    "0408": {State.UNKNOWN},
    "0409": {State.UNKNOWN},
    "0104": {State.UNKNOWN},
    "0105": {State.UNKNOWN},
    "0201": {State.UNKNOWN},
    "0400": {State.FAILED},
    "0610": {State.FAILED},
}
ITEMS = ("0400", "0610", "0200")  # those that concern one text of a bulk call
# Any 200 without an error is Lime's yes, whatever its body is (providers.md).
LIME_DIFFERS = {"0201": {State.ACCEPTED}}
SHAPES = ("short", "long", "reordered", "duplicated", "foreign")


@pytest.mark.long
@pytest.mark.parametrize("gateway", ["lime", "twilio"])
def test_f9_each_outcome_is_what_the_table_says(scene: Callable[..., Scene], gateway: str) -> None:
    with scene(f"F9 magic numbers of {gateway}") as it:
        numbers = [world.number(digits) for digits in OUTCOMES for _ in range(5)]
        numbers += [world.number() for _ in range(100)]
        brand = it.brand(gateway, people=numbers, rate=200)
        it.launch(brand)
        it.staff(2)
        it.settle(within=120)
        it.in_doubt = it.ids(State.UNKNOWN)  # no crash here: the carrier's doing
        it.judge()

        table = OUTCOMES | LIME_DIFFERS if gateway == "lime" else OUTCOMES
        for text in SentLog.objects.filter(brand=brand):
            allowed = table.get(text.phone[-4:], {State.ACCEPTED})
            assert text.state in allowed, f"{text.phone[-4:]} ended as {text.state}"


@pytest.mark.long
@pytest.mark.parametrize("shape", SHAPES)
def test_f10_a_bulk_answer_of_a_wrong_shape(scene: Callable[..., Scene], shape: str) -> None:
    with scene(f"F10 {shape} bulk answer") as it:
        it.turn(bulk_shape=shape, gateway="mitto")
        # Mitto's answer names no recipients: a reordered one shows only where all were accepted.
        items = () if shape == "reordered" else ITEMS
        numbers = [world.number(digits) for digits in items] + [world.number() for _ in range(600)]
        it.launch(it.brand("mitto", people=numbers, rate=2000))
        it.staff(2)
        it.settle()
        it.in_doubt = it.ids(State.UNKNOWN)
        it.judge()


@pytest.mark.long
def test_f9_errors_of_all_kinds_while_workers_die(scene: Callable[..., Scene]) -> None:
    """A third of the calls go wrong, each gateway's in its own way, while workers are killed."""
    with scene("F9 errors under kills") as it:
        wrong = {
            "lime": {"error_ending": "hang", "error_accepts": True, "hang": 4},
            "mitto": {"error_status": 429, "error_retry_after": 1},
            "twilio": {"error_ending": "cut", "error_accepts": True},
        }
        for gateway, knobs in wrong.items():
            it.turn(gateway=gateway, error_rate=0.3, **knobs)
            people = 300 if LONG else 60
            it.launch(it.brand(gateway, people=people, rate=50 if LONG else 30))
        workers = it.staff(3)
        it.wait_for(lambda: it.ids(State.ACCEPTED), "text")
        for _ in range(10 if LONG else 3):
            it.kill(workers.pop(0), wait=0.25)
            workers.append(it.start("worker"))
        it.settle(within=120)
        it.in_doubt |= it.ids(State.UNKNOWN)  # most are the carrier's doing
        it.judge()


@pytest.mark.long
def test_f9_refused_credentials_stop_the_sender_and_lose_nothing(
    scene: Callable[..., Scene],
) -> None:
    with scene("F9 401") as it:
        brand = it.brand("twilio", people=100, rate=200)
        Sender.objects.filter(brand=brand).update(rate=50)
        it.turn(error_rate=1, error_status=401)
        it.launch(brand)
        it.staff(2)
        it.wait_for(
            lambda: Sender.objects.filter(brand=brand, status=Sender.Status.STOPPED).exists(),
            "stopped sender",
        )
        it.wait_for(lambda: not it.ids(State.SENDING), "end of what was on its way")
        assert set(Counter(it.states())) == {State.PLANNED}
        it.turn(error_rate=0)
        Sender.objects.filter(brand=brand).update(status=Sender.Status.ACTIVE)
        it.settle()
        it.judge()
        assert it.verdict.unknown == 0


@pytest.mark.long
def test_f9_the_carrier_is_cut_refuses_and_is_slow(scene: Callable[..., Scene]) -> None:
    with scene("F9 carrier cut and away") as it:
        it.launch(it.brand("lime", "mitto", "twilio", people=600, rate=40))
        it.stop_people(0.05)
        it.staff(2)
        it.wait_for(lambda: it.ids(State.ACCEPTED), "text")
        provider = it.installation.provider
        for _ in range(6):
            with it.crash(wait=0.6):
                provider.cut()
        with it.crash(wait=0.6):
            provider.refuse()
            it.hold_still(2.0)
        provider.heal()
        with it.crash(wait=3.0):  # longer than a call may take
            provider.delay = 1.5
        provider.heal()
        it.in_doubt |= it.ids(State.SENDING)
        it.settle(within=120)
        it.judge()


@pytest.mark.long
def test_f9_a_provider_says_too_fast_while_valkey_is_away(scene: Callable[..., Scene]) -> None:
    """The rest that a sender is to take cannot be written down: no reason to stop working."""
    with scene("F9 429 without Valkey") as it:
        it.turn(latency=1.0, error_rate=0.5, error_status=429, error_retry_after=1)
        it.launch(it.brand("twilio", people=100, rate=200, in_flight=20))
        workers = it.staff(2)
        it.wait_for(lambda: it.ids(State.SENDING), "text on its way")
        with it.crash(wait=1.5):
            it.installation.kill_valkey()
        it.installation.revive()
        it.turn(error_rate=0)
        it.settle()
        it.judge()

        assert it.verdict.unknown == 0
        assert all(worker.lives() for worker in workers)


@pytest.mark.long
def test_f9_who_opted_out_at_the_provider_is_suppressed_though_postgresql_hangs_up(
    scene: Callable[..., Scene],
) -> None:
    with scene("F9 suppression over a cut wire") as it:
        numbers = [world.number("0610") for _ in range(20)]
        brand = it.brand("twilio", people=numbers)
        it.staff(1)
        assert it.lose_answers(
            it.installation.database, b"INSERT INTO subscribers_suppression", times=3, within=15.0,
            meanwhile=lambda: it.launch(brand),
        )  # fmt: skip
        it.settle()
        it.judge()

        suppressed = Suppression.objects.filter(brand=brand)
        it.wait_for(lambda: suppressed.count() == len(numbers), "suppression of everybody")
