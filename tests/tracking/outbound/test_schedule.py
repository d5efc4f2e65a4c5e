"""When a delivery is tried again, and when an endpoint is left alone."""

import datetime as dt

from hypothesis import given
from hypothesis import strategies as st

from tracking.outbound import schedule
from tracking.outbound.schedule import KEEP_TRYING, WAITS, Circuit, next_wait

NOW = dt.datetime(2026, 5, 1, 12, tzinfo=dt.UTC)
draws = st.floats(0, 1, exclude_max=True)


@given(st.lists(draws, min_size=len(WAITS), max_size=len(WAITS)))
def test_all_attempts_are_within_three_days_and_the_last_on_the_third(drawn: list[float]) -> None:
    waits = [next_wait(place, draw=draw, asked=None) for place, draw in enumerate(drawn, 1)]

    total = sum((wait for wait in waits if wait), dt.timedelta())
    assert dt.timedelta(days=2) < total <= KEEP_TRYING
    assert next_wait(len(WAITS) + 1, draw=0, asked=None) is None


@given(st.integers(1, len(WAITS)), draws, st.integers(0, 10**8))
def test_what_the_endpoint_asks_for_makes_a_wait_longer_never_shorter(
    attempts: int, draw: float, seconds: int
) -> None:
    asked = dt.timedelta(seconds=seconds)
    own = next_wait(attempts, draw=draw, asked=None)
    heeded = next_wait(attempts, draw=draw, asked=asked)

    assert own is not None
    assert heeded == max(own, min(asked, dt.timedelta(hours=24)))


def test_a_circuit_opens_after_ten_failures_pauses_longer_each_time_and_closes_at_once() -> None:
    circuit = Circuit(0, None)
    for _ in range(9):
        circuit = circuit.failed(NOW, probe=False)
        assert circuit.paused_until is None

    pauses = []
    for place in range(9):
        circuit = circuit.failed(NOW, probe=place > 0)
        assert circuit.paused_until is not None
        pauses.append((circuit.paused_until - NOW) // dt.timedelta(minutes=1))

    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert circuit.succeeded() == Circuit(0, None)


def test_what_was_under_way_when_a_circuit_opened_does_not_lengthen_its_pause() -> None:
    opened = Circuit(schedule.FAILURES_THAT_PAUSE, NOW + dt.timedelta(minutes=1))

    assert opened.failed(NOW, probe=False) == opened
