"""How a queue will empty: at its rate, in the order of what is due, inside of everybody's hours."""

import datetime as dt
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.schedule import Window
from sending.drain import Batch, Outflow, simulate

NOON = dt.datetime(2027, 1, 19, 12, 0, tzinfo=dt.UTC)
HOUR, MINUTE = dt.timedelta(hours=1), dt.timedelta(minutes=1)
DAY = dt.timedelta(hours=24)
OPEN = (Window(NOON - 3 * HOUR, NOON + 8 * HOUR), Window(NOON + 21 * HOUR, NOON + 32 * HOUR))


def flow(*batches: Batch, rate: float = 1.0, lifetime: dt.timedelta = DAY, ahead: float = 0):
    return simulate(batches, rate=rate, start=NOON, expires_at=NOON + lifetime, ahead=ahead)


def test_texts_take_as_long_as_their_segments_at_the_rate() -> None:
    out = flow(Batch(NOON, OPEN, 1000, 2000), rate=10)

    assert out == Outflow({NOON: 1000}, 0, 0, NOON + dt.timedelta(seconds=200))


def test_what_is_ahead_leaves_first() -> None:
    out = flow(Batch(NOON, OPEN, 10, 10), rate=1, ahead=3600)

    assert out.by_hour == {NOON + HOUR: 10}


def test_who_is_due_later_waits_and_the_rate_rests() -> None:
    out = flow(Batch(NOON, OPEN, 60, 60), Batch(NOON + 2 * HOUR, OPEN, 60, 60))

    assert out.by_hour == {NOON: 60, NOON + 2 * HOUR: 60}
    assert out.done_at == NOON + 2 * HOUR + MINUTE


def test_what_does_not_fit_into_the_window_goes_on_in_the_next_morning() -> None:
    short = (Window(NOON - HOUR, NOON + 70 * MINUTE), OPEN[1])  # the last text leaves at 13:00

    out = flow(Batch(NOON, short, 7200, 7200))

    assert out.by_hour[NOON] == pytest.approx(3600)
    assert out.by_hour[NOON + 21 * HOUR] == pytest.approx(3600)
    assert (out.put_off, out.too_late) == (pytest.approx(3600), 0)


def test_what_expires_before_the_next_window_is_never_sent() -> None:
    short = (Window(NOON - HOUR, NOON + 70 * MINUTE), OPEN[1])

    out = flow(Batch(NOON, short, 7200, 7200), lifetime=20 * HOUR)

    assert (out.put_off, out.too_late) == (0, pytest.approx(3600))
    assert out.done_at == NOON + HOUR


def test_no_text_leaves_after_it_expired() -> None:
    out = flow(Batch(NOON, OPEN, 7200, 7200), lifetime=HOUR)

    assert out.by_hour == {NOON: pytest.approx(3600)}
    assert out.too_late == pytest.approx(3600)


def test_who_is_due_together_is_served_alike() -> None:
    short = (Window(NOON - HOUR, NOON + 40 * MINUTE),)

    out = flow(Batch(NOON, short, 3600, 3600), Batch(NOON, OPEN, 3600, 3600))

    # In half an hour 900 of each; the second group has the rate for itself afterwards.
    assert out.too_late == pytest.approx(2700)
    assert sum(out.by_hour.values()) == pytest.approx(4500)
    assert out.done_at == NOON + dt.timedelta(seconds=4500)


def test_waiting_for_the_morning_is_not_the_rates_doing() -> None:
    out = flow(Batch(NOON, (OPEN[1],), 10, 10))

    assert (out.put_off, out.too_late) == (0, 0)
    assert out.by_hour == {NOON + 21 * HOUR: 10}


