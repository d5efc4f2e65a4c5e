"""A constant rate of HTTP requests over kept connections, and the installation that answers them.

Open loop: each request has its moment, and its latency counts from there, whether or not a
connection was free.
"""

import asyncio
import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles

from django.conf import settings

from benchmarks import world
from config import processes

CONNECTIONS = 64


@contextmanager
def installation(**more: str) -> Iterator[tuple[int, int, int]]:
    """Two web workers and the ticker, until the end of the block; (port, web's pid, ticker's pid)."""
    port = processes.free_port()
    environment = {**os.environ, "PUBLIC_URL": settings.PUBLIC_URL, "LOG_LEVEL": "WARNING", **more}
    commands = (
        processes.web_command("127.0.0.1", port),
        [sys.executable, str(world.ROOT / "manage.py"), "ticker"],
    )
    children = [subprocess.Popen(command, cwd=world.ROOT, env=environment) for command in commands]
    try:
        if not processes.wait_for(f"http://127.0.0.1:{port}/healthz"):
            raise RuntimeError("the web server did not start")
        yield port, children[0].pid, children[1].pid
    finally:
        for child in children:
            child.terminate()
        for child in children:
            child.wait(30)


def family(parent: int) -> list[int]:
    """The process ids of a process and its children."""
    tasks = Path(f"/proc/{parent}/task").iterdir()
    return [
        parent,
        *(int(pid) for task in tasks for pid in (task / "children").read_text().split()),
    ]


class Load:
    """Sends whole requests at their moments; each must be answered with one of some statuses."""

    def __init__(
        self, port: int, requests: Sequence[bytes], *, rate: float, statuses: tuple[bytes, ...]
    ) -> None:
        self.port, self.rate, self.requests = port, rate, requests
        self.heads = tuple(b"HTTP/1.1 " + status for status in statuses)
        self.latencies: list[float] = []
        self.seconds = self.cpu = 0.0
        self.idle: deque[_Connection] = deque()
        self.waiting: deque[tuple[float, bytes]] = deque()

    def run(self) -> "Load":
        """Returns when everything is answered. Raises RuntimeError at an answer of another status."""
        cpu, began = time.process_time(), time.monotonic()
        asyncio.run(self._send(began))
        self.seconds, self.cpu = time.monotonic() - began, time.process_time() - cpu
        return self

    def figures(self, name: str) -> dict[str, float]:
        """What came out, the rate as `<name>_per_second`."""
        cuts = quantiles(self.latencies, n=100)
        return {
            f"{name}_per_second": len(self.latencies) / self.seconds,
            "p50_ms": median(self.latencies) * 1000,
            "p95_ms": cuts[94] * 1000,
            "p99_ms": cuts[98] * 1000,
            "generator_cpu": self.cpu,
        }

    async def _send(self, began: float) -> None:
        loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[None] = loop.create_future()
        for _ in range(CONNECTIONS):
            await loop.create_connection(lambda: _Connection(self), "127.0.0.1", self.port)
        for place, request in enumerate(self.requests):
            moment = began + place / self.rate
            wait = moment - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
            elif place % CONNECTIONS == 0:
                await asyncio.sleep(0)  # answers are read also while we are late
            if self.ended.done():
                break
            if self.idle:
                self.idle.popleft().send(moment, request)
            else:
                self.waiting.append((moment, request))
        await self.ended

    def answered(self, connection: "_Connection", moment: float, head: bytes) -> None:
        if not head.startswith(self.heads):
            self._fail(f"a request was answered {head[:60]!r}")
            return
        self.latencies.append(time.monotonic() - moment)
        if len(self.latencies) == len(self.requests) and not self.ended.done():
            self.ended.set_result(None)
        self.free(connection)

    def free(self, connection: "_Connection") -> None:
        if self.waiting:
            connection.send(*self.waiting.popleft())
        else:
            self.idle.append(connection)

    def lost(self, connection: "_Connection", sent: tuple[float, bytes] | None) -> None:
        """The server closed a connection: another one, and again what was not answered."""
        if connection in self.idle:
            self.idle.remove(connection)
        if sent:
            self.waiting.appendleft(sent)
        if not self.ended.done():
            loop = asyncio.get_running_loop()
            self.reopening = loop.create_task(
                loop.create_connection(lambda: _Connection(self), "127.0.0.1", self.port)
            )

    def _fail(self, why: str) -> None:
        if not self.ended.done():
            self.ended.set_exception(RuntimeError(why))


class _Connection(asyncio.Protocol):
    """One kept connection with at most one request on its way."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.sent: tuple[float, bytes] | None = None
        self.read = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.load.free(self)

    def send(self, moment: float, request: bytes) -> None:
        self.sent, self.read = (moment, request), b""
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self.read += data
        head, blank, body = self.read.partition(b"\r\n\r\n")
        if not blank or self.sent is None:
            return
        length = head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0]
        if len(body) >= int(length or 0):
            moment, self.sent = self.sent[0], None
            self.load.answered(self, moment, head)

    def connection_lost(self, why: Exception | None) -> None:
        self.load.lost(self, self.sent)
