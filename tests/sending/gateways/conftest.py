"""A provider made of a socket: the transport's tests need answers that no web framework gives."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from sending.gateways.base import Call

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass
class Request:
    """One whole request, with its place in the server's life."""

    connection: int  # 1 is the first connection that the server accepted
    number: int  # 1 is the first request on that connection
    line: str
    headers: dict[str, str]
    body: bytes


Handler = Callable[[socket.socket, Request], bool]  # answers; True keeps the connection


@dataclass
class SocketServer:
    """Counts every request that it read to the end, then lets the handler do as it likes."""

    handler: Handler
    tls: ssl.SSLContext | None = None
    requests: list[Request] = field(default_factory=list)
    connections: int = 0

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            arguments = (connection, self.connections)
            threading.Thread(target=self._serve, args=arguments, daemon=True).start()

    def _serve(self, connection: socket.socket, place: int) -> None:
        try:
            if self.tls:
                connection = self.tls.wrap_socket(connection, server_side=True)
            number = 1
            while (request := read_request(connection, place, number)) is not None:
                self.requests.append(request)
                if not self.handler(connection, request):
                    break
                number += 1
        except OSError:
            pass
        finally:
            connection.close()


def read_request(connection: socket.socket, place: int, number: int) -> Request | None:
    """The next request on a connection, or None at its end."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            return None
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    line, *rest = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (h.partition(":") for h in rest)}
    while len(body) < int(headers.get("content-length", 0)):
        body += connection.recv(65536)
    return Request(place, number, line, headers, body)


def answer_ok(connection: socket.socket, _request: Request) -> bool:
    """Answer 200 and keep the connection."""
    connection.sendall(OK)
    return True


@pytest.fixture
def serve() -> Iterator[Callable[..., SocketServer]]:
    """serve(handler=..., tls=...) starts a server that the test's end closes."""
    running: list[SocketServer] = []

    def start(handler: Handler = answer_ok, tls: ssl.SSLContext | None = None) -> SocketServer:
        running.append(SocketServer(handler, tls))
        return running[-1]

    yield start
    for server in running:
        server.close()


@pytest.fixture
def make_call() -> Callable[..., Call]:
    """make_call(url, method=..., body=...) builds a call that carries no text."""

    def build(url: str, method: str = "GET", body: bytes | None = None) -> Call:
        return Call(method=method, url=url, headers=(("X-Test", "1"),), body=body, texts=())

    return build


@pytest.fixture
def self_signed(tmp_path: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate for 127.0.0.1 that signs itself, and a server's context with it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    alternative = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(alternative, critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "both.pem"
    encoding, none = serialization.Encoding.PEM, serialization.NoEncryption()
    secret = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, none)
    path.write_bytes(secret + certificate.public_bytes(encoding))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return path, context
