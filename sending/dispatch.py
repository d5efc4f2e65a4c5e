"""The RQ job of a worker: take what is due, pass the gate, hand over, record.

No transaction is open while a provider is called. Where the process dies, the rows say what is
known: before the gate's commit the text is due as it was; after it the reaper makes it `unknown`.
"""

import contextlib
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import redis
import structlog

from sending import gate, limits, queues, routing, turns
from sending.gate import Share
from sending.models import Sender
from sending.pipeline import BATCH, NEWS_WAIT, Pipeline
from subscribers.models import Brand

log = structlog.get_logger("carillon.dispatch")

SLICE_SECONDS = 5.0  # a worker stays with one brand this long, then takes turns
SHORT_SLICE = 0.5  # while another brand waits for its turn
CHAIN_SECONDS = 1.0  # one job goes on with other brands that ring until so long after its start
TOGETHER = 25  # brands that pass the gate in one transaction
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
        return _drain(_brands([brand_id]), _shared, seconds) + _chain(_shared)
    with Pipeline().running() as pipeline:
        return _drain(_brands([brand_id]), pipeline, seconds)


def _brands(brand_ids: Collection[int]) -> list[Brand]:
    return list(Brand.objects.select_related("workspace").filter(pk__in=brand_ids).order_by("pk"))


def _chain(pipeline: Pipeline) -> int:
    """Serve others whose turn it is, many at a time, for a while: RQ's bookkeeping costs more than
    20 texts do, and so do a brand's own statements.

    Their own jobs, found later, find nothing left to do.
    """
    until = time.monotonic() + CHAIN_SECONDS
    departed = 0
    while _worker and not _stopping and time.monotonic() < until:
        brand_ids = turns.take(queues.valkey(), _worker, many=TOGETHER)
        if not brand_ids:
            break
        for _, brands in groupby(sorted(_brands(brand_ids), key=_is_sandbox), key=_is_sandbox):
            departed += _drain(list(brands), pipeline, SLICE_SECONDS)
    return departed


def _is_sandbox(brand: Brand) -> bool:
    return brand.sandbox


@dataclass(slots=True)
class _Round:
    """What one round did, by brand. `done`: nothing more is due; `wait`: seconds until one of the
    others may go on, where none did."""

    departed: Counter[int] = field(default_factory=Counter)
    done: set[int] = field(default_factory=set)
    wait: float = 0.0


def _drain(brands: Sequence[Brand], pipeline: Pipeline, seconds: float) -> int:
    """Send for these brands, round by round, until all are done or their turn is over.

    They are all sandboxes or none is.
    """
    started = time.monotonic()
    totals: Counter[int] = Counter()
    going = {brand.pk: brand for brand in brands}
    known: dict[int, list[Sender]] = {}
    wait = 0.0
    while going and not _stopping and time.monotonic() - started < seconds:
        done = _round(list(going.values()), pipeline, known)
        totals.update(done.departed)
        for brand_id in done.done:
            del going[brand_id]
        wait = done.wait
        if going and _should_yield(going, wait, time.monotonic() - started):
            break
        if wait:
            pipeline.write(wait=wait)
    limits.give_back()
    for brand_id in going:
        queues.ring(brand_id, after=HELD_BACK if wait else 0.0)
    _tell(brands, totals, time.monotonic() - started)
    return totals.total()


def _tell(brands: Sequence[Brand], totals: Counter[int], seconds: float) -> None:
    if not totals:
        return
    with contextlib.suppress(redis.RedisError):  # a figure for people, nothing more
        queues.note_departed(totals)
    for brand in brands:
        if totals[brand.pk]:
            ms = round(seconds * 1000)
            log.info("drained", brand=brand.slug, texts=totals[brand.pk], ms=ms)


def _should_yield(going: Mapping[int, Brand], wait: float, spent: float) -> bool:
    """Brands that have had their share, or can only wait, let the others go first."""
    return (bool(wait) or spent > SHORT_SLICE) and turns.others_wait(going.keys())


def _round(brands: Sequence[Brand], pipeline: Pipeline, known: dict[int, list[Sender]]) -> _Round:
    """Write down what came back; while the network keeps up, let a batch of each brand depart.

    `known`: the brands' senders as the last round saw them, and this one.
    """
    pipeline.write()
    if known and not any(pipeline.room(known[brand.pk]) for brand in brands):
        return _Round(wait=NEWS_WAIT)
    known.clear()  # a brand whose last sender was paused must not keep it
    known.update(routing.active_senders(brands))
    done = _Round()
    rooms = {}
    for brand in brands:
        if known.get(brand.pk):
            rooms[brand.pk] = min(BATCH // len(brands), pipeline.room(known[brand.pk]))
        else:
            log.warning("no_sender", brand=brand.slug)
            done.done.add(brand.pk)
    able = [brand for brand in brands if rooms.get(brand.pk, 0) > 0]
    if able:
        _depart(able, rooms, known, pipeline, done)
    elif rooms:
        done.wait = NEWS_WAIT
    return done


def _depart(
    brands: Sequence[Brand],
    rooms: Mapping[int, int],
    known: Mapping[int, Sequence[Sender]],
    pipeline: Pipeline,
    done: _Round,
) -> None:
    """Take what the senders' rates allow, pass the gate and hand over what departed."""
    senders = [sender for brand in brands for sender in known[brand.pk]]
    taken = limits.take_all({sender: rooms[sender.brand_id] for sender in senders})
    shares = [_share(brand, known[brand.pk], rooms[brand.pk], taken) for brand in brands]
    shares = [share for share in shares if share.at_most > 0]
    if not shares:
        done.wait = taken.wait
        return
    used: Counter[int] = Counter()
    lease_began = time.monotonic()
    batches = []
    try:
        batches = gate.pass_gate(shares)
        for batch in batches:
            for one in batch.departing:
                used[one.sender_id] += one.segments
    finally:
        limits.settle_all(senders, granted=taken.segments, used=used)
    by_id = {sender.pk: sender for sender in senders}
    for batch, share in zip(batches, shares, strict=True):
        if batch.departing:
            pipeline.send(batch, by_id, lease_began=lease_began)
            done.departed[batch.brand.pk] = len(batch.departing)
        if batch.taken < share.at_most:
            done.done.add(batch.brand.pk)


def _share(brand: Brand, senders: Sequence[Sender], room: int, taken: limits.Grants) -> Share:
    left = taken.left(senders)
    segments = {sender.pk: taken.segments[sender.pk] for sender in left}
    return Share(brand, left, segments, min(room, sum(segments.values())))
