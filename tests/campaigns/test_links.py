"""Claims about links in texts: where they end, whose they are, where they lead."""

import pytest

from campaigns import links


@pytest.mark.parametrize(
    ("text", "urls"),
    [
        ("See https://a.com.", ["https://a.com"]),
        ("(https://a.com/b)", ["https://a.com/b"]),
        ("https://a.com/b?c=d&e=f#g, then", ["https://a.com/b?c=d&e=f#g"]),
        ("http://a.com https://b.com", ["http://a.com", "https://b.com"]),
        ("HTTPS://A.com!", ["HTTPS://A.com"]),
        ("https://a.com/{{ name }}", ["https://a.com/"]),
        ("'https://a.com'", ["https://a.com"]),
        ("https:// a.com https://.", []),
        ("ftp://a.com a.com", []),
    ],
)
def test_a_link_ends_where_a_reader_sees_it_end(text: str, urls: list[str]) -> None:
    assert [found.url for found in links.find(text)] == urls


@pytest.mark.parametrize(
    ("text", "urls"),
    [
        ("bit.ly/abc", ["bit.ly/abc"]),
        ("Shop at www.teas.com.", ["www.teas.com"]),
        ("https://teas.com me@teas.com", []),
        ("Come in.Get tea at 5.30, e.g. now", []),
    ],
)
def test_a_phone_makes_links_of_well_known_endings(text: str, urls: list[str]) -> None:
    assert [found.url for found in links.find_bare(text)] == urls


@pytest.mark.parametrize(
    ("host", "domains", "allowed"),
    [
        ("teas.com", ["teas.com"], True),
        ("shop.teas.com", ["teas.com"], True),
        ("evilteas.com", ["teas.com"], False),
        ("teas.com.evil.com", ["teas.com"], False),
        ("anything.com", [], True),
        ("", [], False),
    ],
)
def test_a_domain_allows_what_is_below_it(host: str, domains: list[str], allowed: bool) -> None:
    assert links.is_allowed(host, domains) is allowed


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://Teas.com:8443/x", "teas.com"),
        ("https://teas.com@evil.com/", "evil.com"),
        ("https://[::1", ""),
        ("https://teas.com.", "teas.com"),
    ],
)
def test_the_host_is_the_one_that_a_browser_goes_to(url: str, host: str) -> None:
    assert links.host_of(url) == host


def test_parameters_are_added_beside_those_that_are_there() -> None:
    utm = {"utm_source": "sms", "utm_campaign": "", "utm_medium": "a b"}

    assert links.with_parameters("https://a.com", {}) == "https://a.com"
    assert (
        links.with_parameters("https://a.com/x?b=%2F&utm_source=own#top", utm)
        == "https://a.com/x?b=%2F&utm_source=own&utm_medium=a+b#top"
    )
