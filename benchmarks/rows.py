"""The rows of the benchmark: run, shown, and kept with machine, versions and commit."""

import datetime as dt
import json
import os
import platform
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from django.db import connection

from benchmarks import (
    bulk_upsert,
    forecasts,
    planning,
    provider,
    queue_table,
    reads,
    receipts,
    redirects,
    rivals,
    segments,
    sending,
    web,
)

RESULTS = Path(__file__).resolve().parent / "results"


@dataclass(frozen=True, slots=True)
class Row:
    """A measurement, and the figures of it that have a target: name -> (reach, beyond).

    A figure whose `beyond` is larger than its `reach` should be high, the others low.
    """

    run: Callable[[], dict[str, float]]
    targets: Mapping[str, tuple[float, float]] = field(default_factory=dict)


def _number(name: str, default: int) -> int:
    return int(os.environ.get(name) or default)


def _sizes(name: str, default: str) -> list[int]:
    """GROWTH="10000 40000": how many texts the row `growth` sends, one after the other."""
    return [int(size) for size in (os.environ.get(name) or default).split()]


def _through(gateway: str) -> dict[str, float]:
    return sending.through(
        gateway, texts=_number("TEXTS", 40_000), delay_ms=200, workers=_number("WORKERS", 3)
    )


ROWS: dict[str, Row] = {
    "single": Row(lambda: _through("twilio"), {"texts_per_second": (5000, 8000)}),
    "bulk": Row(lambda: _through("mitto"), {"texts_per_second": (10_000, 15_000)}),
    "bullmq": Row(lambda: rivals.bullmq(_number("TEXTS", 40_000))),
    "celery": Row(lambda: rivals.celery(_number("CELERY_TEXTS", 10_000))),
    "plan": Row(lambda: planning.against_a_long_log(100_000, 3_000_000), {"seconds": (5, 2)}),
    "forecast": Row(lambda: forecasts.of_an_audience(100_000, 1_000_000), {"seconds": (5, 2)}),
    "tiers": Row(lambda: planning.tiers(500_000), {"first_text_after": (10, 3)}),
    "fairness": Row(sending.fairness, {"last_small_brand_seconds": (10, 5)}),
    "enqueue": Row(lambda: web.enqueue(100_000, calls=60), {"p95_ms": (200, 50)}),
    "growth": Row(
        lambda: sending.growth(_sizes("GROWTH", "10000 40000 160000 640000")),
        {"spread": (0.2, 0.1)},
    ),
    "decide": Row(lambda: planning.decisions(100_000), {"seconds": (2, 1)}),
    "tick": Row(
        lambda: planning.ticks(_number("TICK_PEOPLE", 200_000), 20),
        {"all_due": (3, 2), "one_percent_due": (0.2, 0.1)},
    ),
    # TICK_GROWTH="50000 200000 1000000" takes some minutes and 3 GB more.
    "tick_growth": Row(
        lambda: planning.tick_growth(_sizes("TICK_GROWTH", "50000 200000")),
        {"spread": (0.2, 0.1)},
    ),
    "receipts": Row(
        lambda: receipts.told(rate=1000, seconds=12),
        {"receipts_per_second": (990, 999), "p95_ms": (100, 50)},
    ),
    "redirects": Row(
        lambda: redirects.followed(rate=1500, seconds=_number("SECONDS", 20)),
        {"redirects_per_second": (1485, 1499), "p95_ms": (20, 10)},
    ),
    "bulk_upsert": Row(
        lambda: bulk_upsert.loaded(_number("PEOPLE", 200_000)),
        {
            f"{body}_{step}_per_second": (20_000, 30_000)
            for body in ("json", "stream")
            for step in ("new", "changed")
        },
    ),
    "reads": Row(lambda: reads.answered(_number("LOG", 10_000_000)), {"worst_p95_ms": (50, 25)}),
    "queue": Row(queue_table.compare),
    "segment_count": Row(segments.segment_count, {"seconds": (1, 0.5)}),
    "stub": Row(lambda: provider.stub_alone(40_000), {"requests_per_second": (8000, 16_000)}),
    "clients": Row(lambda: provider.clients(20_000)),
}
# Rows that are compared where both were run: ours in times of theirs.
RATIOS = {("single", "bullmq"): (4, 6), ("single", "celery"): (4, 6)}


