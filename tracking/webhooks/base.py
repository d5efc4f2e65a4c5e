"""What every provider's webhook is turned into, whatever its wire shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol
from urllib.parse import parse_qsl
from uuid import UUID

from sending.gateways import words

US_DIGITS = 10
LONGEST_CODE = 20
MOST_FIELDS = 200  # of a form; the longest that is known has some 30


class ForgedError(Exception):
    """The request does not carry the proof that the provider sent it: 403."""


class UnreadableError(Exception):
    """The request is not in a shape that this provider uses: 400."""


@dataclass(frozen=True)
class Request:
    """The parts of an HTTP request that an adapter may look at."""

    url: str  # as the provider called it: public, with its query
    headers: Mapping[str, str]
    body: bytes
    query_string: str

    @cached_property
    def form(self) -> dict[str, str]:
        """The body's fields. Raises UnreadableError."""
        return _fields(self.body.decode(errors="replace"))

    @cached_property
    def query(self) -> dict[str, str]:
        """The fields of the address. Raises UnreadableError."""
        return _fields(self.query_string)


def _fields(encoded: str) -> dict[str, str]:
    if not encoded:
        return {}
    try:
        return dict(parse_qsl(encoded, keep_blank_values=True, max_num_fields=MOST_FIELDS))
    except ValueError:
        raise UnreadableError(f"Send at most {MOST_FIELDS} fields.") from None


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a provider says became of a text. `state` is None for words that are not known."""

    provider_id: str
    state: str | None
    code: str = ""
    text_id: UUID | None = None  # where the wire carries our own reference
    raw: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Inbound:
    """A text from a person."""

    provider_id: str
    phone: str  # as the provider writes it
    body: str


class Webhook(Protocol):
    """One provider's webhook adapter: pure, like the gateway that sends."""

    proof_header: str  # the only header that it looks at; "" for none

    def verify(self, request: Request, credentials: Mapping[str, str]) -> None:
        """Raise ForgedError unless the provider sent this."""
        ...

    def receipts(self, request: Request) -> list[Receipt]:
        """Raises UnreadableError."""
        ...

    def inbound(self, request: Request) -> Inbound:
        """Raises UnreadableError."""
        ...


def reference(text: str) -> UUID | None:
    """Our own id as the wire brought it back, or None."""
    try:
        return UUID(text)
    except ValueError:
        return None


def required(fields: Mapping[str, Any], name: str) -> str:
    """A field that must be there. Raises UnreadableError with its name."""
    value = fields.get(name)
    kept = said(value) if isinstance(value, str) else ""
    if not kept:
        raise UnreadableError(f"{name} is missing.")
    return kept


def code(value: object) -> str:
    """A provider's code as it came, as far as the log keeps it."""
    return said(value)[:LONGEST_CODE]


def said(value: object) -> str:
    """A provider's words, as they can be stored: PostgreSQL takes no NUL and no half a character."""
    return words.safe(str(value))


def international(digits: str) -> str:
    """A number that came with its country code and without a plus; ten digits are a US number."""
    return f"+{digits}" if digits.isdecimal() and len(digits) != US_DIGITS else digits
