"""What providers' codes mean: the vocabulary of the table that stands beside each client.

A code that no table explains is decided by its HTTP status alone, kept as it came, and counted
(`sending/refusals.py`), so that somebody can find out and add it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Action(StrEnum):
    """What a code does to its text and beyond it."""

    FINAL = "final"  # this text will not arrive
    RETRY = "retry"  # it passes: the text, or in a receipt the next one, may be tried again
    SUPPRESS = "suppress"  # final, and this person is not texted again
    STOP = "stop"  # nothing more goes this way until a person has looked


class Category(StrEnum):
    """What is wrong. The first three are the seeds' own; the others split their "non-retryable"."""

    INVALID_NUMBER = "invalid number"
    RATE_LIMIT = "rate limit"
    NETWORK = "network"
    OPTED_OUT = "opted out"
    UNREACHABLE = "unreachable"
    FILTERED = "filtered"
    CREDENTIALS = "credentials"
    SENDER = "sender"
    CONTENT = "content"


class Rest(StrEnum):
    """Who has been too fast and rests for a while."""

    NOBODY = ""
    SENDER = "sender"
    ACCOUNT = "account"  # with all its senders; without one, the sender


@dataclass(frozen=True, slots=True)
class Meaning:
    """One row of a table."""

    action: Action
    category: Category
    rest: Rest = Rest.NOBODY


# The statuses that mean the same at every provider (`providers.md`, "What an HTTP outcome means").
# 503 is one of them where it says when to come back; else it is like every 5xx: nobody knows.
STATUSES: Mapping[str, Meaning] = {
    "http-401": Meaning(Action.STOP, Category.CREDENTIALS),
    "http-403": Meaning(Action.STOP, Category.CREDENTIALS),
    "http-429": Meaning(Action.RETRY, Category.RATE_LIMIT, Rest.ACCOUNT),
    "http-503": Meaning(Action.RETRY, Category.NETWORK),
}

# Our own words: for calls without an answer (`slot.WORDS`), and for what the status alone decides.
_OURS = re.compile(
    r"no-answer|lease-expired|malformed-(request|url)|http-[35]\d\d|curl-\d+"
    r"|dns|connect|timeout|tls|tls-certificate|reset|connection-lost|closed-without-answe.*"
    r"|answer-cut-short|answer-too-large"
)


def is_ours(code: str) -> bool:
    """Whether a code was made up here: there was no answer, or none but its status."""
    return _OURS.fullmatch(code) is not None
