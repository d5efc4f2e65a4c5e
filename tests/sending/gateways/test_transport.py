"""The transport against real sockets: how often a request arrives, and what is said of its fate."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sending.gateways.base import Answer, Call, NoAnswer
from sending.gateways.slot import LEASE_EXPIRED, LONGEST_BODY
from sending.gateways.transport import Transport

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
Serve = Callable[..., Any]
MakeCall = Callable[..., Call]
BOTH_METHODS = pytest.mark.parametrize(
    ("method", "body"), [("GET", None), ("POST", b"To=1&Body=hello"), ("POST", b"x" * 300_000)]
)


@pytest.fixture
def transport() -> Iterator[Transport]:
    with Transport() as opened:
        yield opened


def exchange(transport: Transport, *calls: Call, **options: Any) -> list[Answer | NoAnswer]:
    """Results in the order of `calls`."""
    settings: dict[str, Any] = {"in_flight": 10, "timeout": 5.0} | options
    found = {id(call): result for call, result in transport.exchange(calls, **settings)}
    assert len(found) == len(calls)
    return [found[id(call)] for call in calls]


def reset(connection: socket.socket) -> None:
    """Close with a TCP reset instead of a FIN."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def test_a_refused_connection_is_not_written(transport: Transport, make_call: MakeCall) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    (result,) = exchange(transport, make_call(f"http://127.0.0.1:{port}/", "POST", b"x"))
    assert result == NoAnswer(written=False, detail="connect")


def test_an_unknown_host_is_not_written(transport: Transport, make_call: MakeCall) -> None:
    (result,) = exchange(transport, make_call("http://no-such-host.invalid/"))
    assert isinstance(result, NoAnswer)
    assert not result.written


