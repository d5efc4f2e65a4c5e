"""Texts from their queues to their answers, database and network at the same time.

The calling thread talks to PostgreSQL: it lets batches depart and writes answers down. A second one
(`wire.py`) talks to the providers. While one batch is on the wire the next one is being claimed, of
the same brand or of another: a provider that hangs holds up its own texts only.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import structlog
from django.db import OperationalError, connection

from sending import gate, outcomes, refusals, senders, tallies
from sending.gateways import registry
from sending.gateways.base import Account, Text
from sending.gateways.transport import Transport
from sending.models import Sender
from sending.outcomes import Answered
from sending.queues import LEASE
from sending.tallies import Tally
from sending.wire import CALL_TIMEOUT, Batch, Flight, Wire
from subscribers.models import Brand

log = structlog.get_logger("carillon.pipeline")

BATCH = 500
MOST_IN_DOUBT = 2000  # departed texts of one sender and process that have no answer yet
SPARE = LEASE.total_seconds() / 6  # left for writing the last answers down
RECORD_EVERY = 0.25  # seconds: answers wait at most this long to be written down
NEWS_WAIT = 0.01  # seconds between two looks for answers
DATABASE_PATIENCE = 20.0  # seconds to wait for PostgreSQL to come back with answers in hand


class Pipeline:
    """The database's side. Use it in one thread, inside `running()`."""

    def __init__(self) -> None:
        self._wire = Wire()
        self._streaming: Future[None] | None = None
        self._departed: Counter[int] = Counter()  # texts, by sender
        self._written = time.monotonic()

    def room(self, of: Sequence[Sender]) -> int:
        """How many more texts of these senders may depart: what their calls carry, and a quarter.

        Every departed text that has no answer is in doubt when the process dies, so no more depart
        than keep the network busy. 0 until there is room for a batch that is worth its queries.
        """
        if self._streaming and self._streaming.done():
            self._streaming.result()  # raises what ended it: nothing may depart into the void
        carried = doubtful = 0
        for sender in of:
            calls = sender.in_flight * registry.get(sender.gateway).texts_per_call
            carried += min(calls, MOST_IN_DOUBT)
            doubtful += self._departed[sender.pk] - self._wire.landed[sender.pk]
        room = carried + carried // 4 + 1 - doubtful
        return room if room >= min(BATCH, carried // 2) else 0

    def send(self, passed: gate.Batch, by_id: Mapping[int, Sender], *, lease_began: float) -> None:
        """Hand departed texts to the network. `lease_began` is on the monotonic clock."""
        last_start = lease_began + LEASE.total_seconds() - CALL_TIMEOUT - SPARE
        batch = Batch(passed.brand, passed.token, last_start, len(passed.departing))
        texts_of: dict[int, list[Text]] = defaultdict(list)
        for one in passed.departing:
            texts_of[one.sender_id].append(one.text)
        for sender_id, texts in texts_of.items():
            sender = by_id[sender_id]
            gateway = registry.get(sender.gateway)
            try:
                calls = gateway.calls(texts, account(passed.brand, sender))
            except Exception:
                # Certainly not sent, and other brands' texts have departed beside these.
                log.exception("calls_not_made", sender=sender_id)
                self._wire.refuse(texts, batch)
                continue
            self._departed[sender_id] += len(texts)
            self._wire.add(calls, Flight(batch, sender_id, gateway, sender.in_flight))

    @contextlib.contextmanager
    def running(self) -> Iterator[Pipeline]:
        """Run the network thread. What has departed is waited for and written down at the end."""
        self._streaming = _network().submit(lambda: self._wire.stream(_kept_transport()))
        try:
            yield self
        finally:
            self._wire.closed = True
            while not self._streaming.done():
                self.write(wait=NEWS_WAIT)
            self.write(everything=True)
            self._streaming.result()

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
            counted, self._wire.tally = self._wire.tally, Tally()
            tallies.note(counted)

    def _write_down(self) -> None:
        waiting = self._wire.answers
        told = [waiting.popleft() for _ in range(min(BATCH, len(waiting)))]
        for batch, _ in told:
            batch.unanswered -= 1
        arrived = list({batch.token for batch, _ in told if not batch.unanswered})
        answers = [Answered(batch.token, outcome) for batch, outcome in told]
        try:
            patiently(lambda: outcomes.record(answers, arrived=arrived))
        except BaseException:
            # Kept for the next try. Without them a later answer would end the departure, and with it
            # the only trace of these texts.
            for batch, _ in told:
                batch.unanswered += 1
            waiting.extendleft(reversed(told))
            raise
        heard = [(batch.brand, outcome) for batch, outcome in told]
        patiently(lambda: refusals.heed(heard))


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
