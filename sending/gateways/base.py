"""What every provider adapter speaks: texts in, HTTP calls out, one outcome per text back.

An adapter is two pure functions and some facts. It never touches the network, the clock or the
database, so its contract tests need nothing but bytes; `transport.py` makes the calls.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from sending.gateways.codes import STATUSES, Action, Meaning, is_ours


@dataclass(frozen=True, slots=True)
class Text:
    """One text that has passed the point of no return."""

    id: UUID  # SentLog id: our reference at the provider
    to: str  # E.164
    body: str
    validity: int  # seconds from now after which the provider must not deliver it any more


@dataclass(frozen=True, slots=True)
class Account:
    """What an adapter may know of the sender it sends from."""

    base_url: str  # no trailing slash
    address: str  # the sender: E.164 number, short code or alphanumeric name
    credentials: Mapping[str, str] = field(repr=False)
    callback_url: str  # public address of this sender's webhooks, no trailing slash


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP request that carries one or more texts."""

    method: str
    url: str = field(repr=False)  # may carry credentials: never logged
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes | None = field(repr=False)
    texts: tuple[Text, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """The whole HTTP answer to a call."""

    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """A call that ended without a whole HTTP answer."""

    written: bool  # True when a byte of the request may have left: the text may have been accepted
    detail: str


LONGEST_RETRY_AFTER = 3600.0  # seconds


class Fate(StrEnum):
    """What became of one text at the provider (`providers.md`, "What an HTTP outcome means")."""

    ACCEPTED = "accepted"
    RETRY = "retry"  # certainly not sent, may be tried again
    FAILED = "failed"  # certainly not sent, never will be
    UNKNOWN = "unknown"  # may have been sent: never sent again


@dataclass(frozen=True, slots=True)
class Outcome:
    """One text's fate, with the provider's own words kept for the log."""

    text_id: UUID
    fate: Fate
    provider_id: str = ""
    bulk_id: str = ""
    code: str = ""  # the provider's code as it came, or ours: http-503, connect, timeout
    detail: str = ""  # at most 200 characters, no credentials
    retry_after: float | None = None  # seconds
    suppress: bool = False  # the provider says this person opted out
    stop_sender: bool = False  # credentials or account refused: nothing more may go this way


@dataclass(frozen=True, slots=True)
class LookedUp:
    """What a provider's status call says of one text."""

    provider_id: str  # the text that it speaks of
    state: str  # in the log's words: accepted, sent, delivered, undelivered
    code: str = ""  # the provider's code where it was not delivered


class Gateway(Protocol):
    """One provider's adapter."""

    name: str
    texts_per_call: int
    credential_names: tuple[str, ...]  # required, non-empty
    optional_credential_names: tuple[str, ...]
    codes: Mapping[str, Meaning]  # of answers to the send call, as they come, with `STATUSES`
    receipt_codes: Mapping[str, Meaning]  # of receipts
    looks_up: bool  # whether the provider documents a status call: else both below answer None

    def calls(self, texts: Sequence[Text], account: Account) -> list[Call]:
        """Requests that carry each of `texts` exactly once, `texts_per_call` at most in each."""
        ...

    def read(self, call: Call, answer: Answer) -> list[Outcome]:
        """One outcome for every text of `call`, in its order, whatever the answer holds."""
        ...

    def lookup_call(self, text_id: UUID, provider_id: str, account: Account) -> Call | None:
        """The request that asks what became of a text; it carries none and sends nothing.

        None where nothing that the provider knows the text by is known.
        """
        ...

    def read_lookup(self, answer: Answer) -> LookedUp | None:
        """What the answer says, or None where it says nothing certain: then nothing changes."""
        ...


def bounded(detail: str) -> str:
    """A provider's words cut to what the log keeps."""
    return " ".join(detail.split())[:200]


def for_all(
    call: Call,
    fate: Fate,
    *,
    code: str,
    detail: str = "",
    retry_after: float | None = None,
    suppress: bool = False,
    stop_sender: bool = False,
) -> list[Outcome]:
    """The same outcome for every text of a call."""
    return [
        Outcome(
            text.id,
            fate,
            code=code,
            detail=bounded(detail),
            retry_after=retry_after,
            suppress=suppress,
            stop_sender=stop_sender,
        )
        for text in call.texts
    ]


def without_answer(call: Call, failure: NoAnswer) -> list[Outcome]:
    """Outcomes of a call that got no answer: unknown once a byte may have left, else retry."""
    if failure.written:
        return for_all(call, Fate.UNKNOWN, code="no-answer", detail=failure.detail)
    return for_all(call, Fate.RETRY, code=failure.detail[:20])


# What a code's action makes of the text that it was the answer for: all mean "certainly not sent".
FATES: Mapping[Action, Fate] = {
    Action.FINAL: Fate.FAILED,
    Action.SUPPRESS: Fate.FAILED,
    Action.RETRY: Fate.RETRY,
    Action.STOP: Fate.RETRY,
}


def by_meaning(
    call: Call, meaning: Meaning, *, code: str, detail: str = "", retry_after: float | None = None
) -> list[Outcome]:
    """Outcomes of a refusal whose code stands in a gateway's table."""
    return for_all(
        call,
        FATES[meaning.action],
        code=code,
        detail=detail,
        retry_after=retry_after,
        suppress=meaning.action is Action.SUPPRESS,
        stop_sender=meaning.action is Action.STOP,
    )


def by_status(call: Call, answer: Answer) -> list[Outcome] | None:
    """Outcomes that the HTTP status alone decides, or None where the body must be read.

    None is answered for 2xx and for 4xx about a text. Source: the table in `providers.md`.
    """
    code = f"http-{answer.status}"
    retry_after = retry_after_seconds(answer)
    meaning = STATUSES.get(code)
    if meaning is not None and (answer.status != 503 or retry_after is not None):
        return by_meaning(call, meaning, code=code, retry_after=retry_after)
    if 200 <= answer.status < 300 or 400 <= answer.status < 500:
        return None
    return for_all(call, Fate.UNKNOWN, code=code)


NOT_THE_WAYS_FAULT = {"lease-expired", "malformed-request", "malformed-url"}


def broke_down(outcome: Outcome) -> bool:
    """Whether an outcome speaks against the way that its text took, and not against the text.

    What the provider says in words of its own does not: refused credentials stop a sender, "too
    fast" lets it rest.
    """
    if outcome.fate is Fate.RETRY:
        ours = is_ours(outcome.code) and outcome.code not in NOT_THE_WAYS_FAULT
        return ours and not outcome.stop_sender
    return outcome.fate is Fate.UNKNOWN


def retry_after_seconds(answer: Answer) -> float | None:
    """The Retry-After header in seconds, an hour at most, if it is a number (not a date)."""
    try:
        seconds = float(answer.headers["retry-after"])
    except (KeyError, ValueError):
        return None
    return min(seconds, LONGEST_RETRY_AFTER) if seconds >= 0 else None