def test_a_connection_that_never_stands_is_not_written(
    transport: Transport, make_call: MakeCall
) -> None:
    """A full backlog leaves the SYN without an answer."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        fillers = [socket.socket() for _ in range(8)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(address)
        time.sleep(0.1)
        call = make_call(f"http://127.0.0.1:{address[1]}/", "POST", b"x")
        (result,) = exchange(transport, call, timeout=3.0, connect_timeout=0.3)
        for filler in fillers:
            filler.close()
    assert result == NoAnswer(written=False, detail="timeout")


@BOTH_METHODS
def test_a_reset_after_the_request_is_written(
    transport: Transport, serve: Serve, make_call: MakeCall, method: str, body: Any
) -> None:
    def handler(connection: socket.socket, _request: Any) -> bool:
        reset(connection)
        return False

    server = serve(handler)
    (result,) = exchange(transport, make_call(server.url, method, body))
    assert isinstance(result, NoAnswer)
    assert result.written
    assert len(server.requests) == 1


@BOTH_METHODS
def test_a_slow_answer_is_written(
    transport: Transport, serve: Serve, make_call: MakeCall, method: str, body: Any
) -> None:
    def handler(_connection: socket.socket, _request: Any) -> bool:
        time.sleep(1.5)
        return False

    server = serve(handler)
    began = time.monotonic()
    (result,) = exchange(transport, make_call(server.url, method, body), timeout=0.4)
    assert result == NoAnswer(written=True, detail="timeout")
    assert time.monotonic() - began < 1.2
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhal",
        b"SMTP ready\r\n\r\n",
        b"",
    ],
)
def test_an_answer_cut_short_is_written(
    transport: Transport, serve: Serve, make_call: MakeCall, data: bytes
) -> None:
    def handler(connection: socket.socket, _request: Any) -> bool:
        connection.sendall(data)
        return False

    (result,) = exchange(transport, make_call(serve(handler).url, "POST", b"x"))
    assert isinstance(result, NoAnswer)
    assert result.written


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_a_huge_answer_is_cut_and_counts_as_written(
    transport: Transport, serve: Serve, make_call: MakeCall, framing: str
) -> None:
    size = LONGEST_BODY * 5
    sent = 0

    def handler(connection: socket.socket, _request: Any) -> bool:
        nonlocal sent
        head = {
            "length": f"Content-Length: {size}\r\n",
            "chunked": "Transfer-Encoding: chunked\r\n",
        }
        connection.sendall(f"HTTP/1.1 200 OK\r\n{head.get(framing, '')}\r\n".encode())
        if framing == "chunked":
            connection.sendall(f"{size:x}\r\n".encode())
        for _ in range(size // 10_000):
            connection.sendall(b"x" * 10_000)
            sent += 10_000
        return False

    (result,) = exchange(transport, make_call(serve(handler).url, "POST", b"x"))
    assert result == NoAnswer(written=True, detail="answer-too-large")


def test_an_answer_of_the_largest_size_is_read(
    transport: Transport, serve: Serve, make_call: MakeCall
) -> None:
    def handler(connection: socket.socket, _request: Any) -> bool:
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {LONGEST_BODY}\r\n\r\n"
        connection.sendall(head.encode() + b"x" * LONGEST_BODY)
        return True

    (result,) = exchange(transport, make_call(serve(handler).url))
    assert isinstance(result, Answer)
    assert len(result.body) == LONGEST_BODY


def test_a_redirect_is_not_followed(
    transport: Transport, serve: Serve, make_call: MakeCall
) -> None:
    def handler(connection: socket.socket, _request: Any) -> bool:
        connection.sendall(b"HTTP/1.1 307 Go\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n")
        return True

    server = serve(handler)
    (result,) = exchange(transport, make_call(server.url, "POST", b"x"))
    assert isinstance(result, Answer)
    assert result.status == 307
    assert len(server.requests) == 1


def test_interim_answers_and_header_case_are_handled(
    transport: Transport, serve: Serve, make_call: MakeCall
) -> None:
    def handler(connection: socket.socket, _request: Any) -> bool:
        connection.sendall(b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\n")
        connection.sendall(b"HTTP/1.1 429 Slow\r\nRETRY-After: 7\r\nContent-Length: 0\r\n\r\n")
        return True

    (result,) = exchange(transport, make_call(serve(handler).url))
    assert result == Answer(429, {"retry-after": "7", "content-length": "0"}, b"")


def test_in_flight_bounds_concurrency_and_results_come_in_order_of_completion(
    transport: Transport, serve: Serve, make_call: MakeCall
) -> None:
    lock, now, most = threading.Lock(), 0, 0

    def handler(connection: socket.socket, request: Any) -> bool:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.4 if "slow" in request.line else 0.03)
        with lock:
            now -= 1
        connection.sendall(OK)
        return True

    server = serve(handler)
    calls = [make_call(f"{server.url}/{'slow' if n == 0 else n}") for n in range(24)]
    done = [call for call, _ in transport.exchange(calls, in_flight=4, timeout=5)]

    assert most == 4
    assert done[-1] is calls[0]
    assert {id(call) for call in done} == {id(call) for call in calls}
    assert server.connections == 4


def test_once_the_fence_is_down_nothing_more_starts(
    transport: Transport, serve: Serve, make_call: MakeCall
) -> None:
    server = serve()
    calls = [make_call(f"{server.url}/{n}", "POST", b"x") for n in range(10)]
    results: list[Answer | NoAnswer] = []
    running = transport.exchange(calls, in_flight=1, timeout=5, may_start=lambda: len(results) < 3)
    for _, result in running:
        results.append(result)

    assert [isinstance(result, Answer) for result in results] == [True] * 3 + [False] * 7
    assert results[3:] == [NoAnswer(written=False, detail=LEASE_EXPIRED)] * 7
    assert len(server.requests) == 3


def test_a_lease_that_ends_while_connecting_stops_the_first_byte(
    transport: Transport, serve: Serve, make_call: MakeCall
) -> None:
    server = serve()
    answers = iter([True, False, False, False])
    (result,) = exchange(
        transport, make_call(server.url, "POST", b"x"), may_start=lambda: next(answers)
    )
    time.sleep(0.05)
    assert result == NoAnswer(written=False, detail=LEASE_EXPIRED)
    assert server.requests == []


def test_an_exchange_that_is_left_early_cuts_its_calls_and_frees_the_transport(
    transport: Transport, serve: Serve, make_call: MakeCall
) -> None:
    def handler(connection: socket.socket, request: Any) -> bool:
        time.sleep(0 if "/0" in request.line else 1.0)
        connection.sendall(OK)
        return True

    server = serve(handler)
    calls = [make_call(f"{server.url}/{n}") for n in range(4)]
    running = transport.exchange(calls, in_flight=4, timeout=5)
    next(running)
    with pytest.raises(RuntimeError):
        next(transport.exchange(calls, in_flight=1, timeout=5))
    running.close()  # type: ignore[attr-defined]

    (result,) = exchange(transport, make_call(f"{server.url}/0"))
    assert isinstance(result, Answer)


def test_an_error_of_the_fence_reaches_the_caller_and_frees_the_transport(
    transport: Transport, serve: Serve, make_call: MakeCall
) -> None:
    server = serve()
    asked = 0

    def broken() -> bool:
        nonlocal asked
        asked += 1
        if asked == 2:  # inside libcurl's callback
            raise LookupError("fence")
        return True

    with pytest.raises(LookupError):
        exchange(transport, make_call(server.url, "POST", b"x"), may_start=broken)
    assert server.requests == []
    (result,) = exchange(transport, make_call(server.url))
    assert isinstance(result, Answer)


def test_what_cannot_be_a_request_comes_back_unwritten(
    transport: Transport, serve: Serve, make_call: MakeCall
) -> None:
    server = serve()
    injected = Call("GET", server.url, (("X-Key", "a\r\nX-Other: b"),), None, ())
    strange = make_call("gopher://127.0.0.1/")
    zero = make_call(f"{server.url}/\0")
    good = make_call(server.url)
    results = exchange(transport, injected, strange, zero, good)
    assert [getattr(result, "written", None) for result in results] == [False, False, False, None]
    assert len(server.requests) == 1


@pytest.mark.parametrize("options", [{"in_flight": 0}, {"method": "PUT"}])
def test_wrong_use_is_refused_before_anything_is_sent(
    transport: Transport, serve: Serve, make_call: MakeCall, options: dict[str, Any]
) -> None:
    server = serve()
    calls = [make_call(server.url), make_call(server.url, options.pop("method", "GET"))]
    with pytest.raises(ValueError, match=r"in_flight|method"):
        exchange(transport, *calls, **options)
    assert server.requests == []


def test_environment_proxies_are_not_used(
    serve: Serve, make_call: MakeCall, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy, server = serve(), serve()
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy.url)
    with Transport() as transport:
        (result,) = exchange(transport, make_call(server.url))
    assert isinstance(result, Answer)
    assert proxy.requests == []


def test_a_certificate_is_verified(self_signed: Any, serve: Serve, make_call: MakeCall) -> None:
    certificate, context = self_signed
    server = serve(tls=context)
    call = make_call(server.url, "POST", b"x")

    with Transport() as suspicious, Transport(ca_file=str(certificate)) as trusting:
        (refused,) = exchange(suspicious, call)
        (answered,) = exchange(trusting, call)

    assert refused == NoAnswer(written=False, detail="tls-certificate")
    assert isinstance(answered, Answer)
    assert len(server.requests) == 1
