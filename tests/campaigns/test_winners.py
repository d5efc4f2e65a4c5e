"""Claims about the best message: the interval is Wilson's, and nobody wins by chance."""

import datetime as dt
import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns import winners
from campaigns.winners import Figure, Interval, Rule

HOUR = dt.timedelta(hours=1)
RULE = Rule(sample=100, after=4 * HOUR, deadline=None)


@st.composite
def counts(draw: st.DrawFn) -> tuple[int, int]:
    texts = draw(st.integers(1, 2_000_000))
    return draw(st.integers(0, texts)), texts


def closed_form(hits: int, texts: int) -> tuple[float, float]:
    """The two roots p of (p^ - p)^2 = z^2 p (1 - p) / n, by the quadratic formula on whole numbers."""
    z2 = Fraction(winners.Z) ** 2
    a = texts + z2
    b = -(2 * hits + z2)
    c = Fraction(hits * hits, texts)
    root = math.sqrt(b * b - 4 * a * c)
    return (float(-b) - root) / float(2 * a), (float(-b) + root) / float(2 * a)


@given(counts())
def test_the_interval_is_wilsons(counted: tuple[int, int]) -> None:
    found = winners.wilson(*counted)
    low, high = closed_form(*counted)

    assert found.low == pytest.approx(low, abs=1e-9)
    assert found.high == pytest.approx(high, abs=1e-9)
    assert 0 <= found.low <= counted[0] / counted[1] <= found.high <= 1


@given(counts())
def test_clickers_and_the_others_mirror_each_other(counted: tuple[int, int]) -> None:
    hits, texts = counted
    one, other = winners.wilson(hits, texts), winners.wilson(texts - hits, texts)

    assert one.low == pytest.approx(1 - other.high, abs=1e-9)


def test_a_known_interval() -> None:
    # 10 of 100, as published: 0.0552 to 0.1744
    found = winners.wilson(10, 100)

    assert (round(found.low, 4), round(found.high, 4)) == (0.0552, 0.1744)
    assert winners.wilson(0, 0) == Interval(0, 1)


def figure(pk: int, hits: int, texts: int) -> Figure:
    value = hits / texts if texts else 0.0
    return Figure(pk, f"message {pk}", texts, hits, value, winners.wilson(hits, texts))


@given(st.lists(counts(), min_size=2, max_size=6))
def test_no_winners_interval_overlaps_another(counted: list[tuple[int, int]]) -> None:
    figures = [figure(pk, *one) for pk, one in enumerate(counted)]

    best = winners.judge(figures, RULE, waited=4 * HOUR).winner

    clear = [
        one
        for one in figures
        if all(one.interval.low > other.interval.high for other in figures if other is not one)
    ]
    enough = all(texts >= RULE.sample for _, texts in counted)
    assert ([best] if best else []) == (clear if enough else [])


@pytest.mark.parametrize(
    ("figures", "hours", "deadline", "won", "why"),
    [
        ([(50, 1000), (10, 1000)], 4, None, 0, "clearly the best"),
        ([(50, 1000), (10, 1000)], 3, None, None, "4 hours after the test"),
        ([(50, 1000), (1, 99)], 4, None, None, "sent 99 times so far"),
        ([(50, 1000), (48, 1000)], 400, None, None, "overlap"),
        ([(50, 1000), (48, 1000)], 23, 24, None, "overlap"),
        ([(48, 1000), (50, 1000)], 24, 24, 1, "at the deadline"),
        ([(50, 1000), (50, 1000)], 24, 24, 0, "at the deadline"),
        ([(50, 1000), (10, 1000)], 24, 24, 0, "clearly the best"),
        ([(50, 1000), (1, 1)], 24, 24, 1, "at the deadline"),
        ([(0, 1000), (0, 1000)], 24, 24, None, "choose one yourself"),
        ([(0, 0), (0, 0)], 24, 24, None, "choose one yourself"),
        ([(50, 1000)], 24, 24, None, "one message only"),
    ],
)
def test_when_a_message_wins(
    figures: list[tuple[int, int]], hours: int, deadline: int | None, won: int | None, why: str
) -> None:
    rule = Rule(100, 4 * HOUR, None if deadline is None else deadline * HOUR)
    told = [figure(pk, *one) for pk, one in enumerate(figures)]

    verdict = winners.judge(told, rule, waited=hours * HOUR)

    assert (verdict.winner and verdict.winner.message_id) == won
    assert why in verdict.because


def test_few_buyers_say_little() -> None:
    none = winners.per_text(200, 0, total=0, squares=0, usual_order=50)
    some = winners.per_text(200, 5, total=250, squares=5 * 50**2, usual_order=50)
    many = winners.per_text(20_000, 4000, total=200_000, squares=4000 * 50**2, usual_order=50)

    assert none.low == 0
    assert none.high == pytest.approx(winners.wilson(0, 200).high * 50)
    assert some.low < none.high  # 250 against nothing may still be chance
    assert many.low == pytest.approx(10 - winners.Z * 20 / math.sqrt(20_000), abs=0.01)
    assert winners.per_text(0, 0, total=0, squares=0, usual_order=0) == Interval(0, math.inf)
