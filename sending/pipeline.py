"""One brand's texts from its queue to their answers, database and network at the same time.

The calling thread talks to PostgreSQL: it claims, passes the gate and writes answers down. A second
thread talks to the providers. While one batch is on the wire the next one is being claimed; between
the two threads there are only a deque in each direction.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from uuid import UUID

import structlog
from django.db import OperationalError, connection

from sending import outcomes, refusals, senders
from sending.gate import Departing
from sending.gateways import registry
from sending.gateways.base import Account, Call, Gateway, NoAnswer, Outcome, without_answer
from sending.gateways.transport import Transport
from sending.models import Sender
from sending.outcomes import Answered
from sending.queues import LEASE
from subscribers.models import Brand

log = structlog.get_logger("carillon.pipeline")

BATCH = 500
MOST_IN_FLIGHT = 1000  # calls of one process; each sender has its own, lower limit
MOST_IN_DOUBT = 2000  # departed texts of one sender and process that have no answer yet
CALL_TIMEOUT = 20.0  # seconds for one whole call
SPARE = 10.0  # seconds of the lease that are left for writing the last answers down
RECORD_EVERY = 0.25  # seconds: answers wait at most this long to be written down
NEWS_WAIT = 0.01  # seconds between two looks for answers
DATABASE_PATIENCE = 20.0  # seconds to wait for PostgreSQL to come back with answers in hand


@dataclass(slots=True)
class _Batch:
    """A departure whose texts are not all answered for."""

    token: UUID
    last_start: float  # on the monotonic clock: no call of it starts later
    unanswered: int


@dataclass(frozen=True, slots=True)
class _Flight:
    """What a call belongs to."""

    batch: _Batch
    sender_id: int
    gateway: Gateway


class _Wire:
    """The network's side: a feed of calls and a deque of what came back. Runs in its own thread."""

    def __init__(self) -> None:
        self.closed = False
        self.landed = 0  # texts whose call has ended
        self.answers: deque[tuple[_Batch, Outcome]] = deque()
        self.news = threading.Event()
        self._ready: dict[int, deque[Call]] = {}
        self._room: dict[int, int] = {}
        self._flying: Counter[int] = Counter()
        self._flights: dict[int, _Flight] = {}

    def add(self, calls: Sequence[Call], flight: _Flight, in_flight: int) -> None:
        """Called by the other thread: calls of one sender, at most `in_flight` of them at a time."""
        for call in calls:
            self._flights[id(call)] = flight
        self._room[flight.sender_id] = in_flight
        self._ready.setdefault(flight.sender_id, deque()).extend(calls)

    def stream(self) -> None:
        """Make all calls until the feed is closed and everything has landed."""
        answers = _kept_transport().stream(self, in_flight=MOST_IN_FLIGHT, timeout=CALL_TIMEOUT)
        for call, answer in answers:
            flight = self._flights.pop(id(call))
            self._flying[flight.sender_id] -= 1
            if isinstance(answer, NoAnswer):
                told = without_answer(call, answer)
            else:
                told = flight.gateway.read(call, answer)
            self.answers.extend((flight.batch, outcome) for outcome in told)
            self.landed += len(call.texts)
            if len(self.answers) >= BATCH:
                self.news.set()

    def open(self) -> bool:
        return not self.closed

    def take(self, room: int) -> list[Call]:
        taken: list[Call] = []
        for sender_id, ready in list(self._ready.items()):
            free = min(room - len(taken), self._room[sender_id] - self._flying[sender_id])
            for _ in range(min(free, len(ready))):
                call = ready.popleft()
                self._flying[sender_id] += 1
                taken.append(call)
        return taken

    def may_start(self, call: Call) -> bool:
        return time.monotonic() < self._flights[id(call)].batch.last_start

    def meanwhile(self) -> None:
        pass


