"""Where a webhook may go. Every way to write an address of our own network is tried."""

import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracking.outbound import addresses

PUBLIC, PUBLIC_6 = "93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"


@pytest.fixture(autouse=True)
def no_local_endpoints(settings: Any, local_endpoints: None) -> None:
    settings.WEBHOOKS_ALLOW_LOCAL = False


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "ftp://example.com/",
        "//example.com/",
        "example.com",
        "https://",
        "https:///hooks",
        "https://user:password@example.com/",
        "https://@example.com/",
        "https://example.com@127.0.0.1/",
        "https://example.com\\@127.0.0.1/",
        "https://example.com:0/",
        "https://example.com:99999/",
        "https://example.com:/",
        "https://example.com/#there",
        "https://exa mple.com/",
        "https://example.com/\nHost: other",
        "https://localhost/",
        "https://LOCALHOST:8000/",
        "https://db.internal/",
        "https://printer.local/",
        "https://postgres/",
        "https://example.com./",
        "https://ex%61mple.com/",
        "https://ex\u00e4mple.com/",
        # One address, 127.0.0.1, and others in all their disguises.
        "https://127.0.0.1/",
        "https://127.1/",
        "https://2130706433/",
        "https://017700000001/",
        "https://0177.0.0.1/",
        "https://0x7f000001/",
        "https://0x7f.0.0.1/",
        "https://0x7f.1/",
        "https://127.0.0.0x1/",
        "https://0/",
        "https://0.0.0.0/",
        "https://10.0.0.1/",
        "https://172.16.0.1/",
        "https://192.168.1.1/",
        "https://100.64.0.1/",
        "https://169.254.169.254/",
        "https://192.0.0.1/",
        "https://192.0.2.1/",
        "https://198.18.0.1/",
        "https://224.0.0.1/",
        "https://240.0.0.1/",
        "https://255.255.255.255/",
        "https://[::1]/",
        "https://[::]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::ffff:93.184.215.14]/",
        "https://[::127.0.0.1]/",
        "https://[64:ff9b::7f00:1]/",
        "https://[2002:7f00:1::]/",
        "https://[2001:0:7f00:1::]/",
        "https://[fe80::1]/",
        "https://[fe80::1%25eth0]/",
        "https://[fc00::1]/",
        "https://[fd12:3456::1]/",
        "https://[fec0::1]/",
        "https://[ff02::1]/",
        "https://[2001:db8::1]/",
        f"https://example.com/{'x' * 500}",
    ],
)
def test_a_url_that_may_lead_elsewhere_is_refused_without_a_look_at_the_network(url: str) -> None:
    with pytest.raises(addresses.Refused):
        addresses.check_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/hooks?token=1",
        "https://hooks.example.co.uk:8443/a/b",
        "https://xn--exmple-cua.com/",
        f"https://{PUBLIC}/",
        f"https://[{PUBLIC_6}]/",
        "https://1password.com/",
    ],
)
def test_an_ordinary_address_is_accepted(url: str) -> None:
    addresses.check_url(url)


@pytest.mark.parametrize(
    "found",
    [
        ["127.0.0.1"],
        ["10.1.2.3"],
        ["169.254.169.254"],
        ["::1"],
        ["::ffff:10.0.0.1"],
        ["64:ff9b::a00:1"],
        ["fe80::1%eth0"],
        [PUBLIC, "10.0.0.1"],
        [PUBLIC_6, PUBLIC, "fd00::1"],
    ],
)
def test_a_name_with_any_address_that_is_not_public_is_refused(found: list[str]) -> None:
    with pytest.raises(addresses.Refused):
        addresses.check("https://example.com/", resolve=lambda *_: found)


def test_a_public_name_leads_to_the_addresses_that_were_checked() -> None:
    target = addresses.check(
        "https://Example.com:8443/", resolve=lambda *_: [PUBLIC, PUBLIC_6, PUBLIC]
    )

    assert (target.host, target.port) == ("example.com", 8443)
    assert target.addresses == (PUBLIC, PUBLIC_6)


def test_a_name_without_an_address_is_not_refused_for_good() -> None:
    with pytest.raises(addresses.Unresolved):
        addresses.check("https://example.com/", resolve=lambda *_: [])


@given(st.integers(0, 2**32 - 1))
def test_whatever_ipv4_is_not_public_is_not_public_inside_ipv6_either(number: int) -> None:
    inner = ipaddress.IPv4Address(number)
    mapped = ipaddress.IPv6Address(0xFFFF << 32 | number)
    translated = ipaddress.IPv6Address(0x64FF9B << 96 | number)

    assert not addresses.is_public(mapped)
    assert not addresses.is_public(translated)
    if addresses.is_public(inner):
        assert inner.is_global
