"""The fake carrier's own log: a text is accepted when, and only when, it has a line here.

It is what the sender's books are checked against, so a line is on its way to the disk before the
answer that speaks of it.
"""

from __future__ import annotations

import json
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

# GSM 03.38: characters of one septet, and those that take two.
GSM_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡"
    "ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
GSM_EXTENDED = frozenset("\f^{}\\[~]|€")


@dataclass(frozen=True, slots=True)
class Entry:
    """One accepted text. `reference` is the sender's id where the wire carries one."""

    at: str  # ISO 8601, UTC
    gateway: str
    provider_id: str
    bulk_id: str
    reference: str
    to: str  # E.164
    sender: str
    body: str
    segments: int


class Ledger:
    """An append-only file of JSON lines, readable from any line on."""

    def __init__(self, path: Path) -> None:
        """Opens or continues the log at `path`. Raises OSError when it cannot be written."""
        self.path = path
        self.accepted: Counter[str] = Counter()  # by gateway
        self._starts = array("Q")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        self._read_existing()
        self._file = path.open("ab")

    def __len__(self) -> int:
        return len(self._starts)

    def append(self, entries: Sequence[Entry]) -> None:
        """Add entries with one write, handed to the operating system on return."""
        lines = bytearray()
        for entry in entries:
            self._starts.append(self._end + len(lines))
            self.accepted[entry.gateway] += 1
            fields = asdict(entry)
            fields["from"] = fields.pop("sender")
            lines += json.dumps(fields, ensure_ascii=False).encode() + b"\n"
        self._file.write(lines)
        self._file.flush()
        self._end += len(lines)

    def lines(self, *, after: int, limit: int) -> list[bytes]:
        """Up to `limit` lines, from number `after` on, where the first line is number 0."""
        if after >= len(self._starts) or limit < 1:
            return []
        until = after + limit
        end = self._starts[until] if until < len(self._starts) else self._end
        with self.path.open("rb") as file:
            file.seek(self._starts[after])
            return file.read(end - self._starts[after]).splitlines()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _read_existing(self) -> None:
        """Find the lines of an earlier run and cut off one that a crash left unfinished."""
        self._end = 0
        with self.path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._starts.append(self._end)
                self._end += len(line)
                self.accepted[json.loads(line)["gateway"]] += 1
        with self.path.open("r+b") as file:
            file.truncate(self._end)


def now() -> str:
    """The time of an entry."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def segments(body: str) -> int:
    """How many parts a text takes on the air: 160 or 153 septets, or 70 or 67 UTF-16 units."""
    if all(character in GSM_BASIC or character in GSM_EXTENDED for character in body):
        length = len(body) + sum(character in GSM_EXTENDED for character in body)
        return 1 if length <= 160 else -(-length // 153)
    units = len(body.encode("utf-16-le")) // 2
    return 1 if units <= 70 else -(-units // 67)
