"""Random crash runs: a few hundred texts, and misfortunes of all kinds drawn from a seed.

RUNS=n asks for so many runs, SEED=n alone repeats that one.
"""

import os
import signal
import time
from collections.abc import Callable

import pytest

from tests.chaos.conftest import LONG, SEED
from tests.chaos.scene import Scene

BUDGET = 540.0  # seconds; without RUNS, what is more than a hundred runs must fit in
STARTED = time.monotonic()
RUNS = int(os.environ.get("RUNS") or ("120" if LONG and not os.environ.get("SEED") else "1"))
COMMANDS = (b"RPUSH", b"ZADD", b"ZPOPMIN", b"LMOVE", b"EVALSHA")
STATEMENTS = (
    b"INSERT INTO sending_departure",
    b"INSERT INTO sending_sentlog",
    b"SET provider_message_id",
    b"worker_lost",
)


def kill_one(it: Scene, name: str) -> None:
    """SIGKILL, and a new one in its place."""
    it.kill(it.random.choice(it.named(name)))
    it.start(name)


def kill_a_worker(it: Scene) -> None:
    kill_one(it, "worker")


def kill_everybody(it: Scene) -> None:
    with it.crash(of_process=True):
        for process in it.processes[:]:
            process.kill()


def kill_the_ticker(it: Scene) -> None:
    kill_one(it, "ticker")


def restart_a_worker(it: Scene) -> None:
    it.verdict.kills += 1
    worker = it.random.choice(it.named("worker"))
    worker.signal(signal.SIGTERM)
    if it.random.random() < 0.5:
        return
    it.hold_still(it.random.uniform(0, 0.2))
    it.kill(worker)  # by somebody who is in a hurry
    it.start("worker")


def freeze_a_worker(it: Scene) -> None:
    worker = it.random.choice(it.named("worker"))
    with it.crash(of_process=True):
        worker.signal(signal.SIGSTOP)
    seconds = it.random.choice((0.5, 3.0, 9.0))  # within its lease, and past it
    it.beside(lambda: (it.hold_still(seconds), worker.signal(signal.SIGCONT)))


def cut_postgresql(it: Scene) -> None:
    with it.crash(wait=0.3):
        it.installation.database.cut()


def lose_a_commit(it: Scene) -> None:
    it.lose_answers(it.installation.database, b"COMMIT", after=it.random.choice(STATEMENTS))


def stop_postgresql(it: Scene) -> None:
    with it.crash():
        it.installation.stop_postgresql()
        it.hold_still(it.random.uniform(0, 2))
        it.installation.revive()


def cut_valkey(it: Scene) -> None:
    with it.crash():
        it.installation.valkey.cut()


def lose_replies_of_valkey(it: Scene) -> None:
    command, times = it.random.choice(COMMANDS), it.random.randint(1, 3)
    it.lose_answers(it.installation.valkey, command, times=times)


def flush_valkey(it: Scene) -> None:
    with it.crash():
        it.installation.doorbell().flushall()


def kill_valkey(it: Scene) -> None:
    with it.crash():
        it.installation.kill_valkey()
        it.hold_still(it.random.uniform(0, 2))
        it.installation.revive()


def cut_the_carrier(it: Scene) -> None:
    with it.crash(wait=0.4):
        it.installation.provider.cut()


def lose_answers_of_the_carrier(it: Scene) -> None:
    times = it.random.randint(1, 5)
    it.lose_answers(it.installation.provider, b"HTTP/1.1", times=times)


def refuse_at_the_carrier(it: Scene) -> None:
    with it.crash(wait=0.4):
        it.installation.provider.refuse()
        it.hold_still(it.random.uniform(0, 1))
        it.installation.provider.heal()


MISFORTUNES = {
    kill_a_worker: 8, kill_everybody: 2, kill_the_ticker: 2, restart_a_worker: 2,
    freeze_a_worker: 2, cut_postgresql: 2, lose_a_commit: 4, stop_postgresql: 1, cut_valkey: 2,
    lose_replies_of_valkey: 3, flush_valkey: 2, kill_valkey: 1, cut_the_carrier: 2,
    lose_answers_of_the_carrier: 2, refuse_at_the_carrier: 2,
}  # fmt: skip


@pytest.mark.parametrize("seed", range(SEED, SEED + RUNS))
def test_a_random_run(scene: Callable[..., Scene], seed: int) -> None:
    if not os.environ.get("RUNS") and seed >= SEED + 100 and time.monotonic() - STARTED > BUDGET:
        pytest.skip("the ten minutes are over")
    with scene("random", seed) as it:
        draw = it.random
        it.turn(latency=draw.choice((0, 0.02, 0.2)), seed=seed)
        seconds = draw.uniform(3, 6)  # that it would take if nothing happened
        for _ in range(draw.randint(1, 3)):
            gateways = draw.sample(("lime", "mitto", "twilio"), draw.randint(1, 3))
            people = draw.randint(80, 160)
            rate = round(people / len(gateways) / seconds) + 1
            it.launch(
                it.brand(*gateways, people=people, rate=rate, in_flight=draw.choice((3, 10, 30)))
            )
        it.stop_people(draw.choice((0, 0.05, 0.2)))
        it.staff(draw.randint(1, 4))
        for _ in range(draw.randint(1, 4)):
            it.hold_still(draw.uniform(0, 1.3))
            it.replace_the_dead()
            (misfortune,) = draw.choices(list(MISFORTUNES), list(MISFORTUNES.values()))
            print(misfortune.__name__)  # noqa: T201 - shown when the run fails
            misfortune(it)
        it.settle()
        it.judge()
