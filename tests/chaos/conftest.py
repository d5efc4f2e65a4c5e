"""The length of the chaos suite, its installation, and the figures at its end.

CHAOS=long runs the long forms. RUNS: how many random crash runs. SEED: the first seed, or the only
one where RUNS is not given. KEEP=1 leaves the logs in their temporary folder.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.installation import Installation
from tests.chaos.scene import Scene
from tests.chaos.verdict import Verdict

LONG = os.environ.get("CHAOS") == "long"
SEED = int(os.environ.get("SEED") or "1")
LABEL = "chaos"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "long: only in `make chaos`")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Everything here is chaos; what is only worth it at length is left out of the short form."""
    here = [item for item in items if Path(__file__).parent in item.path.parents]
    for item in here:
        item.add_marker(pytest.mark.chaos)
        item.add_marker(pytest.mark.timeout(420))
    if not LONG:
        left_out = [item for item in here if item.get_closest_marker("long")]
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)


@pytest.fixture(scope="session")
def installation(django_db_blocker: Any) -> Iterator[Installation]:
    folder = Path(tempfile.mkdtemp(prefix="carillon-chaos-"))
    made = Installation(folder)
    with django_db_blocker.unblock(), made.entered():
        made.furnish()
    yield made
    made.close()
    if os.environ.get("KEEP") != "1":
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def scene(
    installation: Installation, django_db_blocker: Any, request: pytest.FixtureRequest
) -> Iterator[Callable[..., Scene]]:
    """scene(name) makes the test's scenario; its verdict is printed at the end of the session."""
    made: list[Scene] = []

    def make(name: str, seed: int = SEED) -> Scene:
        made.append(Scene(installation, name, seed))
        return made[-1]

    with django_db_blocker.unblock(), installation.entered():
        yield make
    for one in made:
        request.node.user_properties.append((LABEL, asdict(one.verdict)))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """One line for each scenario, and one for all random runs together."""
    verdicts = [
        Verdict(**value)
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", "") == "teardown"
        for key, value in getattr(report, "user_properties", ())
        if key == LABEL
    ]
    if not verdicts:
        return
    terminalreporter.section("chaos")
    for verdict in sorted(verdicts, key=lambda one: (one.name, one.seed)):
        terminalreporter.line(verdict.line())
    random = [one for one in verdicts if one.name == "random"]
    for title, some in (("random crash runs", random), ("all", verdicts)):
        if some:
            terminalreporter.line(f"{title}: {_total(some)}")


def _total(verdicts: list[Verdict]) -> str:
    names = ("kills", "texts", "twice", "lost", "unknown", "after_stop")
    sums = {name: sum(getattr(one, name) for one in verdicts) for name in names}
    return " ".join(f"{name}={value}" for name, value in {"runs": len(verdicts), **sums}.items())
