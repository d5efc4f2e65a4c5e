"""The processes of one machine: started, watched, started again when they die, stopped in order."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import requests
from django.conf import settings

STOP_SECONDS = 30.0  # a worker finishes the batch that is on its way within this time
RESTART_SECONDS = 1.0


class PortTakenError(Exception):
    """Somebody listens there; the message names the port and what to do."""


def check_port(port: int, variable: str, host: str = "127.0.0.1") -> None:
    """Raises PortTakenError where nothing new can listen."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            raise PortTakenError(
                f"Port {port} is taken by another program; choose another with {variable}."
            ) from None


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody listens on at present."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def web_command(host: str, port: int, workers: int = 2) -> list[str]:
    """The web server's command line."""
    return [
        sys.executable, "-m", "gunicorn", "config.wsgi", "--no-control-socket",
        "--bind", f"{host}:{port}", "--workers", str(workers), "--threads", "8",
        "--graceful-timeout", "20", "--log-level", "warning",
    ]  # fmt: skip


def manage_command(*arguments: str) -> list[str]:
    """A management command's command line."""
    return [sys.executable, str(settings.BASE_DIR / "manage.py"), *arguments]


@dataclass(slots=True)
class _Child:
    name: str
    command: list[str]
    process: subprocess.Popen[bytes]
    started: float


@dataclass(slots=True)
class Processes:
    """Children in process groups of their own: Ctrl-C reaches this process alone, which then stops
    them in reverse order. A child that dies is started again."""

    logs: Path
    environment: dict[str, str] = field(default_factory=dict)
    restarts: int = 0
    _children: list[_Child] = field(default_factory=list)
    _files: list[IO[bytes]] = field(default_factory=list)

    def start(self, name: str, command: list[str]) -> None:
        """Start a child that logs to `<logs>/<name>.log`."""
        self.logs.mkdir(parents=True, exist_ok=True)
        self._children.append(_Child(name, command, self._spawn(name, command), time.monotonic()))

    def watch(self) -> None:
        """Start again what has died; call it now and then."""
        for child in self._children:
            rested = time.monotonic() - child.started > RESTART_SECONDS
            if child.process.poll() is not None and rested:
                self.restarts += 1
                child.process = self._spawn(child.name, child.command)
                child.started = time.monotonic()

    def stop(self) -> None:
        """End everything: SIGTERM, and SIGKILL for what still runs after 30 seconds."""
        for child in reversed(self._children):
            with contextlib.suppress(ProcessLookupError):
                child.process.send_signal(signal.SIGTERM)
        until = time.monotonic() + STOP_SECONDS
        for child in reversed(self._children):
            try:
                child.process.wait(max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()
        self._children.clear()
        for file in self._files:
            file.close()
        self._files.clear()

    def _spawn(self, name: str, command: list[str]) -> subprocess.Popen[bytes]:
        log = (self.logs / f"{name}.log").open("ab")
        self._files.append(log)
        return subprocess.Popen(  # noqa: S603 - our own command lines
            command,
            cwd=settings.BASE_DIR,
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def wait_for(url: str, *, seconds: float = 30.0) -> bool:
    """Whether an address answers 200 within so many seconds."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with contextlib.suppress(requests.RequestException):
            if requests.get(url, timeout=2).status_code == 200:
                return True
        time.sleep(0.1)
    return False
