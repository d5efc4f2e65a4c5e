"""Valkey behind a wire that breaks after so many scripts."""

from __future__ import annotations

import contextlib
import socket
import threading
from urllib.parse import urlsplit


class ValkeyProxy:
    """Passes bytes on until the script after the last allowed one, then hangs up for good."""

    def __init__(self, target: str, *, scripts: int) -> None:
        parts = urlsplit(target)
        self._target = parts
        self._left = scripts
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        self.url = parts._replace(netloc=f"127.0.0.1:{port}").geturl()
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
                server = socket.create_connection(self._target)
                self._open += [client, server]
                threading.Thread(target=self._ask, args=(client, server), daemon=True).start()
                threading.Thread(target=self._answer, args=(server, client), daemon=True).start()

    def _ask(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                self._left -= data.count(b"EVALSHA")
                if self._left < 0:
                    self._hang_up()
                    return
                server.sendall(data)

    def _answer(self, server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                client.sendall(data)
