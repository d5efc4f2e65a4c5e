"""Do the books balance? The audit of the whole log, against the carrier's own log in its file."""

from dataclasses import dataclass, field
from pathlib import Path

from sending import books, reconciliation


@dataclass(frozen=True, slots=True)
class Books:
    """The comparison; it balances when `differences` is empty."""

    accepted: int = 0  # lines of the carrier's log
    twice: int = 0
    differences: list[str] = field(default_factory=list)


def audit(carrier_log: Path) -> Books:
    """Compare every text of the log with every line of the carrier's, and with itself."""
    found = books.audit(books.Scope(), reconciliation.in_file(carrier_log))
    return Books(found.accepted or 0, found.twice, found.differences)
