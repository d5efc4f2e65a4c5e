"""The rows of the benchmark, and how their results are shown and kept."""

from collections.abc import Callable

from benchmarks import sending

ROWS: dict[str, Callable[[], dict[str, float]]] = {
    "single": lambda: sending.through("twilio", texts=40_000, delay_ms=200, workers=2),
    "bulk": lambda: sending.through("mitto", texts=40_000, delay_ms=200, workers=2),
    "plan": lambda: sending.planning_row(100_000, 3_000_000),
    "fairness": sending.fairness,
}


def run(names: list[str]) -> int:
    """Run the named rows, or all of them."""
    for name in names or ROWS:
        shown = {key: round(value, 2) for key, value in ROWS[name]().items()}
        print(name, shown, flush=True)
    return 0
