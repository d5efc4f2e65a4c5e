"""One request to an integrator's endpoint: bounded in time and size, never redirected, never elsewhere.

It knows no database: the courier calls it in threads.
"""

import datetime as dt
import email.utils
import functools
import ipaddress
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import certifi
import pycurl

from sending.gateways import words
from tracking.outbound import addresses
from tracking.outbound.addresses import Resolve
from tracking.outbound.models import LONGEST_ANSWER

TIMEOUT = 10.0  # seconds for all of it
LONGEST_BODY = 64 * 1024
LONGEST_ANSWER_READ = 64 * 1024
GONE = 410

_WHY = {
    pycurl.E_OPERATION_TIMEDOUT: "No whole answer in time: 10 seconds are allowed.",
    pycurl.E_COULDNT_CONNECT: "It could not be connected to.",
    pycurl.E_PEER_FAILED_VERIFICATION: "Its certificate is not valid for this host.",
    pycurl.E_SSL_CONNECT_ERROR: "The encrypted connection failed.",
    pycurl.E_GOT_NOTHING: "It closed the connection without an answer.",
    pycurl.E_RECV_ERROR: "The connection broke before an answer came.",
    pycurl.E_SEND_ERROR: "The connection broke before the event was sent.",
}


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one request. `status` is None where no answer came; `error` is a sentence."""

    status: int | None
    milliseconds: int
    error: str = ""
    answer: str = ""
    retry_after: dt.timedelta | None = None

    @property
    def succeeded(self) -> bool:
        return not self.error


def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    resolve: Resolve | None = None,
    ca_file: str = "",
    timeout: float = TIMEOUT,
) -> Result:
    """POST a JSON body. Never raises for what the endpoint or the network does."""
    began = time.monotonic()
    if len(body) > LONGEST_BODY:
        return Result(None, 0, f"The event is larger than {LONGEST_BODY // 1024} KB.")
    try:
        target = addresses.check(url, resolve=resolve)
    except (addresses.Refused, addresses.Unresolved) as error:
        return Result(None, _since(began), str(error))
    left = max(0.001, timeout - (time.monotonic() - began))
    answer = bytearray()
    lines: list[bytes] = []
    handle = _handle(target, body, headers, left=left, ca_file=ca_file or certifi.where())
    handle.setopt(pycurl.WRITEFUNCTION, functools.partial(_keep, answer))
    handle.setopt(pycurl.HEADERFUNCTION, lines.append)
    try:
        failure = _perform(handle)
        status = handle.getinfo(pycurl.RESPONSE_CODE) or None
    finally:
        handle.close()
    told = words.of_body(bytes(answer))[:LONGEST_ANSWER]
    if failure:
        return Result(status, _since(began), failure, told)
    return Result(status, _since(began), _verdict(status), told, _retry_after(lines))


def _since(began: float) -> int:
    return round((time.monotonic() - began) * 1000)


def _handle(
    target: addresses.Target,
    body: bytes,
    headers: Mapping[str, str],
    *,
    left: float,
    ca_file: str,
) -> Any:
    handle = pycurl.Curl()
    handle.setopt(pycurl.NOSIGNAL, 1)
    handle.setopt(pycurl.PROXY, "")  # an empty name switches off the environment's as well
    handle.setopt(pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)
    handle.setopt(pycurl.FOLLOWLOCATION, 0)
    handle.setopt(pycurl.SSL_VERIFYPEER, 1)
    handle.setopt(pycurl.SSL_VERIFYHOST, 2)
    handle.setopt(pycurl.CAINFO, ca_file)
    handle.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
    handle.setopt(pycurl.TIMEOUT_MS, max(1, round(left * 1000)))
    handle.setopt(pycurl.URL, target.url)
    # The name stays in Host, SNI and the certificate's check; where it leads is what was checked.
    known = ",".join(f"[{one}]" if ":" in one else one for one in target.addresses)
    handle.setopt(pycurl.RESOLVE, [f"{target.host}:{target.port}:{known}"])
    allowed = {ipaddress.ip_address(one) for one in target.addresses}
    handle.setopt(pycurl.OPENSOCKETFUNCTION, functools.partial(_open, allowed))
    sent = {"Content-Type": "application/json", "User-Agent": "Carillon-Webhooks", **headers}
    lines = [f"{name}: {value}" for name, value in sent.items()]
    handle.setopt(pycurl.HTTPHEADER, [*lines, "Expect:"])
    handle.setopt(pycurl.POST, 1)
    handle.setopt(pycurl.POSTFIELDS, body)
    return handle


def _open(allowed: set[addresses.Address], _purpose: int, address: Any) -> Any:
    """The socket of a connection; none for an address that was not checked."""
    family, kind, protocol, place = address
    host = place[0] if isinstance(place, tuple) else ""
    host = host.decode() if isinstance(host, bytes) else host
    if not host or ipaddress.ip_address(host) not in allowed:
        return pycurl.SOCKET_BAD
    return socket.socket(family, kind, protocol)


def _keep(answer: bytearray, chunk: bytes) -> int | None:
    answer += chunk
    return -1 if len(answer) > LONGEST_ANSWER_READ else None  # -1: enough, end it


def _perform(handle: Any) -> str:
    """Why no whole answer came; "" where one did, or more of it than we read."""
    try:
        handle.perform()
    except pycurl.error as error:
        code = error.args[0]
        if code == pycurl.E_WRITE_ERROR and handle.getinfo(pycurl.RESPONSE_CODE):
            return ""
        return _WHY.get(code, f"The request failed (libcurl error {code}).")
    return ""


def _verdict(status: int | None) -> str:
    if status is None:
        return "It sent no answer."
    if 200 <= status < 300:
        return ""
    if 300 <= status < 400:
        return f"It answered {status}: redirects are not followed. Enter the final address."
    return f"It answered {status}."


def _retry_after(lines: list[bytes]) -> dt.timedelta | None:
    """What a Retry-After header asks for, in seconds or as a date."""
    for line in lines:
        name, _, value = line.decode("latin-1").partition(":")
        if name.strip().lower() != "retry-after":
            continue
        if value.strip().isascii() and value.strip().isdigit():
            return dt.timedelta(seconds=min(int(value.strip()[:9]), 10**8))
        try:
            moment = email.utils.parsedate_to_datetime(value.strip())
        except ValueError:
            return None
        if moment.tzinfo is None:
            return None
        return max(dt.timedelta(), moment - dt.datetime.now(dt.UTC))
    return None
