"""A wire that breaks on demand: between our processes and PostgreSQL, Valkey or the carrier.

It listens on TCP and passes bytes on to a TCP port or a Unix socket. It can cut every connection
now, refuse new ones, swallow answers, be slow, and act at the moment when certain bytes pass by.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import Enum, auto

CHUNK = 262_144
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close with a reset instead of a farewell
Target = str | tuple[str, int]  # a Unix socket's path, or host and port


class On(Enum):
    """When a trap acts: the bytes it waits for are always part of a request."""

    REQUEST = auto()  # before the request is passed on
    WRITTEN = auto()  # when the request has been passed on
    ANSWER = auto()  # when its answer has come, which is then lost


@dataclass(slots=True, eq=False)
class Trap:
    """Waits for bytes in a request. `act` runs first, then the connection is cut."""

    pattern: bytes
    on: On
    act: Callable[[], None] = lambda: None
    times: int = 1
    after: bytes = b""  # this must have been asked in the same transaction
    sprung: threading.Event = field(default_factory=threading.Event)  # the first time
    done: threading.Event = field(default_factory=threading.Event)  # the last time
    left: int = 0  # connections that it has still to cut

    def __post_init__(self) -> None:
        self.left = self.times


@dataclass(slots=True, eq=False)
class _Wire:
    """One connection: the client's side and the server's."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    asked: set[bytes] = field(default_factory=set)  # what traps' `after` have seen
    awaiting: Trap | None = None  # its answer is lost when it comes
    waiting: bool = False  # a request was passed on that has no answer yet


class Proxy:
    """Runs in a thread of its own; its methods may be called from any other."""

    def __init__(self, target: Target) -> None:
        self.delay = 0.0  # seconds before each piece is passed on, in both directions
        self.swallow = False  # answers never come
        self._target = target
        self._traps: list[Trap] = []
        self._wires: set[_Wire] = set()
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.port = 0
        self._call(self._listen())

    def cut(self) -> int:
        """Reset every connection; answers how many were waiting for an answer."""
        return self._call(self._cut())

    def refuse(self) -> None:
        """Nobody listens any more, and what was open is cut."""
        self._call(self._refuse())

    def heal(self) -> None:
        """Listen again and pass everything on at once."""
        self.delay, self.swallow = 0.0, False
        self._traps.clear()
        self._call(self._listen())

    def trap(
        self, pattern: bytes, on: On, *, act: Callable[[], None] = lambda: None,
        times: int = 1, after: bytes = b"",
    ) -> Trap:  # fmt: skip
        """Cut the connection on which these bytes pass by, so many times."""
        trap = Trap(pattern, on, act, times, after)
        self._traps.append(trap)
        return trap

    def disarm(self, trap: Trap) -> None:
        """Let pass by what the trap has not caught yet."""
        trap.left = 0
        if trap in self._traps:
            self._traps.remove(trap)

    def close(self) -> None:
        """Cut everything and end the thread."""
        self.refuse()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    def _call[T](self, doing: Awaitable[T]) -> T:
        return asyncio.run_coroutine_threadsafe(doing, self._loop).result(10)  # type: ignore[arg-type]

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(
                self._serve, "127.0.0.1", self.port, limit=CHUNK, backlog=512
            )
            self.port = self._server.sockets[0].getsockname()[1]

    async def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._cut()

    async def _cut(self) -> int:
        waiting = sum(wire.waiting for wire in self._wires)
        for wire in list(self._wires):
            _reset(wire)
        return waiting

    async def _serve(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        try:
            if isinstance(self._target, str):
                answers, server = await asyncio.open_unix_connection(self._target, limit=CHUNK)
            else:
                answers, server = await asyncio.open_connection(*self._target, limit=CHUNK)
        except OSError:
            client.transport.abort()
            return
        wire = _Wire(client, server)
        self._wires.add(wire)
        tasks = [
            asyncio.create_task(self._ask(wire, reader)),
            asyncio.create_task(self._answer(wire, answers)),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._wires.discard(wire)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for side in (client, server):
                side.close()

    async def _ask(self, wire: _Wire, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK):
                if self.delay:
                    await asyncio.sleep(self.delay)
                trap = self._sprung_by(wire, data)
                if trap and trap.on is On.REQUEST:
                    _spring(wire, trap)
                    return
                wire.server.write(data)
                wire.waiting = True
                await wire.server.drain()
                if trap and trap.on is On.WRITTEN:
                    _spring(wire, trap)
                    return

    async def _answer(self, wire: _Wire, answers: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError):
            while data := await answers.read(CHUNK):
                if self.delay:
                    await asyncio.sleep(self.delay)
                wire.waiting = False
                if wire.awaiting and wire.awaiting.left:
                    _spring(wire, wire.awaiting)
                    return
                if not self.swallow:
                    wire.client.write(data)
                    await wire.client.drain()

    def _sprung_by(self, wire: _Wire, data: bytes) -> Trap | None:
        caught = self._caught(wire, data)
        if b"COMMIT" in data:
            wire.asked.clear()
        return caught

    def _caught(self, wire: _Wire, data: bytes) -> Trap | None:
        for trap in list(self._traps):
            if trap.after and trap.after in data:
                wire.asked.add(trap.after)
            if trap.pattern in data and (not trap.after or trap.after in wire.asked):
                trap.times -= 1
                if trap.times <= 0:
                    self._traps.remove(trap)
                if trap.on is On.ANSWER:
                    wire.awaiting = trap
                return trap
        return None


def _spring(wire: _Wire, trap: Trap) -> None:
    trap.act()
    _reset(wire)
    trap.left -= 1
    trap.sprung.set()
    if trap.left <= 0:
        trap.done.set()


def _reset(wire: _Wire) -> None:
    """Hang up on the client with a reset, and on the server as a dead client does."""
    raw = wire.client.get_extra_info("socket")
    if raw is not None:
        with contextlib.suppress(OSError):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    wire.client.transport.abort()
    wire.server.transport.abort()
