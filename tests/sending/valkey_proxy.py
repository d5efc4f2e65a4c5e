"""Valkey behind a wire that breaks after so many scripts."""

from __future__ import annotations

import contextlib
import socket
import threading
from urllib.parse import parse_qs, urlsplit


class ValkeyProxy:
    """Passes bytes on until the script after the last allowed one, then hangs up for good."""

    def __init__(self, target: str, *, scripts: int) -> None:
        """`target`: the address of the real one, `unix://...?db=N` or `redis://host:port/N`."""
        self._target = urlsplit(target)
        self.left = scripts
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        database = parse_qs(self._target.query).get("db", [self._target.path.strip("/")])[0]
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}/{database}"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> ValkeyProxy:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._hang_up()

    def _hang_up(self) -> None:
        for each in [self._listener, *self._open]:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = self._connect()
                self._open += [client, server]
                threading.Thread(target=self._ask, args=(client, server), daemon=True).start()
                threading.Thread(target=self._answer, args=(server, client), daemon=True).start()

    def _connect(self) -> socket.socket:
        if self._target.scheme != "unix":
            return socket.create_connection((self._target.hostname, self._target.port))
        server = socket.socket(socket.AF_UNIX)
        server.connect(self._target.path)
        return server

    def _ask(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                self.left -= data.count(b"EVALSHA")
                if self.left < 0:
                    self._hang_up()
                    return
                server.sendall(data)

    def _answer(self, server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                client.sendall(data)
