"""A campaign's totals in the words of its page."""

from dataclasses import dataclass

from sending.models import State
from sending.progress import Totals


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


def reasons(totals: Totals) -> list[tuple[str, int]]:
    """Why texts wait or were not sent, the most frequent first."""
    found = sorted(totals.by_reason.items(), key=lambda item: -item[1])
    return [(reason.replace("_", " ").capitalize(), count) for reason, count in found]
