"""The fake carrier's command, settings and ledger."""

from __future__ import annotations

import json
import signal
import socket
import time
import urllib.error
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sending.carrier import behaviour, ledger


@pytest.mark.parametrize(
    ("path", "document"),
    [
        ("knobs", {"latencie": 1}),
        ("knobs", {"latency": "fast"}),
        ("knobs", {"latency": -1}),
        ("knobs", {"gateway": "pigeon"}),
        ("webhooks", {"gateway": "lime"}),
        ("webhooks", {"gateway": "lime", "address": "", "url": "x"}),
    ],
)
def test_a_wrong_setting_is_refused(carrier: Any, path: str, document: dict[str, Any]) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        carrier.post(f"/_carrier/{path}", document)
    assert caught.value.code == 400


def test_a_taken_port_is_one_sentence(start: Callable[..., Any]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = start(["--port", str(port)])
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 1
    assert f"Port {port} on 127.0.0.1 is already in use" in errors
    assert "Traceback" not in errors


def test_a_wrong_flag_is_one_sentence(start: Callable[..., Any]) -> None:
    process = start(["--port", "0", "--bulk-shape", "round"])
    _, errors = process.communicate(timeout=20)
    assert process.returncode != 0
    assert "bulk-shape" in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize("number_of_signal", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_cleanly_even_while_it_hangs(
    start: Callable[..., Any], number_of_signal: signal.Signals
) -> None:
    process = start(["--port", "0", "--hang", "60"])
    port = int(process.stdout.readline().rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as hanging:
        hanging.sendall(
            b"GET /sendsmsapi?user=u&api_id=a&mobile=14155550408&message=x HTTP/1.1\r\n"
            b"Host: localhost\r\n\r\n"
        )
        time.sleep(0.3)
        began = time.monotonic()
        process.send_signal(number_of_signal)
        _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (0, "")
    assert time.monotonic() - began < 5


def test_a_ledger_goes_on_after_a_crash(tmp_path: Path) -> None:
    entry = ledger.Entry("t", "lime", "1", "", "", "+1", "71441", "Zoë ✓", 1)
    path = tmp_path / "log.jsonl"
    first = ledger.Ledger(path)
    first.append([entry, entry])
    first.close()
    with path.open("ab") as file:
        file.write(b'{"at": "t", "gate')

    second = ledger.Ledger(path)
    second.append([entry])

    assert len(second) == 3
    assert second.accepted == {"lime": 3}
    assert [json.loads(line)["body"] for line in second.lines(after=1, limit=9)] == ["Zoë ✓"] * 2
    second.close()


@pytest.mark.parametrize(
    ("body", "count"),
    [("", 1), ("a" * 160, 1), ("a" * 161, 2), ("a" * 307, 3), ("€" * 80, 1), ("€" * 81, 2),
     ("✓" * 70, 1), ("✓" * 71, 2), ("👍" * 35, 1), ("👍" * 36, 2)],
)  # fmt: skip
def test_segments_are_counted_as_on_the_air(body: str, count: int) -> None:
    assert ledger.segments(body) == count


def test_chance_is_the_same_each_time_and_near_its_share() -> None:
    drawn = [behaviour.share(1, "stop", str(n)) for n in range(5000)]
    assert drawn == [behaviour.share(1, "stop", str(n)) for n in range(5000)]
    assert 0.08 < sum(value < 0.1 for value in drawn) / 5000 < 0.12
    assert behaviour.share(1, "stop", "1") != behaviour.share(2, "stop", "1")