MINUTES = st.integers(0, 40 * 60).map(lambda minutes: NOON + minutes * MINUTE)
WINDOWS = st.lists(st.tuples(MINUTES, st.integers(1, 700)), min_size=0, max_size=4).map(
    lambda given: tuple(
        sorted((Window(at, at + length * MINUTE) for at, length in given), key=lambda w: w.start)
    )
)
BATCHES = st.lists(
    st.builds(
        lambda due, windows, texts, each: Batch(due, windows, texts, texts * each),
        MINUTES,
        WINDOWS,
        st.integers(1, 5000),
        st.integers(1, 4),
    ),
    max_size=6,
)


@given(BATCHES, st.integers(1, 50), st.integers(1, 48), st.integers(0, 5000))
def test_every_text_leaves_once_or_is_too_late(
    batches: list[Batch], rate: int, hours: int, ahead: int
) -> None:
    out = flow(*batches, rate=rate, lifetime=hours * HOUR, ahead=ahead)

    whole = sum(batch.texts for batch in batches)
    assert sum(out.by_hour.values()) + out.too_late == pytest.approx(whole, abs=0.01)
    assert 0 <= out.put_off <= whole + 0.01
    if out.done_at:
        assert out.done_at <= NOON + hours * HOUR
    # No hour carries more segments than the rate allows; a text has one at least.
    assert all(texts <= rate * 3600 + 0.01 for texts in out.by_hour.values())


def test_a_full_day_lets_the_others_wait_for_midnight() -> None:
    around_the_clock = (Window(NOON - DAY, NOON + 4 * DAY),)
    batch = Batch(NOON, around_the_clock, 1000, 2000)

    out = simulate(
        [batch], rate=10, start=NOON, expires_at=NOON + 3 * DAY,
        room=lambda day: 400 if day == NOON.date() else 500,
    )  # fmt: skip

    midnight = NOON + 12 * HOUR
    assert out.by_hour == {
        NOON: pytest.approx(400),
        midnight: pytest.approx(500),
        midnight + DAY: pytest.approx(100),
    }
    assert (out.capped, out.put_off, out.too_late) == (pytest.approx(600), 0, 0)


def test_who_waits_for_the_next_day_until_they_are_too_old_is_never_sent() -> None:
    around_the_clock = (Window(NOON - DAY, NOON + 4 * DAY),)
    for tomorrow, lifetime in ((0, 3 * DAY), (400, 12 * HOUR)):
        rooms = defaultdict(lambda room=tomorrow: room, {NOON.date(): 400})
        out = simulate(
            [Batch(NOON, around_the_clock, 1000, 1000)], rate=10, start=NOON,
            expires_at=NOON + lifetime, room=rooms.__getitem__,
        )  # fmt: skip

        assert (sum(out.by_hour.values()), out.too_late) == (
            pytest.approx(400),
            pytest.approx(600),
        )


def test_the_morning_after_a_full_day_is_counted_once() -> None:
    out = simulate(
        [Batch(NOON, OPEN, 100, 100)], rate=10, start=NOON, expires_at=NOON + 2 * DAY,
        room=lambda day: 40 if day == NOON.date() else 1000,
    )  # fmt: skip

    assert out.by_hour == {NOON: pytest.approx(40), NOON + 21 * HOUR: pytest.approx(60)}
    assert (out.capped, out.put_off) == (pytest.approx(60), 0)


@given(BATCHES, st.integers(1, 50), st.integers(1, 48), st.integers(0, 6000))
def test_no_day_carries_more_than_it_has_room_for(
    batches: list[Batch], rate: int, hours: int, room: int
) -> None:
    out = simulate(
        batches,
        rate=rate,
        start=NOON,
        expires_at=NOON + hours * HOUR,
        room=defaultdict(lambda: room).__getitem__,
    )

    whole = sum(batch.texts for batch in batches)
    assert sum(out.by_hour.values()) + out.too_late == pytest.approx(whole, abs=0.01)
    for day in {hour.date() for hour in out.by_hour}:
        left = sum(texts for hour, texts in out.by_hour.items() if hour.date() == day)
        assert left <= room + 0.01
    if not room:
        assert out.too_late == pytest.approx(whole, abs=0.01)
