"""The rows of the benchmark: run, shown, and kept with machine, versions and commit."""

import datetime as dt
import json
import os
import platform
import subprocess
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from statistics import median

from django.db import connection

from benchmarks import forecasts, queue_table, segments, sending

RESULTS = Path(__file__).resolve().parent / "results"
ROWS: dict[str, Callable[[], dict[str, float]]] = {
    "single": lambda: sending.through("twilio", texts=40_000, delay_ms=200, workers=2),
    "bulk": lambda: sending.through("mitto", texts=40_000, delay_ms=200, workers=2),
    "plan": lambda: sending.planning_row(100_000, 3_000_000),
    "forecast": lambda: forecasts.of_an_audience(100_000, 1_000_000),
    "fairness": sending.fairness,
    "queue": queue_table.compare,
    "segment_count": segments.segment_count,
}


def run(names: list[str], *, times: int) -> int:
    """Run the named rows (or all) so many times, print the medians and keep everything."""
    unknown = [name for name in names if name not in ROWS]
    if unknown:
        print(f"There is no row {unknown[0]!r}; there are: {', '.join(ROWS)}.")
        return 1
    kept = {}
    for name in names or ROWS:
        runs = [ROWS[name]() for _ in range(times)]
        kept[name] = {
            key: {"median": median(one[key] for one in runs), "runs": [one[key] for one in runs]}
            for key in runs[0]
        }
        shown = {key: round(value["median"], 2) for key, value in kept[name].items()}
        print(f"{name:<10}", shown, flush=True)
    RESULTS.mkdir(exist_ok=True)
    about = _about()
    path = RESULTS / f"{about['date'][:10]}-{about['commit']}.json"
    path.write_text(json.dumps({**about, "rows": kept}, indent=1) + "\n")
    print(f"kept in benchmarks/results/{path.name}")
    return 0


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
