"""The RQ job of a worker: claim, pass the gate, hand over, record.

No transaction is open while a provider is called. Where the process dies, the rows say what is
known: before the gate the lease runs out and the text is due again; after it the reaper makes it
`unknown`.
"""

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import redis
import structlog

from sending import gate, limits, queues, routing, turns
from sending.gate import Departing
from sending.models import Sender
from sending.pipeline import BATCH, NEWS_WAIT, Pipeline
from sending.queues import Leased
from subscribers.models import Brand

log = structlog.get_logger("carillon.dispatch")

SLICE_SECONDS = 5.0  # a worker stays with one brand this long, then takes turns
SHORT_SLICE = 0.5  # while another brand waits for its turn
CHAIN_SECONDS = 1.0  # one job goes on with other brands that ring until so long after its start
HELD_BACK = 0.5  # a brand that may not send now is looked at again after so many seconds

_stopping = False
_shared: Pipeline | None = None
_worker = ""  # who takes turns with it


def stop() -> None:
    """Finish what is on its way, start nothing else (SIGTERM)."""
    global _stopping  # noqa: PLW0603 - a signal handler has nowhere else to say it
    _stopping = True


@contextlib.contextmanager
def shared_pipeline(worker: str = "") -> Iterator[Pipeline]:
    """One pipeline for all drains of this process, so that no brand waits for another's answers.

    `worker` is the name by which this process takes turns; without one a drain serves one brand.
    """
    global _shared, _worker
    with Pipeline().running() as pipeline:
        _shared, _worker = pipeline, worker
        try:
            yield pipeline
        finally:
            _shared, _worker = None, ""


def drain(brand_id: int, seconds: float = SLICE_SECONDS) -> int:
    """Send what is due for a brand, for a while; answers how many texts departed.

    This is the RQ job. Running it twice, or not at all, does no harm. In a worker it ends when
    everything has departed; without a shared pipeline, when everything is answered too.
    """
    if _shared is not None:
        return _drain(_brand(brand_id), _shared, seconds) + _chain(_shared)
    with Pipeline().running() as pipeline:
        return _drain(_brand(brand_id), pipeline, seconds)


def _brand(brand_id: int) -> Brand:
    return Brand.objects.select_related("workspace").get(pk=brand_id)


def _chain(pipeline: Pipeline) -> int:
    """Serve others whose turn it is, for a while: RQ's bookkeeping costs more than 20 texts do.

    Their own jobs, found later, find nothing left to do.
    """
    until = time.monotonic() + CHAIN_SECONDS
    departed = 0
    while _worker and not _stopping and time.monotonic() < until:
        brand_id = turns.take(queues.valkey(), _worker)
        if brand_id is None:
            break
        departed += _drain(_brand(brand_id), pipeline, SLICE_SECONDS)
    return departed


@dataclass(frozen=True, slots=True)
class _Step:
    """What one round did. `more`: something may still be due; `wait`: seconds until it may go."""

    departed: int
    more: bool
    wait: float = 0.0


def _drain(brand: Brand, pipeline: Pipeline, seconds: float) -> int:
    started = time.monotonic()
    total = 0
    step = _Step(0, more=True)
    while step.more and not _stopping and time.monotonic() - started < seconds:
        step = _step(brand, pipeline)
        total += step.departed
        if step.more and _should_yield(brand, step, time.monotonic() - started):
            break
        if step.wait:
            pipeline.write(wait=step.wait)
    limits.give_back()
    if step.more:
        queues.ring(brand.pk, after=HELD_BACK if step.wait else 0.0)
    if total:
        with contextlib.suppress(redis.RedisError):  # a figure for people, nothing more
            queues.note_departed(brand.pk, total)
        took = round((time.monotonic() - started) * 1000)
        log.info("drained", brand=brand.slug, texts=total, ms=took)
    return total


def _should_yield(brand: Brand, step: _Step, spent: float) -> bool:
    """A brand that has had its share, or can only wait, lets the others go first."""
    return (bool(step.wait) or spent > SHORT_SLICE) and turns.others_wait(brand.pk)


def _step(brand: Brand, pipeline: Pipeline) -> _Step:
    """Write down what came back; while the network keeps up, claim a batch and let it depart."""
    pipeline.write()
    senders = routing.active_senders(brand)
    if not senders:
        log.warning("no_sender", brand=brand.slug)
        return _Step(0, more=False)
    room = min(BATCH, pipeline.room(senders))
    if room <= 0:
        return _Step(0, more=True, wait=NEWS_WAIT)
    taken = limits.take_all(senders, room)
    grants = taken.segments
    if not any(grants.values()):
        return _Step(0, more=True, wait=taken.wait)
    used: dict[int, int] = dict.fromkeys(grants, 0)
    lease_began = time.monotonic()
    at_most = min(room, sum(grants.values()))
    try:
        token, leased = queues.claim(brand.pk, at_most=at_most)
        departing = _depart(brand, token, leased, taken.left(senders), grants)
        for one in departing:
            used[one.sender_id] += one.segments
    finally:
        limits.settle_all(senders, granted=grants, used=used)
    if departing:
        by_id = {sender.pk: sender for sender in senders}
        pipeline.send(brand, departing, by_id, token=token, lease_began=lease_began)
    return _Step(len(departing), more=len(leased) == at_most)


def _depart(
    brand: Brand,
    token: UUID,
    leased: Sequence[Leased],
    senders: Sequence[Sender],
    grants: Mapping[int, int],
) -> list[Departing]:
    """Choose each text's sender and pass the gate with those whose sender has throughput left."""
    left = dict(grants)
    chosen: dict[UUID, Sender] = {}
    over = []
    for one in leased:
        sender = routing.sender_for(str(one.subscriber_id or one.id), senders)
        if left[sender.pk] > 0:
            left[sender.pk] -= 1
            chosen[one.id] = sender
        else:
            over.append(one.id)
    if over:
        queues.give_back(token, over, seconds=0.5)
    kept = [one for one in leased if one.id in chosen]
    return gate.pass_gate(brand, token, kept, chosen) if kept else []
