"""The network's side of the pipeline: a feed of calls, and a deque of what came back.

Runs in a thread of its own and touches neither the database nor Valkey.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.conf import settings

from sending.gateways.base import (
    Call,
    Fate,
    Gateway,
    NoAnswer,
    Outcome,
    Text,
    without_answer,
)
from sending.gateways.transport import Transport
from sending.tallies import Tally
from subscribers.models import Brand

MOST_IN_FLIGHT = 1000  # calls of one process; each sender has its own, lower limit
CALL_TIMEOUT = settings.SENDING_CALL_TIMEOUT_SECONDS  # for one whole call
MUCH_NEWS = 500  # answers that wake the other thread at once


@dataclass(slots=True)
class Batch:
    """A departure whose texts are not all answered for."""

    brand: Brand
    token: UUID
    last_start: float  # on the monotonic clock: no call of it starts later
    unanswered: int


@dataclass(frozen=True, slots=True)
class Flight:
    """What a call belongs to. `in_flight`: the sender's calls at the same time, at most."""

    batch: Batch
    sender_id: int
    gateway: Gateway
    in_flight: int


class Wire:
    """A transport's feed. `add` is called by the thread that knows the database, the rest by ours."""

    def __init__(self) -> None:
        self.closed = False
        self.tally = Tally()  # replaced when it is noted; a call may then be counted by nobody
        self.landed: Counter[int] = Counter()  # texts whose call has ended, by sender
        self.answers: deque[tuple[Batch, Outcome]] = deque()
        self.news = threading.Event()
        self._lock = threading.Lock()  # of the two below: a sender's entry comes and goes
        self._ready: dict[int, deque[Call]] = {}
        self._flights: dict[int, Flight] = {}
        self._flying: Counter[int] = Counter()

    def add(self, calls: Sequence[Call], flight: Flight) -> None:
        """Calls of one sender, to be made as soon as there is room."""
        with self._lock:
            for call in calls:
                self._flights[id(call)] = flight
            self._ready.setdefault(flight.sender_id, deque()).extend(calls)

    def refuse(self, texts: Sequence[Text], batch: Batch) -> None:
        """No call could be made of these texts: they are tried again, as ever 5 times at most."""
        told = [Outcome(text.id, Fate.RETRY, code="malformed-request") for text in texts]
        self.answers.extend((batch, outcome) for outcome in told)

    def stream(self, transport: Transport) -> None:
        """Make all calls until the feed is closed and everything has landed."""
        answers = transport.stream(self, in_flight=MOST_IN_FLIGHT, timeout=CALL_TIMEOUT)
        for call, answer in answers:
            flight = self._flights.pop(id(call))
            self._flying[flight.sender_id] -= 1
            if isinstance(answer, NoAnswer):
                told = without_answer(call, answer)
            else:
                told = flight.gateway.read(call, answer)
            self.answers.extend((flight.batch, outcome) for outcome in told)
            self.tally.add(flight.sender_id, told)
            self.landed[flight.sender_id] += len(call.texts)
            if len(self.answers) >= MUCH_NEWS:
                self.news.set()

    def open(self) -> bool:
        return not self.closed

    def take(self, room: int) -> list[Call]:
        """A round of the senders that have calls waiting, each within its own limit."""
        taken: list[Call] = []
        with self._lock:
            for sender_id, ready in list(self._ready.items()):
                limit = self._flights[id(ready[0])].in_flight - self._flying[sender_id]
                for _ in range(min(room - len(taken), limit, len(ready))):
                    self._flying[sender_id] += 1
                    taken.append(ready.popleft())
                if not ready:
                    del self._ready[sender_id]
        return taken

    def may_start(self, call: Call) -> bool:
        return time.monotonic() < self._flights[id(call)].batch.last_start

    def meanwhile(self) -> None:
        pass
