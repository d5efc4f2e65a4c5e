"""The loop of a worker: claim, pass the gate, hand over, record.

No transaction is open while a provider is called. Where the process dies, the rows say what is
known: before the gate the lease runs out and the text is due again; after it the reaper makes it
`unknown`.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from uuid import UUID

import structlog
from django.conf import settings

from sending import gate, limits, outcomes, queues, routing
from sending.gate import Departing
from sending.gateways import registry
from sending.gateways.base import Account, Call, Gateway, NoAnswer, Outcome, without_answer
from sending.gateways.transport import Transport
from sending.models import Sender, SentLog
from sending.queues import Leased
from subscribers import clock, consent
from subscribers.models import Brand, ConsentSource

log = structlog.get_logger("carillon.dispatch")

BATCH = 500
SLICE_SECONDS = 5.0  # a worker stays with one brand this long, then takes turns
CALL_TIMEOUT = 20.0  # seconds for one whole call; well below the lease
RECORD_EVERY = 0.25  # seconds: answers wait at most this long to be written down

_transport: Transport | None = None
_stopping = False


def stop() -> None:
    """Finish the batch that is on its way, start no other (SIGTERM)."""
    global _stopping  # noqa: PLW0603 - a signal handler has nowhere else to say it
    _stopping = True


def drain(brand_id: int, seconds: float = SLICE_SECONDS) -> int:
    """Send what is due for a brand, for a while; answers how many texts were handed over.

    This is the RQ job. Running it twice, or not at all, does no harm.
    """
    brand = Brand.objects.get(pk=brand_id)
    until = time.monotonic() + seconds
    handed_over = 0
    while time.monotonic() < until and not _stopping:
        sent = drain_batch(brand)
        if sent is None:
            return handed_over
        handed_over += sent
    queues.ring(brand_id)
    return handed_over


def drain_batch(brand: Brand) -> int | None:
    """Send one batch: how many texts were handed over, or None where nothing can be done now."""
    senders = routing.active_senders(brand)
    if not senders:
        log.warning("no_sender", brand=brand.slug)
        return None
    grants = {}
    wait = 1.0
    for sender in senders:
        grants[sender.pk], pause = limits.take(sender, BATCH)
        wait = min(wait, pause or 0.01)
    if not any(grants.values()):
        time.sleep(wait)
        return 0
    used: dict[int, int] = defaultdict(int)
    try:
        token, leased = queues.claim(brand.pk, at_most=min(BATCH, sum(grants.values())))
        if not leased:
            return None
        chosen = _choose(token, leased, senders, grants)
        kept = [one for one in leased if one.id in chosen]
        departing = gate.pass_gate(brand, token, kept, chosen) if kept else []
        for one in departing:
            used[one.sender_id] += one.segments
    finally:
        for sender in senders:
            limits.settle(sender, granted=grants[sender.pk], used=used[sender.pk])
    if departing:
        _hand_over(brand, token, departing, {sender.pk: sender for sender in senders})
    return len(departing)


def _choose(
    token: UUID, leased: Sequence[Leased], senders: Sequence[Sender], grants: Mapping[int, int]
) -> dict[UUID, Sender]:
    """The sender of each text; texts whose sender has no throughput left go back for a moment."""
    left = dict(grants)
    chosen, over = {}, []
    for one in leased:
        sender = routing.sender_for(str(one.subscriber_id or one.id), senders)
        if left[sender.pk] > 0:
            left[sender.pk] -= 1
            chosen[one.id] = sender
        else:
            over.append(one.id)
    if over:
        queues.give_back(token, over, seconds=0.5)
    return chosen


def _hand_over(
    brand: Brand, token: UUID, departing: Sequence[Departing], senders: Mapping[int, Sender]
) -> None:
    """Call the providers and write down their answers, a part at a time as they come."""
    started = time.monotonic()
    answers = _Answers(brand, token)
    for outcome in _exchange(brand, departing, senders, started, answers.write_if_due):
        answers.add(outcome)
    answers.write()
    outcomes.arrive(token)
    log.info(
        "batch",
        brand=brand.slug,
        texts=len(departing),
        ms=round((time.monotonic() - started) * 1000),
    )


class _Answers:
    """What came back and is not written down yet: for a moment at most."""

    def __init__(self, brand: Brand, token: UUID) -> None:
        self.brand, self.token = brand, token
        self.waiting: list[Outcome] = []
        self.written = time.monotonic()

    def add(self, outcome: Outcome) -> None:
        self.waiting.append(outcome)
        if len(self.waiting) >= BATCH:
            self.write()

    def write_if_due(self) -> None:
        if time.monotonic() - self.written > RECORD_EVERY:
            self.write()

    def write(self) -> None:
        _write_down(self.brand, self.token, self.waiting)
        self.waiting, self.written = [], time.monotonic()


def _exchange(
    brand: Brand,
    departing: Sequence[Departing],
    senders: Mapping[int, Sender],
    started: float,
    meanwhile: Callable[[], None],
) -> Iterator[Outcome]:
    """One outcome for each departing text. Nothing is started so late that the lease could end."""
    last_start = started + queues.LEASE.total_seconds() - CALL_TIMEOUT - 10
    by_sender: dict[int, list[Departing]] = defaultdict(list)
    for one in departing:
        by_sender[one.sender_id].append(one)
    gateway_of: dict[int, Gateway] = {}
    requests: list[Call] = []
    for sender_id, texts in by_sender.items():
        sender = senders[sender_id]
        gateway = registry.get(sender.gateway)
        made = gateway.calls([t.text for t in texts], account(brand, sender))
        gateway_of.update((id(call), gateway) for call in made)
        requests.extend(made)
    answers = _kept_transport().exchange(
        requests,
        in_flight=sum(senders[sender_id].in_flight for sender_id in by_sender),
        timeout=CALL_TIMEOUT,
        may_start=lambda: time.monotonic() < last_start,
        meanwhile=meanwhile,
    )
    for call, answer in answers:
        if isinstance(answer, NoAnswer):
            yield from without_answer(call, answer)
        else:
            yield from gateway_of[id(call)].read(call, answer)


def account(brand: Brand, sender: Sender) -> Account:
    """What the adapter may know of a sender."""
    return Account(
        base_url=brand.provider_url(sender.gateway),
        address=sender.address,
        credentials=sender.credentials,
        callback_url=f"{settings.PUBLIC_URL}/webhooks/{sender.gateway}/{sender.webhook_token}",
    )


def _write_down(brand: Brand, token: UUID, answers: Sequence[Outcome]) -> None:
    if not answers:
        return
    outcomes.record(token, answers)
    stopped = [outcome for outcome in answers if outcome.stop_sender]
    if stopped:
        _stop_senders(stopped)
    suppressed = [outcome for outcome in answers if outcome.suppress]
    if suppressed:
        _suppress(brand, suppressed)


def _stop_senders(refused: Sequence[Outcome]) -> None:
    reasons = {outcome.text_id: outcome for outcome in refused}
    rows = SentLog.objects.filter(id__in=list(reasons)).values_list("id", "sender_id")
    for sender_id, text_id in {sender: text for text, sender in rows}.items():
        outcome = reasons[text_id]
        routing.stop(sender_id, f"{outcome.code}: {outcome.detail or 'credentials refused'}")
        log.error("sender_stopped", sender=sender_id, code=outcome.code)


def _suppress(brand: Brand, refused: Sequence[Outcome]) -> None:
    """The provider says that these people opted out with it: believe it."""
    for text in SentLog.objects.filter(id__in=[outcome.text_id for outcome in refused]):
        consent.opt_out(
            brand.workspace,
            text.phone,
            brand=brand,
            at=clock.now(),
            source=ConsentSource.PROVIDER,
            reason=f"{text.error_code} from the provider",
            evidence={"text": str(text.id)},
        )


def _kept_transport() -> Transport:
    """One per process: its connections stay open from batch to batch."""
    global _transport  # noqa: PLW0603 - it must not be made before the process forks
    if _transport is None:
        _transport = Transport()
    return _transport
