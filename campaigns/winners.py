"""Which message of a test is the best: figures with what chance may have done to them, and a verdict.

Pure: what was counted goes in. Who counts it is an app above: `tracking/winners.py`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

Z = 1.959963984540054  # 95 of 100 such intervals hold the real figure


@dataclass(frozen=True, slots=True)
class Interval:
    """Where the real figure probably is."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Figure:
    """How one message did. `value`: a share of the texts from 0 to 1, or money for each text.

    `texts`: those that may have arrived; `hits`: the people who clicked, replied or bought.
    """

    message_id: int
    name: str
    texts: int
    hits: int
    value: float
    interval: Interval


@dataclass(frozen=True, slots=True)
class Rule:
    """When a message wins by itself. `deadline`: then the best so far does; None: never."""

    sample: int
    after: dt.timedelta
    deadline: dt.timedelta | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """Who wins, if anybody does yet, and why, as a sentence."""

    winner: Figure | None
    because: str


def wilson(hits: int, texts: int) -> Interval:
    """The score interval of a share (Wilson 1927); of nothing it is from 0 to 1."""
    if texts == 0:
        return Interval(0.0, 1.0)
    share, spread = hits / texts, Z * Z / texts
    middle = (share + spread / 2) / (1 + spread)
    half = Z / (1 + spread) * sqrt(share * (1 - share) / texts + spread / texts / 4)
    return Interval(
        0.0 if hits == 0 else max(0.0, middle - half),
        1.0 if hits == texts else min(1.0, middle + half),
    )


def per_text(
    texts: int, buyers: int, *, total: float, squares: float, usual_order: float
) -> Interval:
    """Of money for each text: the normal interval of the mean, or a wider one where buyers are few.

    `squares`: the sum of the squares of what each buyer spent. Then the share of buyers says more:
    its Wilson interval times an order, the usual one of all messages where nobody bought.
    """
    if texts == 0:
        return Interval(0.0, float("inf"))
    mean = total / texts
    variance = max(0.0, squares / texts - mean * mean) * texts / max(1, texts - 1)
    half = Z * sqrt(variance / texts)
    shares = wilson(min(max(buyers, 0), texts), texts)
    order = total / buyers if buyers > 0 and total > 0 else usual_order
    return Interval(
        max(0.0, min(mean - half, shares.low * order)), max(mean + half, shares.high * order)
    )


def judge(figures: Sequence[Figure], rule: Rule, *, waited: dt.timedelta) -> Verdict:
    """Whether a message wins now, `waited` after the test was planned.

    One does when the whole of its interval lies above each other one's. At the deadline that whose
    interval begins highest does: a single click on a single text is no proof.
    """
    if len(figures) < 2:
        return Verdict(None, "There is one message only: nothing to compare.")
    best = max(figures, key=lambda one: (one.value, -one.message_id))
    others = [one for one in figures if one is not best]
    least = min(one.texts for one in figures)
    if rule.deadline is not None and waited >= rule.deadline:
        return _at_deadline(figures, clear=least >= rule.sample and _above(best, others))
    if waited < rule.after:
        return Verdict(None, f"It is decided {_hours(rule.after)} after the test at the earliest.")
    if least < rule.sample:
        return Verdict(
            None,
            f"Each message must be sent {rule.sample:,} times first: one of them was sent"
            f" {least:,} times so far.",
        )
    if not _above(best, others):
        return Verdict(None, "No message is clearly the best yet: the ranges overlap.")
    return Verdict(best, "It is clearly the best.")


def _at_deadline(figures: Sequence[Figure], *, clear: bool) -> Verdict:
    best = max(figures, key=lambda one: (one.interval.low, one.value, -one.message_id))
    if not best.hits:
        return Verdict(None, "Nobody did anything yet that tells the best: choose one yourself.")
    return Verdict(
        best, "It is clearly the best." if clear else "It was the best so far at the deadline."
    )


def _above(best: Figure, others: Sequence[Figure]) -> bool:
    return all(best.interval.low > other.interval.high for other in others)


def _hours(span: dt.timedelta) -> str:
    minutes = int(span.total_seconds() // 60)
    if minutes % 60:
        return f"{minutes:,} minutes"
    return "1 hour" if minutes == 60 else f"{minutes // 60:,} hours"
