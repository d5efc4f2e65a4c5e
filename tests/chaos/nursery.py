"""Real processes in no time: a parent that has loaded Django forks a management command on request.

Starting Python and Django takes a second, half of what this machine has at four kills a second. Each
line of standard input is a command line as JSON, `["worker"]`; its process id is answered. Children are in
process groups of their own and nobody waits for them, so that none stays as a zombie.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import IO

PR_SET_PDEATHSIG = 1  # Linux
ROOT = Path(__file__).parents[2]


class Process:
    """A process that may be told to stop, be it our child or the nursery's."""

    def __init__(self, pid: int, name: str) -> None:
        self.pid = pid
        self.name = name

    def signal(self, number: int) -> None:
        """Send a signal; nothing happens where the process is gone."""
        if self.lives():
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.signal(signal.SIGKILL)
        if not self.gone_within(10):
            raise AssertionError(f"{self.name} survived SIGKILL")

    def lives(self) -> bool:
        """Whether it runs; a zombie does not."""
        try:
            stat = Path(f"/proc/{self.pid}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return False
        return stat.rpartition(")")[2].split()[0] not in "ZX"

    def gone_within(self, seconds: float) -> bool:
        """Wait for its end."""
        until = time.monotonic() + seconds
        while self.lives():
            if time.monotonic() > until:
                return False
            time.sleep(0.005)
        return True


class Nursery:
    """Starts management commands in one environment."""

    def __init__(self, log: Path) -> None:
        """Starts Python; Django waits for `load`."""
        self._log: IO[bytes] = log.open("ab")
        self._lock = threading.Lock()
        self._parent = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.nursery"],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=self._log, text=True, start_new_session=True,
        )  # fmt: skip

    def load(self, environment: Mapping[str, str]) -> None:
        """Load the project with this environment and bring the database up to date: `ready` waits."""
        self._write(dict(environment))

    def ready(self) -> None:
        """Wait until it can start processes."""
        if self._read() != "ready":
            raise RuntimeError(f"the nursery did not start: see {self._log.name}")

    def start(self, *arguments: str) -> Process:
        """Start `manage.py <arguments>`."""
        with self._lock:
            self._write(arguments)
            return Process(int(self._read()), " ".join(arguments))

    def close(self) -> None:
        """End it. Its children are their owners' to end."""
        assert self._parent.stdin is not None
        self._parent.stdin.close()
        try:
            self._parent.wait(10)
        except subprocess.TimeoutExpired:
            self._parent.kill()
            self._parent.wait()
        self._log.close()

    def _write(self, document: object) -> None:
        assert self._parent.stdin is not None
        self._parent.stdin.write(json.dumps(document) + "\n")
        self._parent.stdin.flush()

    def _read(self) -> str:
        assert self._parent.stdout is not None
        return self._parent.stdout.readline().strip()


def main() -> None:
    """The parent process."""
    _die_with_parent()
    os.environ |= json.loads(sys.stdin.readline())
    import django
    from django.core import checks
    from django.core.management import call_command
    from django.db import connections

    django.setup()
    call_command("migrate", verbosity=0)
    connections.close_all()
    checks.run_checks()  # loads the rest of the project: children need not
    from sending import dispatch  # noqa: F401
    from sending.management.commands import ticker, worker  # noqa: F401

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    print("ready", flush=True)  # noqa: T201
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _run(json.loads(line))
        print(child, flush=True)  # noqa: T201


def _run(arguments: list[str]) -> None:
    """The child: from here on a process like any other."""
    from django.core.management import execute_from_command_line

    _die_with_parent()
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    code = 1
    try:
        execute_from_command_line(["manage.py", *arguments])
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:  # noqa: BLE001 - the process ends here, and its log says why
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _die_with_parent() -> None:
    """Nothing may outlive a test run that was killed."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    main()
