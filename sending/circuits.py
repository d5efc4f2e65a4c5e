"""A sender's circuit: while it fails its people's texts leave by the others, then it comes back.

`Sender.share` is the percentage of its weight that a sender carries; this module alone writes it, and
a SenderShift with each change. It lives in PostgreSQL: what Valkey loses are the last statistics.
With every circuit of a brand open its texts wait, and expire with their window (`stranded.py`).
"""

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import structlog
from django.conf import settings
from django.db import connection, transaction
from django.db.models import Count, Q
from django.db.models.functions import Now

from campaigns.winners import wilson
from sending import arrays, stranded, tallies
from sending.models import Sender, SenderShift
from sending.tallies import Minute
from subscribers import clock
from subscribers.models import Brand

log = structlog.get_logger("carillon.circuits")

# Errors: so many of a minute's calls for certain (19 times of 20), where enough texts were answered
# for. While a sender comes back few texts leave by it, and few are enough.
WORST_ERRORS = settings.SENDING_CIRCUIT_ERROR_PERCENT / 100
LEAST_ANSWERED = 20
LEAST_ON_TRIAL = 5
# Receipts: of texts that were accepted so many minutes ago (back to so many), where a sender usually
# gets them for half of its texts at least, and now for less than a third of the usual.
RECEIPT_MINUTES = 5
LOOK_BACK_MINUTES = 20
LEAST_TEXTS = 20
USUAL = 50  # percent
FALLEN = 1 / 3
# Coming back: after a rest that doubles with each opening of the last hour, a step at a time.
REST = dt.timedelta(minutes=1)
LONGEST_REST = dt.timedelta(minutes=16)
STEPS = (5, 10, 25, 50, 100)  # percent
STEP = dt.timedelta(seconds=30)
STEP_UNSEEN = dt.timedelta(minutes=5)  # where nothing left by it that could be judged


@dataclass(frozen=True, slots=True)
class Circuit:
    """What a decision needs to know. `openings`: of the last hour, the present one included."""

    share: int
    since: dt.datetime | None
    openings: int
    minute: Minute = field(default_factory=Minute)


@dataclass(frozen=True, slots=True)
class Move:
    """A sender's new share, in percent, and why."""

    share: int
    reason: str


def decide(circuit: Circuit, now: dt.datetime) -> Move | None:
    """What becomes of a sender's share; None where it stays."""
    lasted = now - circuit.since if circuit.since else LONGEST_REST
    if circuit.share == 0:
        if lasted < rest_after(circuit.openings):
            return None
        return Move(STEPS[0], "It has rested and is tried again")
    minute = circuit.minute
    least = LEAST_ANSWERED if circuit.share == 100 else LEAST_ON_TRIAL
    if minute.texts >= least and wilson(minute.errors, minute.calls).low >= WORST_ERRORS:
        return Move(0, f"{minute.errors} of {minute.calls} calls of the last minute failed")
    if circuit.share == 100 or lasted < (STEP if minute.calls else STEP_UNSEEN):
        return None
    return Move(next(step for step in STEPS if step > circuit.share), "Its answers are good again")


def rest_after(openings: int) -> dt.timedelta:
    """How long a sender carries nothing after so many openings within the hour."""
    return min(LONGEST_REST, REST * 2 ** max(0, min(openings, 10) - 1))


def review() -> int:
    """Move traffic away from senders that fail and back to those that recovered (the ticker's job).

    Answers how many moved. Raises redis.RedisError: without statistics nothing is decided.
    """
    seen = tallies.last_minute()
    now = clock.now()
    moves = {}
    for sender in _concerned(seen, now):
        minute = seen.get(sender.pk, Minute())
        move = decide(Circuit(sender.share, sender.share_since, sender.openings, minute), now)
        if move:
            moves[sender.pk] = move
    return _apply(moves)


