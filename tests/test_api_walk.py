"""docs/api.md, run as a newcomer would: every command of it, on servers and a carrier of its own."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.processes import free_port, wait_for

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "api.md"


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Carillon and the fake carrier as processes, with nothing of this test run's own servers."""
    web, carrier = free_port(), free_port()
    own = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    environment = own | {
        "CARILLON_DATA": str(tmp_path / "data"),
        "FAKE_CARRIER_URL": f"http://127.0.0.1:{carrier}",
        "PUBLIC_URL": f"http://127.0.0.1:{web}",
        "WEB": str(web),
    }
    with (tmp_path / "log").open("wb") as log:
        started = [
            subprocess.Popen(
                [sys.executable, "manage.py", *command],
                cwd=ROOT,
                env=environment,
                stdout=log,
                stderr=log,
            )
            for command in (
                ["serve", "--port", str(web), "--workers", "1"],
                ["fake_carrier", "--port", str(carrier)],
            )
        ]
        try:
            assert wait_for(f"http://127.0.0.1:{web}/readyz", seconds=90), (
                tmp_path / "log"
            ).read_text()
            yield environment
        finally:
            for process in started:
                process.send_signal(signal.SIGTERM)
            for process in started:
                process.wait(40)


def commands() -> str:
    blocks = re.findall(r"^```sh\n(.*?)^```", DOCUMENT.read_text(), re.M | re.S)
    assert len(blocks) >= 6
    return "\n".join(blocks)


@pytest.mark.timeout(240)
def test_the_walk_of_the_document_ends_with_a_delivered_text_and_its_click(
    environment: dict[str, str],
) -> None:
    script = commands().replace("127.0.0.1:8000", f"127.0.0.1:{environment['WEB']}")
    script = script.replace(".venv/bin/python", sys.executable)

    ran = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    told = ran.stdout
    assert ran.returncode == 0, told + ran.stderr
    assert '"state":"delivered"' in told
    assert "302 https://example.com/spring" in told
    assert '"kind":"click","name":"click"' in told
    assert '"kind":"receipt"' in told
    assert '"refused":1' in told  # of the bulk upsert: one row was no number
    assert re.search(r'"status":"(scheduled|running)"', told)