class Pipeline:
    """The database's side of one drain."""

    def __init__(self, brand: Brand) -> None:
        self._brand = brand
        self._wire = _Wire()
        self._written = time.monotonic()
        self.handed_over = 0

    def room(self, of: Sequence[Sender]) -> int:
        """How many more texts may depart: what the senders' calls can carry, and a quarter more.

        Every departed text that has no answer is in doubt when the process dies, so no more depart
        than keep the network busy. 0 until there is room for a batch that is worth its queries.
        """
        carried = sum(
            min(sender.in_flight * registry.get(sender.gateway).texts_per_call, MOST_IN_DOUBT)
            for sender in of
        )
        room = carried + carried // 4 + 1 - (self.handed_over - self._wire.landed)
        return room if room >= min(BATCH, carried // 2) else 0

    def send(
        self, token: UUID, departing: Sequence[Departing], by_id: Mapping[int, Sender],
        lease_began: float,
    ) -> None:  # fmt: skip
        """Hand departed texts to the network. `lease_began` is on the monotonic clock."""
        last_start = lease_began + LEASE.total_seconds() - CALL_TIMEOUT - SPARE
        batch = _Batch(token, last_start, len(departing))
        for sender_id in {one.sender_id for one in departing}:
            sender = by_id[sender_id]
            gateway = registry.get(sender.gateway)
            texts = [one.text for one in departing if one.sender_id == sender_id]
            calls = gateway.calls(texts, account(self._brand, sender))
            self._wire.add(calls, _Flight(batch, sender_id, gateway), sender.in_flight)
        self.handed_over += len(departing)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Run the network thread. What has departed is waited for and written down at the end."""
        wire = _network().submit(self._wire.stream)
        try:
            yield
        finally:
            self._wire.closed = True
            while not wire.done():
                self.write(wait=NEWS_WAIT)
            self.write(everything=True)
            wire.result()

    def write(self, *, wait: float = 0.0, everything: bool = False) -> None:
        """Write down what came back: at once when it is much, else every quarter of a second."""
        if wait:
            self._wire.news.wait(wait)
            self._wire.news.clear()
        due = everything or time.monotonic() - self._written > RECORD_EVERY
        while len(self._wire.answers) >= (1 if due else BATCH):
            self._write_down()
        if due:
            self._written = time.monotonic()

    def _write_down(self) -> None:
        waiting = self._wire.answers
        told = [waiting.popleft() for _ in range(min(BATCH, len(waiting)))]
        arrived = []
        for batch, _ in told:
            batch.unanswered -= 1
            if not batch.unanswered:
                arrived.append(batch.token)
        answers = [Answered(batch.token, outcome) for batch, outcome in told]
        patiently(lambda: outcomes.record(answers, arrived=arrived))
        refusals.heed(self._brand, [outcome for _, outcome in told])


def account(brand: Brand, sender: Sender) -> Account:
    """What the adapter may know of a sender."""
    return Account(
        base_url=brand.provider_url(sender.gateway),
        address=sender.address,
        credentials=sender.credentials,
        callback_url=senders.callback_url(sender),
    )


def patiently(write: Callable[[], None]) -> None:
    """Write answers down even when PostgreSQL goes away for some seconds: only we know them.

    `write` is repeated until it succeeds or the patience ends; it must be harmless to repeat.
    """
    until = time.monotonic() + DATABASE_PATIENCE
    while True:
        try:
            write()
        except OperationalError:
            if time.monotonic() > until:
                raise
            log.warning("database_away")
            connection.close()
            time.sleep(0.5)
        else:
            return


_executor: ThreadPoolExecutor | None = None
_transport: Transport | None = None


def _network() -> ThreadPoolExecutor:
    """The process's one network thread: connections are kept from drain to drain."""
    global _executor  # noqa: PLW0603 - it must not be made before the process forks
    if _executor is None:
        _executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="network")
    return _executor


def _kept_transport() -> Transport:
    global _transport  # noqa: PLW0603 - made in the network thread, at its first call
    if _transport is None:
        _transport = Transport()
    return _transport
