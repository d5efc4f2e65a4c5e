"""A campaign's totals in the words of its page."""

from dataclasses import dataclass

from campaigns.eligibility import REASON_TEXT, Reason
from sending.models import State
from sending.progress import Totals

# What happens to texts after planning: the rest of the reasons that the log holds.
OTHER_REASONS = {
    "campaign_cancelled": "The campaign was cancelled",
    "too_many_attempts": "The provider refused it too often",
    "no_sender": "No sender was in use in time",
    "safe_mode": "Held back after the installation was restored",
    "closed": "Nobody knows whether it arrived",
}


@dataclass(frozen=True, slots=True)
class Card:
    """One number of the panel: `share` is the percentage of the audience, `tone` its colour's class."""

    title: str
    count: int
    share: float
    tone: str


CARDS: tuple[tuple[str, tuple[State, ...], str], ...] = (
    ("Waiting", (State.PLANNED,), "bg-base-300"),
    ("On their way", (State.SENDING, State.ACCEPTED, State.SENT), "bg-blue-500"),
    ("Delivered", (State.DELIVERED,), "bg-green-500"),
    ("Not delivered", (State.UNDELIVERED, State.FAILED), "bg-red-500"),
    ("Unknown", (State.UNKNOWN,), "bg-orange-500"),
    ("Not sent", (State.SKIPPED, State.EXPIRED, State.CANCELLED), "bg-base-400"),
)


def cards(totals: Totals) -> list[Card]:
    """Every text is in exactly one card, so their counts add up to the audience."""
    counts = [
        (title, sum(totals.by_state.get(state, 0) for state in states), tone)
        for title, states, tone in CARDS
    ]
    whole = totals.audience or 1
    return [
        Card(title, count, round(100 * count / whole, 1), tone) for title, count, tone in counts
    ]


@dataclass(frozen=True, slots=True)
class Why:
    """One reason why texts wait or were not sent; `reason` is as the log has it."""

    reason: str
    title: str
    count: int


def reasons(totals: Totals) -> list[Why]:
    """Why texts wait or were not sent, the most frequent first."""
    found = sorted(totals.by_reason.items(), key=lambda item: -item[1])
    return [Why(reason, words(reason), count) for reason, count in found]


def words(reason: str) -> str:
    """A reason of the log as people read it."""
    if reason in REASON_TEXT:
        return REASON_TEXT[Reason(reason)]
    return OTHER_REASONS.get(reason, reason.replace("_", " ").capitalize())


def choices() -> list[tuple[str, str]]:
    """Every reason that may be asked for, with its words."""
    return [(str(reason), words(reason)) for reason in (*Reason, *OTHER_REASONS)]
