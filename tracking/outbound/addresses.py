"""Where a webhook may go: to https addresses on the public internet, and to exactly what was checked.

An integrator chooses the URL, so it is as good as an attacker's: it must not reach our own network
(SSRF). A host is resolved once; every address that it has must be public, and the connection goes to
those addresses alone, so that a name that answers differently the next time gains nothing.
"""

import contextlib
import ipaddress
import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import SplitResult, urlsplit

from django.conf import settings

LONGEST_URL = 500
MOST_ADDRESSES = 8
_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*")
# Of IPv6 only what IANA has given out as global unicast, without what stands for an IPv4 address
# inside it: 6to4 and Teredo.
_UNICAST = ipaddress.IPv6Network("2000::/3")
_DISGUISES = [ipaddress.IPv6Network("2002::/16"), ipaddress.IPv6Network("2001::/32")]

type Address = IPv4Address | IPv6Address
type Resolve = Callable[[str, int], Sequence[str]]


class Refused(Exception):
    """A webhook may not go there. The text is a sentence for whoever entered the URL."""


class Unresolved(Exception):
    """The host has no address at present: it may have one later."""


@dataclass(frozen=True, slots=True)
class Target:
    """A URL and the addresses, all checked, that it may be reached at."""

    url: str
    host: str
    port: int
    addresses: tuple[str, ...]


def check_url(url: str) -> SplitResult:
    """Raise Refused for what can be told from the URL alone, without a look at the network."""
    if len(url) > LONGEST_URL or not url.isascii() or re.search(r"[\s\\\x00-\x1f\x7f]", url):
        raise Refused(
            f"Give a URL of at most {LONGEST_URL} plain characters: no spaces, no backslashes."
        )
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise Refused("This is not a URL. Give one like https://example.com/hooks.") from None
    local = settings.WEBHOOKS_ALLOW_LOCAL
    if parts.scheme != "https" and not (local and parts.scheme == "http"):
        raise Refused("Give an address that begins with https://.")
    if parts.username is not None or parts.password is not None or "@" in parts.netloc:
        raise Refused("Leave user and password out of the URL: requests are signed.")
    if port == 0 or parts.netloc.endswith(":"):
        raise Refused("Give the port's number, or leave it out.")
    host = parts.hostname or ""
    if parts.fragment or "#" in url:
        raise Refused("Leave out what begins with #: servers never see it.")
    literal = _literal(host)
    if literal is not None:
        _check_address(literal)
        return parts
    # Numbers in any other writing (decimal, octal, hexadecimal, short) are addresses in disguise.
    last = host.rpartition(".")[2]
    if not _NAME.fullmatch(host) or last.isdigit() or re.fullmatch(r"0x[0-9a-f]*", last):
        raise Refused("Give the host's name, like example.com.")
    if not local and ("." not in host or last in ("localhost", "local", "internal")):
        raise Refused("Give a host on the public internet, like example.com.")
    return parts


def check(url: str, *, resolve: Resolve | None = None) -> Target:
    """The target of a URL. Raises Refused, or Unresolved where the host has no address now.

    `resolve` takes a host and a port and answers all its addresses; it is asked once.
    """
    parts = check_url(url)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    literal = _literal(host)
    found = [str(literal)] if literal else list((resolve or resolved)(host, port))
    if not found:
        raise Unresolved("The host's name has no address.")
    for one in found:
        _check_address(ipaddress.ip_address(one))
    return Target(url, host, port, tuple(dict.fromkeys(found))[:MOST_ADDRESSES])


def resolved(host: str, port: int) -> list[str]:
    """Every address that the system's resolver knows. Raises Unresolved."""
    try:
        answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise Unresolved("The host's name has no address.") from None
    return [str(answer[4][0]) for answer in answers]


def _literal(host: str) -> Address | None:
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host)
    return None


def _check_address(address: Address) -> None:
    if settings.WEBHOOKS_ALLOW_LOCAL and address.is_loopback:
        return
    if not is_public(address):
        raise Refused("This host is not on the public internet: webhooks are not sent there.")


def is_public(address: Address) -> bool:
    """Whether an address is an ordinary one of the public internet (IANA's registries)."""
    if isinstance(address, IPv6Address) and (
        address.scope_id is not None
        or address not in _UNICAST
        or any(address in network for network in _DISGUISES)
    ):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved
