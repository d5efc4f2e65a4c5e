"""A kept-alive connection that dies: no request is sent twice, and none is in doubt without need."""

from __future__ import annotations

import socket
import ssl
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pycurl
import pytest

from sending.gateways.base import Answer, Call, NoAnswer
from sending.gateways.transport import Transport

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
Serve = Callable[..., Any]
MakeCall = Callable[..., Call]
SelfSigned = tuple[Path, ssl.SSLContext]
BOTH_METHODS = pytest.mark.parametrize(
    ("method", "body"), [("GET", None), ("POST", b"To=1&Body=hello"), ("POST", b"x" * 300_000)]
)


def make(transport: Transport, call: Call) -> Answer | NoAnswer:
    """What came of one call."""
    ((_, result),) = transport.exchange([call], in_flight=1, timeout=5)
    return result


def reset(connection: socket.socket) -> None:
    """Close with a TCP reset instead of a FIN."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def answers_first_then(end: Callable[[socket.socket], None]) -> Callable[..., bool]:
    """A kept-alive connection whose second request is read to its end and never answered.

    A third request, on whatever connection, would be answered: it is what must not come.
    """

    def handler(connection: socket.socket, request: Any) -> bool:
        if (request.connection, request.number) == (1, 2):
            end(connection)
            return False
        connection.sendall(OK)
        return True

    return handler


@BOTH_METHODS
@pytest.mark.parametrize("end", [socket.socket.close, reset], ids=["fin", "rst"])
def test_a_request_lost_on_a_kept_connection_is_never_sent_again(
    serve: Serve, make_call: MakeCall, end: Any, method: str, body: Any
) -> None:
    server = serve(answers_first_then(end))
    with Transport() as transport:
        make(transport, make_call(f"{server.url}/first"))
        result = make(transport, make_call(f"{server.url}/second", method, body))
    time.sleep(0.1)

    assert isinstance(result, NoAnswer)
    assert result.written
    assert [request.line.split()[1] for request in server.requests] == ["/first", "/second"]


def test_without_the_guard_libcurl_sends_a_post_twice(serve: Serve) -> None:
    """The reason for the guard. When this fails, libcurl has changed and the guard may go."""
    server = serve(answers_first_then(socket.socket.close))
    multi = pycurl.CurlMulti()
    for path in ("first", "second"):
        handle = pycurl.Curl()
        handle.setopt(pycurl.URL, f"{server.url}/{path}")
        handle.setopt(pycurl.PROXY, "")
        handle.setopt(pycurl.WRITEFUNCTION, lambda _data: None)
        handle.setopt(pycurl.POSTFIELDS, b"Body=hello")
        multi.add_handle(handle)
        while multi.perform()[1]:
            multi.select(0.1)
        multi.remove_handle(handle)

    paths = [request.line.split()[1] for request in server.requests]
    assert paths == ["/first", "/second", "/second"]


@pytest.mark.parametrize("secure", [False, True])
def test_a_connection_that_died_while_idle_is_replaced_without_a_loss(
    self_signed: SelfSigned, serve: Serve, make_call: MakeCall, *, secure: bool
) -> None:
    """libcurl alone does not notice for a second, and each of these texts would be in doubt."""

    def handler(connection: socket.socket, _request: Any) -> bool:
        connection.sendall(OK)
        return False

    certificate, context = self_signed
    server = serve(handler, tls=context if secure else None)
    with Transport(ca_file=str(certificate)) as transport:
        for _ in range(3):
            result = make(transport, make_call(server.url, "POST", b"x"))
            assert isinstance(result, Answer)
            time.sleep(0.05)
    assert len(server.requests) == 3


def test_connections_are_kept_across_exchanges_and_methods(
    serve: Serve, make_call: MakeCall
) -> None:
    server = serve()
    transport = Transport()
    for method, body in [("POST", b"abc"), ("GET", None), ("POST", b""), ("GET", None)]:
        result = make(transport, make_call(server.url, method, body))
        assert result == Answer(200, {"content-length": "2"}, b"ok")

    transport.close()
    assert server.connections == 1
    assert [request.line.split()[0] for request in server.requests] == ["POST", "GET"] * 2
    assert [request.body for request in server.requests] == [b"abc", b"", b"", b""]
    assert all("expect" not in request.headers for request in server.requests)
    assert all(request.headers["x-test"] == "1" for request in server.requests)