def run(names: list[str], *, times: int) -> int:
    """Run the named rows (or all) so many times, print the medians and keep everything."""
    unknown = [name for name in names if name not in ROWS]
    if unknown:
        print(f"There is no row {unknown[0]!r}; there are: {', '.join(ROWS)}.")
        return 1
    about = _about()
    kept: dict[str, Any] = {}
    failed = False
    for name in names or ROWS:
        began = time.monotonic()
        try:
            kept[name] = _medians([ROWS[name].run() for _ in range(times)])
        except rivals.NotInstalled as why:
            print(f"{name}: {why}", flush=True)
            failed = True
            continue
        kept[name]["row_seconds"] = {"median": time.monotonic() - began}
        _show(name, kept[name])
        _keep(about, kept)
    for (ours, theirs), target in RATIOS.items():
        if ours in kept and theirs in kept:
            of = [kept[name]["texts_per_second"]["median"] for name in (ours, theirs)]
            ratio = of[0] / of[1]
            kept[f"{ours}/{theirs}"] = {"ratio": {"median": ratio}}
            print(f"{ours}/{theirs}: {ratio:.1f} times {_verdict(ratio, target)}")
            _keep(about, kept)
    return int(failed)


def _keep(about: Mapping[str, str], kept: Mapping[str, Any]) -> None:
    """Write the results so far, beside those that the same commit had today."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{about['date'][:10]}-{about['commit']}.json"
    before = json.loads(path.read_text())["rows"] if path.exists() else {}
    path.write_text(json.dumps({**about, "rows": {**before, **kept}}, indent=1) + "\n")


def _medians(runs: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    return {
        key: {"median": median(one[key] for one in runs), "runs": [one[key] for one in runs]}
        for key in runs[0]
    }


def _show(name: str, figures: Mapping[str, Any]) -> None:
    """The figures that have a target first, each beside it; then the others in one line."""
    targets = ROWS[name].targets
    for key, target in targets.items():
        median_of = figures[key]["median"]
        print(f"{name:<9} {key} {median_of:,.2f} {_verdict(median_of, target)}", flush=True)
    others = [
        f"{key} {value['median']:,.2f}" for key, value in figures.items() if key not in targets
    ]
    print(f"{name:<9}   {', '.join(others)}", flush=True)


def _verdict(figure: float, target: tuple[float, float]) -> str:
    reach, beyond = target
    high = beyond > reach

    def met(limit: float) -> bool:
        return figure >= limit if high else figure <= limit

    word = "beyond" if met(beyond) else "reached" if met(reach) else "MISSED"
    return f"({'at least' if high else 'at most'} {reach:g}, beyond {beyond:g}: {word})"


def _about() -> dict[str, str]:
    """Where and with what it ran. The load tells whether the machine was busy with something else."""
    with connection.cursor() as cursor:
        cursor.execute("SHOW server_version")
        server = cursor.fetchone()[0]
        cursor.execute(
            "SELECT string_agg(name || '=' || setting, ' ') FROM pg_settings"
            " WHERE name IN ('fsync', 'synchronous_commit')"
        )
        durability = cursor.fetchone()[0]
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],  # noqa: S607
        capture_output=True, text=True, check=False, cwd=RESULTS.parent,
    ).stdout.strip()  # fmt: skip
    return {
        "date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "commit": commit or "uncommitted",
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}",
        "load_before": f"{os.getloadavg()[0]:.2f}",
        "python": platform.python_version(),
        "postgresql": f"{server}, {durability}",
        "packages": ", ".join(f"{n} {version(n)}" for n in ("django", "psycopg", "pycurl", "rq")),
    }