def review_receipts() -> int:
    """Move traffic away from senders whose receipts stay away (the ticker's job); answers how many.

    Learns what is usual from senders that do as usual. Raises redis.RedisError.
    """
    found = tallies.accepted_before(
        RECEIPT_MINUTES, at_least=LEAST_TEXTS, back_to=LOOK_BACK_MINUTES
    )
    texts = [text_id for sample in found.values() for text_id in sample]
    if not texts:
        return 0
    with connection.cursor() as cursor:
        cursor.execute(_RECEIVED, [arrays.ids(texts)])
        told = {sender_id: (count, received) for sender_id, count, received in cursor.fetchall()}
    moves, usual = {}, {}
    for sender in Sender.objects.filter(pk__in=told, status=Sender.Status.ACTIVE, share__gt=0):
        count, received = told[sender.pk]
        if count < LEAST_TEXTS:
            continue
        known = sender.usual_receipts
        share = 100 * received / count
        if known is not None and known >= USUAL and share < known * FALLEN:
            moves[sender.pk] = Move(
                0,
                f"{received} of {count} texts had a receipt after {RECEIPT_MINUTES} minutes,"
                f" usually {known} %",
            )
        else:
            usual[sender.pk] = round(share if known is None else 0.9 * known + 0.1 * share)
    _learn(usual)
    return _apply(moves)


def close(sender_id: int, *, by: str) -> bool:
    """Give a sender all its texts again because a person, `by` name, says so; False where it has them.

    Its errors are counted anew: those of the minute before do not open it again. Raises
    redis.RedisError: then nothing has changed.
    """
    share = Sender.objects.filter(pk=sender_id).values_list("share", flat=True).first()
    if share in (None, 100):
        return False
    return bool(_apply({sender_id: Move(100, f"Closed by {by}"[:200])}))


def held_back_by(brand: Brand) -> list[str]:
    """Which of a brand's senders carry less than usual, a sentence each."""
    senders = Sender.objects.filter(brand=brand, status=Sender.Status.ACTIVE, share__lt=100)
    return [
        f"Sender {sender.address} gets no texts for a while: {sender.share_reason}."
        if sender.share == 0
        else f"Sender {sender.address} carries {sender.share} % of its texts until it has proved"
        " itself."
        for sender in senders.defer("credentials").order_by("pk")
    ]


def _concerned(seen: Iterable[int], now: dt.datetime) -> list[Sender]:
    """Senders in use that answered lately or carry less than all, with `openings`."""
    hour = Q(shifts__to_share=0, shifts__at__gt=now - dt.timedelta(hours=1))
    return list(
        Sender.objects.filter(Q(pk__in=list(seen)) | Q(share__lt=100), status=Sender.Status.ACTIVE)
        .annotate(openings=Count("shifts", filter=hour))
        .defer("credentials")
    )


def _apply(moves: Mapping[int, Move]) -> int:
    if not moves:
        return 0
    opening = [pk for pk, move in moves.items() if move.share == 0]
    if len(opening) < len(moves):
        _expire_what_waited()
    # Before the change: what else comes in of the old traffic then meets an open circuit.
    tallies.forget([pk for pk, move in moves.items() if move.share in (0, STEPS[0], 100)])
    with transaction.atomic():
        before = dict(
            Sender.objects.select_for_update().filter(pk__in=moves).values_list("pk", "share")
        )
        for pk, share in before.items():
            _shift(pk, share, moves[pk])
    return len(before)


def _expire_what_waited() -> None:
    """What is too late by now waited in vain, and says so; the gate would not know."""
    for _ in range(20):
        if not stranded.expire_stranded():
            return


def _shift(sender_id: int, share: int, move: Move) -> None:
    Sender.objects.filter(pk=sender_id).update(
        share=move.share,
        share_since=Now(),
        share_reason="" if move.share == 100 else move.reason,
    )
    SenderShift.objects.create(
        sender_id=sender_id, from_share=share, to_share=move.share, reason=move.reason
    )
    tell = log.error if move.share == 0 else log.warning
    tell("sender_shifted", sender=sender_id, was=share, now=move.share, reason=move.reason)


def _learn(usual: Mapping[int, int]) -> None:
    if usual:
        with connection.cursor() as cursor:
            cursor.execute(_LEARN, [arrays.literal(usual), arrays.literal(usual.values())])


_RECEIVED = """
    SELECT sender_id, count(*), count(*) FILTER (WHERE state IN ('delivered', 'undelivered'))
    FROM sending_sentlog
    WHERE id = ANY(%s::uuid[]) AND state IN ('accepted', 'sent', 'delivered', 'undelivered')
    GROUP BY sender_id"""

_LEARN = """
    UPDATE sending_sender AS sender SET usual_receipts = learnt.share
    FROM unnest(%s::bigint[], %s::int[]) AS learnt(id, share)
    WHERE sender.id = learnt.id AND sender.usual_receipts IS DISTINCT FROM learnt.share"""
