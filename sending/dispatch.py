"""The RQ job of a worker: claim, pass the gate, hand over, record.

No transaction is open while a provider is called. Where the process dies, the rows say what is
known: before the gate the lease runs out and the text is due again; after it the reaper makes it
`unknown`.
"""

import time
from collections.abc import Mapping, Sequence
from enum import Enum, auto
from uuid import UUID

import structlog

from sending import gate, limits, queues, routing
from sending.gate import Departing
from sending.models import Sender
from sending.pipeline import BATCH, NEWS_WAIT, Pipeline
from sending.queues import Leased
from subscribers.models import Brand

log = structlog.get_logger("carillon.dispatch")

SLICE_SECONDS = 5.0  # a worker stays with one brand this long, then takes turns

_stopping = False


def stop() -> None:
    """Finish what is on its way, start nothing else (SIGTERM)."""
    global _stopping  # noqa: PLW0603 - a signal handler has nowhere else to say it
    _stopping = True


def drain(brand_id: int, seconds: float = SLICE_SECONDS) -> int:
    """Send what is due for a brand, for a while; answers how many texts were handed over.

    This is the RQ job. Running it twice, or not at all, does no harm.
    """
    brand = Brand.objects.select_related("workspace").get(pk=brand_id)
    pipeline = Pipeline(brand)
    started = time.monotonic()
    more = True
    with pipeline.running():
        while more and time.monotonic() - started < seconds and not _stopping:
            more = _step(brand, pipeline) is not Step.NOTHING_DUE
    if more:
        queues.ring(brand_id)
    if pipeline.handed_over:
        log.info(
            "drained",
            brand=brand.slug,
            texts=pipeline.handed_over,
            ms=round((time.monotonic() - started) * 1000),
        )
    return pipeline.handed_over


class Step(Enum):
    """What one step of a drain found."""

    SENT = auto()
    HELD_BACK = auto()  # by the network's pace or by a rate
    NOTHING_DUE = auto()


def _step(brand: Brand, pipeline: Pipeline) -> Step:
    """Write down what came back; while the network keeps up, claim a batch and let it depart."""
    pipeline.write()
    senders = routing.active_senders(brand)
    if not senders:
        log.warning("no_sender", brand=brand.slug)
        return Step.NOTHING_DUE
    room = min(BATCH, pipeline.room(senders))
    if room <= 0:
        pipeline.write(wait=NEWS_WAIT)
        return Step.HELD_BACK
    grants, wait = _grants(senders, room)
    if not any(grants.values()):
        pipeline.write(wait=wait)
        return Step.HELD_BACK
    used: dict[int, int] = dict.fromkeys(grants, 0)
    lease_began = time.monotonic()
    try:
        token, leased = queues.claim(brand.pk, at_most=min(room, sum(grants.values())))
        departing = _depart(brand, token, leased, senders, grants)
        for one in departing:
            used[one.sender_id] += one.segments
    finally:
        for sender in senders:
            limits.settle(sender, granted=grants[sender.pk], used=used[sender.pk])
    if departing:
        pipeline.send(token, departing, {sender.pk: sender for sender in senders}, lease_began)
    return Step.SENT if leased else Step.NOTHING_DUE


def _grants(senders: Sequence[Sender], want: int) -> tuple[dict[int, int], float]:
    """Segments that each sender may send now, and the seconds until one may again."""
    grants: dict[int, int] = {}
    wait = 0.2
    for sender in senders:
        grants[sender.pk], pause = limits.take(sender, want)
        wait = min(wait, max(pause, 0.005))
    return grants, wait


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
