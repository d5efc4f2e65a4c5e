"""How a brand's queue is: depth by lane, age of the oldest due text, rate, and why nothing moves."""

import contextlib
from dataclasses import dataclass, field

import redis
from django.db import connection

from campaigns import policy
from campaigns.models import BrandPolicy, PlatformPolicy
from sending import accounts, circuits, limits, outage, queues
from sending.models import Departure, QueuedText, Sender
from subscribers.models import Brand


@dataclass(slots=True)
class QueueState:
    """One brand's queue at a moment. Ages in seconds, rates in texts per second."""

    brand: str
    due: dict[str, int] = field(default_factory=dict)  # by lane
    later: int = 0  # put off: outside hours, over a cap, a retry, paused
    oldest_due_seconds: float = 0.0
    on_the_way: int = 0
    rate: float = 0.0
    held_back_by: list[str] = field(default_factory=list)  # sentences


def of_brand(brand: Brand) -> QueueState:
    """Read one brand's queue."""
    state = QueueState(brand.slug, {lane.label.lower(): 0 for lane in QueuedText.Lane})
    with connection.cursor() as cursor:
        cursor.execute(_DEPTH, {"brand": brand.pk})
        for lane, due, later, oldest in cursor.fetchall():
            state.due[QueuedText.Lane(lane).label.lower()] = due
            state.later += later
            state.oldest_due_seconds = max(state.oldest_due_seconds, float(oldest or 0))
    with contextlib.suppress(redis.RedisError):
        state.rate = queues.departed_per_second(brand.pk)
    state.on_the_way = sum(
        len(texts)
        for texts in Departure.objects.filter(brand=brand).values_list("texts", flat=True)
    )
    state.held_back_by = held_back_by(brand)
    return state


def held_back_by(brand: Brand) -> list[str]:
    """Why a brand's due texts may not be moving, a sentence each."""
    reasons = [f"{late} Nothing is planned or rung."] if (late := outage.sentence()) else []
    everywhere, own = policy.platform(), policy.of_brand(brand)
    if not everywhere.sending_enabled:
        reasons.append(f"Sending is switched off for the whole installation{_why(everywhere)}")
    if not own.sending_enabled:
        reasons.append(f"Sending is switched off for this brand{_why(own)}")
    senders = list(Sender.objects.filter(brand=brand))
    active = [sender for sender in senders if sender.status == Sender.Status.ACTIVE]
    if not active:
        reasons.append("The brand has no active sender.")
    reasons.extend(
        f"Sender {sender.address} was stopped: {sender.status_reason}"
        for sender in senders
        if sender.status == Sender.Status.STOPPED
    )
    try:
        for sender in active:
            seconds = limits.rests_for(sender)
            if seconds:
                reasons.append(
                    f"Sender {sender.address} cools down for {seconds:.0f} s: its provider said"
                    " that it was too fast."
                )
    except redis.RedisError:
        reasons.append("Valkey cannot be reached: nothing is sent until it is back.")
    return reasons + accounts.held_back_by(brand) + circuits.held_back_by(brand)


def _why(rules: PlatformPolicy | BrandPolicy) -> str:
    return f": {rules.off_reason}" if rules.off_reason else "."


def of_all(brands: list[Brand]) -> list[QueueState]:
    """Every brand's queue that has anything in it, the longest waiting first."""
    busy = set(QueuedText.objects.values_list("brand_id", flat=True).distinct())
    busy |= set(Departure.objects.values_list("brand_id", flat=True).distinct())
    states = [of_brand(brand) for brand in brands if brand.pk in busy]
    return sorted(states, key=lambda state: -state.oldest_due_seconds)


# What every count of a queue says of some of its rows: due, due later, seconds that the oldest waits.
COUNTS = """
    count(*) FILTER (WHERE due_at <= now()) AS due,
    count(*) FILTER (WHERE due_at > now()) AS later,
    extract(epoch FROM now() - min(due_at) FILTER (WHERE due_at <= now())) AS oldest"""
_DEPTH = f"""
    SELECT lane, {COUNTS} FROM sending_queuedtext WHERE brand_id = %(brand)s GROUP BY lane"""
