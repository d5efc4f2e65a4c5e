"""One request to an endpoint, over real sockets: where it goes, what it follows, when it ends."""

import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.sending.gateways.conftest import Request, SocketServer
from tests.tracking.outbound.conftest import Receiver
from tracking.outbound.post import LONGEST_BODY, post


def loopback(_host: str, _port: int) -> list[str]:
    """A resolver."""
    return ["127.0.0.1"]


def test_a_body_arrives_with_its_headers_and_the_answer_is_kept(receiver: Receiver) -> None:
    receiver.words = "thank you " * 100

    result = post(receiver.url, b'{"a": 1}', {"webhook-id": "msg_1"})

    (request,) = receiver.requests
    assert request.line == "POST /hooks HTTP/1.1"
    assert request.body == b'{"a": 1}'
    assert request.headers["content-type"] == "application/json"
    assert request.headers["webhook-id"] == "msg_1"
    assert (result.status, result.error, len(result.answer)) == (200, "", 500)


def test_the_name_is_resolved_once_and_the_connection_goes_where_was_checked(
    receiver: Receiver,
) -> None:
    port = receiver.url.split(":")[2].split("/")[0]
    answers = [["127.0.0.1"], ["169.254.169.254"]]  # the second look-up would lead elsewhere
    asked = []

    def rebinding(host: str, port: int) -> list[str]:
        asked.append(host)
        return answers.pop(0)

    result = post(f"http://hooks.example:{port}/", b"{}", {}, resolve=rebinding)

    assert (result.status, asked) == (200, ["hooks.example"])
    assert receiver.requests[0].headers["host"] == f"hooks.example:{port}"


def test_a_name_that_leads_to_our_network_is_never_connected_to(
    receiver: Receiver, settings: Any
) -> None:
    settings.WEBHOOKS_ALLOW_LOCAL = False
    port = receiver.url.split(":")[2].split("/")[0]

    result = post(f"https://hooks.example:{port}/", b"{}", {}, resolve=loopback)

    assert (result.status, receiver.requests) == (None, [])
    assert "not on the public internet" in result.error


def test_a_redirect_is_not_followed(receiver: Receiver, serve: Callable[..., SocketServer]) -> None:
    elsewhere = Receiver()
    receiver.statuses = [302]
    receiver.extra = f"Location: {serve(elsewhere).url}/\r\n"

    result = post(receiver.url, b"{}", {})

    assert (result.status, elsewhere.requests) == (302, [])
    assert "redirects are not followed" in result.error


def test_a_proxy_of_the_environment_is_not_used(
    receiver: Receiver, monkeypatch: Any, serve: Callable[..., SocketServer]
) -> None:
    proxy = Receiver()
    monkeypatch.setenv("http_proxy", serve(proxy).url)

    post(receiver.url, b"{}", {})

    assert (len(receiver.requests), proxy.requests) == (1, [])


def test_a_certificate_of_another_name_is_refused_and_its_own_is_accepted(
    serve: Callable[..., SocketServer], self_signed: tuple[Path, ssl.SSLContext]
) -> None:
    authority, context = self_signed  # of 127.0.0.1
    receiver = Receiver()
    port = serve(receiver, tls=context).port

    other = post(
        f"https://hooks.example:{port}/", b"{}", {}, resolve=loopback, ca_file=str(authority)
    )
    own = post(f"https://127.0.0.1:{port}/", b"{}", {}, ca_file=str(authority))
    unknown = post(f"https://127.0.0.1:{port}/", b"{}", {})

    assert "certificate" in other.error
    assert own.status == 200
    assert "certificate" in unknown.error
    assert len(receiver.requests) == 1


def test_an_answer_that_trickles_is_cut_when_the_time_is_up(
    serve: Callable[..., SocketServer],
) -> None:
    over = threading.Event()

    def trickle(connection: socket.socket, request: Request) -> bool:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while not over.wait(0.02):
            connection.sendall(b"x")
        return False

    result = post(serve(trickle).url, b"{}", {}, timeout=0.3)
    over.set()

    assert "in time" in result.error
    assert result.milliseconds >= 290


def test_a_huge_answer_is_not_read_to_its_end(receiver: Receiver) -> None:
    receiver.words = "x" * 1_000_000

    result = post(receiver.url, b"{}", {})

    assert (result.status, result.succeeded, len(result.answer)) == (200, True, 500)


def test_a_body_over_64_kb_is_not_sent(receiver: Receiver) -> None:
    assert "64 KB" in post(receiver.url, b"x" * (LONGEST_BODY + 1), {}).error
    assert receiver.requests == []


def test_nobody_listening_is_an_error_in_words(receiver: Receiver) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        assert post(f"http://127.0.0.1:{port}/", b"{}", {}).error == "It could not be connected to."


def test_retry_after_is_told(receiver: Receiver) -> None:
    receiver.statuses = [503]
    receiver.extra = "Retry-After: 120\r\n"

    result = post(receiver.url, b"{}", {})

    assert result.retry_after is not None
    assert result.retry_after.total_seconds() == 120
