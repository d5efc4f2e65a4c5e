"""Links in messages: where they are, where they lead, and the row that each destination has."""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

SHORTENERS = Path(__file__).parent / "data" / "shorteners.csv"
LONGEST_URL = 1000
CODE_LENGTH = 12  # base62: a billion codes collide once in ten thousand installations

_LINK = re.compile(r"https?://[^\s<>\"'{}|\\^`\x00-\x1f]+", re.IGNORECASE)
# What a phone makes a link of although it has no scheme: only well-known endings, as a sentence
# that lacks a space ("here.Come") is none.
_ENDINGS = "com|net|org|info|biz|co|io|us|ca|uk|me|ly|app|shop|store|link|page|site|online|gl|to|it|at|cc|gd"
_BARE = re.compile(
    rf"(?<![\w@./:-])(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+(?:{_ENDINGS})\b(?!\.\w)(?:/[^\s<>\"'{{}}]*)?",
    re.IGNORECASE,
)
_TRAILING = ".,;:!?)]*~_"
_HOST = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}")


@dataclass(frozen=True, slots=True)
class Found:
    """A link in a text: `text[start:end]`, as it is written there."""

    start: int
    end: int
    url: str


def find(text: str) -> Iterator[Found]:
    """The links of a text that name their scheme, without the punctuation that follows them."""
    for match in _LINK.finditer(text):
        url = match.group().rstrip(_TRAILING)
        if url.partition("://")[2]:
            yield Found(match.start(), match.start() + len(url), url)


def find_bare(text: str) -> Iterator[Found]:
    """What a phone would take for a link although it has no scheme ('shop.com/sale')."""
    for match in _BARE.finditer(text):
        url = match.group().rstrip(_TRAILING)
        yield Found(match.start(), match.start() + len(url), url)


def tracked(source: str) -> frozenset[str]:
    """Those links of a message that short ones stand for."""
    return frozenset(
        url for url in literal(source) if url.startswith("https://") and len(url) <= LONGEST_URL
    )


@lru_cache(maxsize=1024)
def literal(source: str) -> frozenset[str]:
    """The links that a message holds as such. Only these are ever replaced: what a field says is
    one person's, and no destination of ours."""
    return frozenset(found.url for found in find(source))


def host_of(url: str) -> str:
    """The host in lower case, without user and port; '' where there is none."""
    try:
        return (urlsplit(url if "://" in url else f"https://{url}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def is_shortener(host: str) -> bool:
    """Whether a host shortens links for the public: carriers block them, as anybody can hide there."""
    return _within(host, _shorteners())


def is_allowed(host: str, domains: Collection[str]) -> bool:
    """Whether a host is one of the domains or below one. No domains: any host."""
    return bool(host) and (not domains or _within(host, domains))


def is_host(text: str) -> bool:
    """Whether it is a host name in lower case, such as go.example.com."""
    return len(text) <= 253 and _HOST.fullmatch(text) is not None


def _within(host: str, domains: Collection[str]) -> bool:
    labels = host.split(".")
    return any(".".join(labels[at:]) in domains for at in range(len(labels)))


@cache
def _shorteners() -> frozenset[str]:
    with SHORTENERS.open(newline="") as lines:
        return frozenset(row["domain"] for row in csv.DictReader(lines))


def with_parameters(url: str, parameters: Mapping[str, str]) -> str:
    """The address with these parameters in its query; those that it has already stay as they are."""
    parts = urlsplit(url)
    there = {name for name, _ in parse_qsl(parts.query, keep_blank_values=True)}
    new = {name: value for name, value in parameters.items() if value and name not in there}
    if not new:
        return url
    query = "&".join(filter(None, (parts.query, urlencode(new))))
    return urlunsplit(parts._replace(query=query))


def cut(body: str, urls: Collection[str]) -> tuple[list[str], list[str]]:
    """A body as (what stands around its links, the links): only those of `urls` are cut out."""
    parts, links, at = [], [], 0
    for found in find(body) if urls else ():
        if found.url in urls:
            parts.append(body[at : found.start])
            links.append(found.url)
            at = found.end
    return [*parts, body[at:]], links


def fill(parts: Sequence[str], links: Sequence[str]) -> str:
    """The reverse of `cut`, with whatever links."""
    pieces = [parts[0]]
    for link, part in zip(links, parts[1:], strict=True):
        pieces += (link, part)
    return "".join(pieces)
