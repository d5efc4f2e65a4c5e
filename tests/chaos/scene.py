"""One scenario: brands with people, the processes that text them, and what befalls them."""

from __future__ import annotations

import contextlib
import datetime as dt
import itertools
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from uuid import UUID

from django.db import InterfaceError, OperationalError, close_old_connections, connection
from django.test import override_settings

from campaigns import lifecycle
from campaigns.models import Campaign, Message, PlatformPolicy
from sending import credits
from sending.models import Departure, QueuedText, SentLog, State
from subscribers import clock, consent
from subscribers.models import Brand, ConsentSource, Subscriber, Workspace
from tests import sending_world as world
from tests.chaos.installation import Installation
from tests.chaos.nursery import Process
from tests.chaos.proxy import On, Proxy
from tests.chaos.verdict import Verdict, balance, judge

_numbers = itertools.count(1)


class Scene:
    """Use it as a context: its processes are ended, and everything healed, whatever happens."""

    def __init__(self, installation: Installation, name: str, seed: int) -> None:
        self.installation = installation
        self.random = random.Random(seed)
        self.verdict = Verdict(name, seed)
        self.brands: list[Brand] = []
        self.people: dict[int, list[Subscriber]] = {}  # by brand
        self.processes: list[Process] = []
        self.stopped: dict[int, dt.datetime] = {}
        self.in_doubt: set[UUID] = set()  # in flight at one of the crashes
        self._began = time.monotonic()
        self._ledger = installation.log.stat().st_size
        self._threads: list[threading.Thread] = []
        self._over = threading.Event()

    def __enter__(self) -> Scene:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._over.set()
        for process in self.processes:
            process.signal(signal.SIGCONT)
            process.kill()
        for thread in self._threads:
            thread.join(30)
        self.installation.heal()
        # What a failed scenario leaves must not trouble the next one.
        QueuedText.objects.all().delete()
        Departure.objects.all().delete()
        Campaign.objects.filter(status=Campaign.Status.RUNNING).update(status="completed")
        PlatformPolicy.objects.update(sending_enabled=True)
        self.installation.doorbell().flushall()

    # --- who is texted

    def brand(
        self, *gateways: str, people: int | Sequence[str], rate: int = 500, in_flight: int = 10
    ) -> Brand:
        """A brand with a sender on each gateway and people who opted in; nothing is launched."""
        number = next(_numbers)
        workspace = Workspace.objects.create(slug=f"chaos_{number}", name=f"Chaos {number}")
        credits.grant(workspace, 1_000_000, note="chaos", actor="chaos", reference=workspace.slug)
        brand = world.make_brand(f"chaos{number}", workspace=workspace, pause_at_errors=None)
        for gateway in gateways:
            world.make_sender(brand, gateway, rate=rate, in_flight=in_flight)
        self.people[brand.pk] = world.make_people(brand, people)
        self.brands.append(brand)
        return brand

    def launch(self, brand: Brand, words: str = "{{ brand }}: the sale is on.") -> Campaign:
        """A broadcast to everybody of a brand; the ticker finds it."""
        campaign = Campaign.objects.create(brand=brand, name="Sale")
        Message.objects.create(
            campaign=campaign, body=f"{words} No. {campaign.pk}. Reply STOP to opt out."
        )
        with override_settings(LAUNCH_CHECKS=["sending.costs.check_launch"]):  # not the lint
            lifecycle.launch(campaign, now=clock.now())
        self.verdict.texts += len(self.people[brand.pk])
        return campaign

    def turn(self, **knobs: Any) -> None:
        """Change the carrier's behaviour."""
        self.installation.carrier.post("/_carrier/knobs", knobs)

    # --- what runs

    def start(self, *arguments: str) -> Process:
        """Start a process of the nursery."""
        process = self.installation.start(*arguments)
        self.processes.append(process)
        return process

    def start_anew(self, *arguments: str, **environment: str) -> Process:
        """Start a process with an interpreter and an environment of its own."""
        process = self.installation.start_anew(*arguments, **environment)
        self.processes.append(process)
        return process

    def staff(self, workers: int, tickers: int = 1) -> list[Process]:
        """Start tickers and workers; answers the workers."""
        for _ in range(tickers):
            self.start("ticker")
        return [self.start("worker") for _ in range(workers)]

    def named(self, name: str) -> list[Process]:
        """The processes of one kind; dead ones are replaced first."""
        self.replace_the_dead()
        return [process for process in self.processes if process.name == name]

    def replace_the_dead(self) -> None:
        """What a supervisor does: whoever died is started again."""
        for process in self.processes[:]:
            if not process.lives():
                self.processes.remove(process)
                self.start(*process.name.split())

    def stop_people(self, share: float, *, pause: float = 0.02) -> None:
        """In a thread: that share of everybody says STOP, one after the other, in random order."""
        everybody = [(brand, one) for brand in self.brands for one in self.people[brand.pk]]
        chosen = self.random.sample(everybody, int(len(everybody) * share))

        def say() -> None:
            for brand, person in chosen:
                if self._over.wait(pause):
                    return
                self.say_stop(brand, person)

        self.beside(say)

    def say_stop(self, brand: Brand, person: Subscriber) -> None:
        """One person says STOP; the time of its commit is kept."""
        while not self._over.is_set():
            with patience():
                consent.opt_out(
                    brand.workspace, person.phone, brand=brand, at=clock.now(),
                    source=ConsentSource.KEYWORD, reason="a test",
                )  # fmt: skip
                self.stopped[person.pk] = clock.now()
                return

    def beside(self, work: Callable[[], None]) -> threading.Thread:
        """Do something in a thread with a database connection of its own."""

        def run() -> None:
            try:
                work()
            finally:
                connection.close()

        thread = threading.Thread(target=run)
        self._threads.append(thread)
        thread.start()
        return thread

    # --- what befalls them

    @contextlib.contextmanager
    def crash(self, *, of_process: bool = False, wait: float = 0.1) -> Iterator[None]:
        """Something is killed or cut inside: notes what was in flight, `wait` seconds after it.

        A killed process leaves its texts `sending` until they are reaped. A cut wire may settle
        their fate at once: what became unknown meanwhile was in flight as well.
        """
        self.verdict.kills += 1
        before = set() if of_process else self.ids(State.UNKNOWN)
        yield
        time.sleep(wait)
        self.in_doubt |= self.ids(State.SENDING)
        if not of_process:
            self.in_doubt |= self.ids(State.UNKNOWN) - before

    def lose_answers(
        self, proxy: Proxy, pattern: bytes, *, times: int = 1, after: bytes = b"",
        within: float = 3.0, meanwhile: Callable[[], Any] = lambda: None,
    ) -> bool:  # fmt: skip
        """Answers that never come, and connections cut. Tells whether all of it happened."""
        with self.crash(wait=0.5):
            trap = proxy.trap(pattern, On.ANSWER, after=after, times=times)
            meanwhile()
            trap.done.wait(within)
            proxy.disarm(trap)
        return trap.done.is_set()

    def kill(self, process: Process, *, wait: float = 0.1) -> None:
        """SIGKILL a worker or a ticker."""
        with self.crash(of_process=True, wait=wait):
            process.kill()
        self.processes.remove(process)

    def ids(self, *states: str) -> set[UUID]:
        """The texts of this scene in these states; waits for PostgreSQL to be there."""
        for _ in range(300):
            with patience():
                rows = SentLog.objects.filter(brand__in=self.brands, state__in=states)
                return set(rows.values_list("id", flat=True))
        raise AssertionError("PostgreSQL does not come back")

    # --- how it ends

    def wait_for(self, condition: Callable[[], Any], what: str, within: float = 30.0) -> float:
        """Wait until something holds; answers after how many seconds."""
        began = time.monotonic()
        while time.monotonic() - began < within:
            with patience():
                if condition():
                    return time.monotonic() - began
            time.sleep(0.02)
        raise AssertionError(f"in {within:.0f} s there was no {what}: {self.states()}")

    def hold_still(self, seconds: float) -> None:
        """Let some time pass."""
        time.sleep(seconds)

    def settle(self, within: float = 60.0) -> None:
        """Wait until everything is planned and nothing is queued or on its way."""
        with contextlib.suppress(AssertionError):  # the verdict says what is left
            self.wait_for(self._is_quiet, "quiet", within)

    def _is_quiet(self) -> bool:
        self.replace_the_dead()
        rows = SentLog.objects.filter(brand__in=self.brands)
        return (
            rows.count() >= self.verdict.texts
            and not QueuedText.objects.filter(brand__in=self.brands).exists()
            and not rows.filter(state=State.SENDING).exists()
            and not Departure.objects.filter(brand__in=self.brands).exists()
        )

    def give_up_the_rest(self) -> None:
        """What waits for another day ends as cancelled, by its campaigns."""
        for brand in self.brands:
            for campaign in brand.campaigns.filter(status=Campaign.Status.RUNNING):
                lifecycle.cancel(campaign)
        self.settle()

    def accepted(self) -> list[dict[str, Any]]:
        """What the carrier accepted of this scene."""
        return self.installation.accepted(self._ledger)

    def states(self) -> dict[str, int]:
        """How many texts are in each state, by (state, reason)."""
        return dict(world.states(brand__in=self.brands))

    def judge(self) -> Verdict:
        """The four conditions. Raises AssertionError with the figures where one is broken."""
        self._over.set()
        self.verdict.seconds = round(time.monotonic() - self._began, 1)
        judge(
            self.verdict,
            brands=self.brands,
            ledger=self.accepted(),
            stopped=self.stopped,
            in_doubt=self.in_doubt,
        )
        balance(self.verdict, self.brands)
        print(self.verdict.line())  # noqa: T201 - a failed test shows it, and `pytest -rP`
        assert not self.verdict.wrong, self.verdict.line()
        return self.verdict


@contextlib.contextmanager
def patience() -> Iterator[None]:
    """PostgreSQL may be away: pass over it, and connect again the next time."""
    close_old_connections()
    try:
        yield
    except (OperationalError, InterfaceError):
        connection.close()
        time.sleep(0.1)
