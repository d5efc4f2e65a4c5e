"""What a person reads: Liquid with a fixed set of fields, and how many segments it costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from liquid import BoundTemplate, Environment, StrictUndefined
from liquid.exceptions import LiquidError

# 3GPP TS 23.038, default alphabet and its extension table (each of the latter takes two septets).
GSM_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
GSM_EXTENSION = frozenset("\f^{}\\[~]|€")
LONGEST_BODY = 1600  # characters: the strictest provider's limit (Twilio)
FIELDS = ("first_name", "last_name", "name", "brand")


class BadContent(Exception):
    """A message that cannot be written; the text says what to mend."""


@dataclass(frozen=True, slots=True)
class Size:
    """How a body travels. `units`: septets (GSM-7) or 16-bit units (UCS-2)."""

    encoding: str  # "GSM-7" or "UCS-2"
    units: int
    segments: int


def measure(body: str) -> Size:
    """Segments of a body: 160 septets, or 153 each when joined; 70 and 67 units in UCS-2."""
    if all(char in GSM_BASIC or char in GSM_EXTENSION for char in body):
        units = len(body) + sum(char in GSM_EXTENSION for char in body)
        return Size("GSM-7", units, 1 if units <= 160 else _joined_gsm(body))
    units = len(body.encode("utf-16-be")) // 2
    return Size("UCS-2", units, 1 if units <= 70 else _joined_ucs2(body))


def _joined_gsm(body: str) -> int:
    """Parts of 153 septets; an extension character is never split between two."""
    parts, used = 1, 0
    for char in body:
        width = 2 if char in GSM_EXTENSION else 1
        if used + width > 153:
            parts, used = parts + 1, 0
        used += width
    return parts


def _joined_ucs2(body: str) -> int:
    """Parts of 67 units; a surrogate pair is never split between two."""
    parts, used = 1, 0
    for char in body:
        width = 2 if ord(char) > 0xFFFF else 1
        if used + width > 67:
            parts, used = parts + 1, 0
        used += width
    return parts


class _Limited(Environment):
    """Liquid that a marketer's mistake cannot turn into a runaway."""

    context_depth_limit = 5
    loop_iteration_limit = 100
    output_stream_limit = 4 * LONGEST_BODY
    local_namespace_limit = 10_000


_environment = _Limited(undefined=StrictUndefined)


@lru_cache(maxsize=1024)
def compiled(source: str) -> BoundTemplate:
    """A message's template. Raises BadContent with the line and what is wrong."""
    try:
        return _environment.from_string(source)
    except LiquidError as error:
        raise BadContent(f"The message cannot be read: {error}") from None


def render(source: str, fields: Mapping[str, str]) -> str:
    """The body for one person. `fields`: FIELDS. Raises BadContent; never answers an empty body."""
    try:
        body = compiled(source).render(**fields).strip()
    except LiquidError as error:
        raise BadContent(f"The message cannot be written: {error}") from None
    if not body:
        raise BadContent("The message is empty for this person.")
    if "\x00" in body:
        raise BadContent("The message holds a character that no text can carry.")
    if len(body) > LONGEST_BODY:
        raise BadContent(f"The message is longer than {LONGEST_BODY} characters for this person.")
    return body


def check(source: str) -> None:
    """Refuse a message that no person could get. Raises BadContent."""
    render(source, dict.fromkeys(FIELDS, "x"))
