"""The fake carrier as a process of its own, and a receiver for what it sends back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
# The command without the project's settings: it needs none.
LAUNCH = """
import sys, django
from django.conf import settings
settings.configure()
django.setup()
from sending.management.commands.fake_carrier import Command
Command().run_from_argv(["manage.py", "fake_carrier", *sys.argv[1:]])
"""
QUIET = ("--latency", "0", "--undelivered", "0", "--stop", "0", "--reply", "0")
SOON = ("--receipt-delay", "0.05", "--reply-delay", "0.05", "--hang", "5")


def launch(*arguments: str) -> subprocess.Popen[str]:
    """Start the command; its output is piped."""
    return subprocess.Popen(
        [sys.executable, "-c", LAUNCH, *arguments],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


@dataclass
class Running:
    """A carrier that answers."""

    url: str
    log: Path
    process: subprocess.Popen[str]

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:  # noqa: S310
            return json.loads(answer.read())

    def post(self, path: str, document: dict[str, Any]) -> Any:
        data = json.dumps(document).encode()
        with urllib.request.urlopen(self.url + path, data, timeout=10) as answer:  # noqa: S310
            return json.loads(answer.read())

    def fetch(self, path: str, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        """(status, document or text), whatever the status is."""
        request = urllib.request.Request(self.url + path, headers=headers or {})  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
                status, body = answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            status, body = error.code, error.read().decode()
        return status, json.loads(body) if body.startswith("{") else body

    def entries(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def wait_until_quiet(self) -> dict[str, Any]:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            stats: dict[str, Any] = self.get("/_carrier/stats")
            if not stats["callbacks"]["pending"]:
                return stats
            time.sleep(0.05)
        raise AssertionError("callbacks are still pending")


@dataclass
class Received:
    """One callback."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """A web server that keeps every request and answers with `statuses` in turn, then 200."""

    got: list[Received] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def _keep(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver.got.append(Received(self.command, self.path, headers, body))
                self.send_response(receiver.statuses.pop(0) if receiver.statuses else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_POST = _keep  # noqa: N815

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="session")
def carrier_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    log = tmp_path_factory.mktemp("carrier") / "log.jsonl"
    process = launch("--port", "0", "--log", str(log), *QUIET, *SOON)
    assert process.stdout is not None
    line = process.stdout.readline()
    assert "listening on http://" in line, process.communicate()
    yield Running(line.split()[-1], log, process)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=10)
    assert process.returncode == 0


@pytest.fixture
def carrier(carrier_process: Running) -> Running:
    """The session's carrier with its knobs set back and its memory cleared; the log goes on."""
    carrier_process.post("/_carrier/reset", {})
    return carrier_process


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    opened = Receiver()
    yield opened
    opened.close()


@pytest.fixture
def start() -> Callable[[Sequence[str]], subprocess.Popen[str]]:
    """start(arguments) launches another carrier."""
    return lambda arguments: launch(*arguments)
