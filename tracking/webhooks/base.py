"""What every provider's webhook is turned into, whatever its wire shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID

from sending.gateways import words

US_DIGITS = 10


class ForgedError(Exception):
    """The request does not carry the proof that the provider sent it: 403."""


class UnreadableError(Exception):
    """The request is not in a shape that this provider uses: 400."""


@dataclass(frozen=True, slots=True)
class Request:
    """The parts of an HTTP request that an adapter may look at."""

    url: str  # as the provider called it: public, with its query
    headers: Mapping[str, str]
    body: bytes
    form: Mapping[str, str]
    query: Mapping[str, str]


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
    if not isinstance(value, str) or not value:
        raise UnreadableError(f"{name} is missing.")
    return said(value)


def said(value: object) -> str:
    """A provider's words, as they can be stored: PostgreSQL takes no NUL and no half a character."""
    return words.safe(str(value))


def international(digits: str) -> str:
    """A number that came with its country code and without a plus; ten digits are a US number."""
    return f"+{digits}" if digits.isdecimal() and len(digits) != US_DIGITS else digits
