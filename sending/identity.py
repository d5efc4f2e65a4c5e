"""Ids that are the same each time the same thing is named: UUIDv8, time first.

48 bits of milliseconds, then 74 bits of a hash of what the row is about. Inserting twice is then
one row (`ON CONFLICT DO NOTHING`), and a span of time is a span of ids. RFC 9562, section 5.8.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable
from uuid import UUID

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MILLISECOND = dt.timedelta(milliseconds=1)


def milliseconds(moment: dt.datetime) -> int:
    """Whole milliseconds since 1970 of an aware datetime."""
    return (moment - _EPOCH) // _MILLISECOND


def identify(moment: dt.datetime, *cause: object) -> UUID:
    """The id of the thing that `cause` names at `moment`; the same arguments give the same id."""
    name = "\x1f".join(str(part) for part in cause).encode()
    digest = int.from_bytes(hashlib.blake2b(name, digest_size=16).digest(), "big")
    return _assemble(milliseconds(moment), digest >> 64 & 0xFFF, digest & (1 << 62) - 1)


def namer(moment: dt.datetime, *cause: object) -> Callable[[object], UUID]:
    """`identify(moment, *cause, last)` for many a `last`: what they have in common is hashed once."""
    common = "".join(f"{part}\x1f" for part in cause).encode()
    begun = hashlib.blake2b(common, digest_size=16)
    frame = _assemble(milliseconds(moment), 0, 0).int

    def name(last: object) -> UUID:
        hashed = begun.copy()
        hashed.update(str(last).encode())
        digest = int.from_bytes(hashed.digest(), "big")
        return UUID(int=frame | (digest >> 64 & 0xFFF) << 64 | digest & (1 << 62) - 1)

    return name


def lower_bound(moment: dt.datetime) -> UUID:
    """The least id of this millisecond. Ids of [a, b) are >= lower_bound(a) and < lower_bound(b)."""
    return UUID(int=milliseconds(moment) << 80)


def moment_of(identity: UUID) -> dt.datetime:
    """The time half of an id, in UTC."""
    return _EPOCH + (identity.int >> 80) * _MILLISECOND


def _assemble(ms: int, a: int, b: int) -> UUID:
    return UUID(int=ms << 80 | 0x8 << 76 | a << 64 | 0b10 << 62 | b)
