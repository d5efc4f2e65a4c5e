"""What the fake carrier does with a text: a pure function of its number, of chance and of knobs.

The last four digits of a number decide. "Whole call" means that in a Mitto bulk call the first such
number decides for every text of it; the others concern their own text only.

| digits | whole call | what happens |
|---|---|---|
| 0429 | yes | 429 with Retry-After 1 the first two times, then accepted |
| 0500 | yes | 500, not accepted |
| 0501 | yes | accepted, then 500 |
| 0503 | yes | 503 with Retry-After 1 the first time, then accepted |
| 0408 | yes | no answer ever, not accepted |
| 0409 | yes | accepted, then no answer ever |
| 0104 | yes | connection cut, not accepted |
| 0105 | yes | accepted, then connection cut |
| 0201 | yes | accepted, answered with broken JSON |
| 0200 |     | accepted, answered with 2xx and no id |
| 0400 |     | refused as a bad number |
| 0610 |     | refused because the person opted out at the provider |
| 0005 |     | accepted, no receipt |
| 0002 |     | each receipt five times |
| 0003 |     | receipts in reverse order |
| 0004 |     | undelivered |
| 0770 |     | replies STOP |
| 0771 |     | replies "Stop." |
| 0772 |     | replies "please stop texting me" |
| 0773 |     | replies HELP |
| 0774 |     | replies STOP, then START |
| 0775 |     | replies "Great, thanks!" |

Every other number draws its receipt and its reply from a hash of (seed, number), so that two runs
with one seed behave alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from hashlib import blake2b
from typing import Any, get_type_hints


class Ending(StrEnum):
    """How the carrier ends a call."""

    NORMAL = "normal"
    STATUS = "status"  # an HTTP error instead of the answer
    BROKEN = "broken"  # 2xx with a body that is no JSON
    HANG = "hang"
    CUT = "cut"


class Item(StrEnum):
    """What is said of one text inside an answer that comes."""

    TAKEN = "taken"
    NO_ID = "no-id"  # taken, without saying under which id
    BAD_NUMBER = "bad-number"
    OPTED_OUT = "opted-out"


class BulkShape(StrEnum):
    """What is wrong with the array of a bulk answer."""

    NORMAL = "normal"
    SHORT = "short"  # the last entry is missing
    LONG = "long"  # one entry too many
    REORDERED = "reordered"
    DUPLICATED = "duplicated"  # the first id stands at the second index as well
    FOREIGN = "foreign"  # the first entry is of another traffic account


class ListMode(StrEnum):
    """How an opted-in list is served."""

    NORMAL = "normal"
    CUT = "cut"  # the connection ends after `list_cut_after` bytes
    HTML = "html"
    EMPTY = "empty"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Knobs:
    """How one gateway behaves beside the magic numbers. Times in seconds, shares from 0 to 1."""

    latency: float = 0.05
    hang: float = 120.0
    undelivered: float = 0.03
    stop: float = 0.01
    reply: float = 0.02
    receipts: bool = True
    receipt_delay: float = 0.2
    reply_delay: float = 0.5
    error_rate: float = 0.0  # share of calls that end as follows
    error_ending: Ending = Ending.STATUS
    error_status: int = 500
    error_retry_after: float = 0.0  # 0 sends no Retry-After
    error_accepts: bool = False
    bulk_shape: BulkShape = BulkShape.NORMAL
    list_mode: ListMode = ListMode.NORMAL
    list_cut_after: int = 20_000
    lime_reference_parameter: str = "reference"
    seed: int = 1


@dataclass(frozen=True, slots=True)
class CallPlan:
    """What becomes of a call; `accept` says whether its texts are taken at all."""

    accept: bool = True
    ending: Ending = Ending.NORMAL
    status: int = 200
    retry_after: float = 0.0


@dataclass(frozen=True, slots=True)
class _Magic:
    plan: CallPlan
    times: int | None = None  # only for the first so many tries of that number


def _status(status: int, *, accept: bool = False, retry_after: float = 0.0) -> CallPlan:
    return CallPlan(accept, Ending.STATUS, status, retry_after)


CALLS: Mapping[str, _Magic] = {
    "0429": _Magic(_status(429, retry_after=1), times=2),
    "0500": _Magic(_status(500)),
    "0501": _Magic(_status(500, accept=True)),
    "0503": _Magic(_status(503, retry_after=1), times=1),
    "0408": _Magic(CallPlan(False, Ending.HANG)),
    "0409": _Magic(CallPlan(True, Ending.HANG)),
    "0104": _Magic(CallPlan(False, Ending.CUT)),
    "0105": _Magic(CallPlan(True, Ending.CUT)),
    "0201": _Magic(CallPlan(True, Ending.BROKEN)),
}
ITEMS: Mapping[str, Item] = {
    "0200": Item.NO_ID,
    "0400": Item.BAD_NUMBER,
    "0610": Item.OPTED_OUT,
}
RECEIPTS: Mapping[str, tuple[str, ...]] = {
    "0005": (),
    "0002": ("sent",) * 5 + ("delivered",) * 5,
    "0003": ("delivered", "sent"),
    "0004": ("sent", "undelivered"),
}
REPLIES: Mapping[str, tuple[str, ...]] = {
    "0770": ("STOP",),
    "0771": ("Stop.",),
    "0772": ("please stop texting me",),
    "0773": ("HELP",),
    "0774": ("STOP", "START"),
    "0775": ("Great, thanks!",),
}
MAGIC = frozenset((*CALLS, *ITEMS, *RECEIPTS, *REPLIES))
LARGEST = 1e9  # of any knob
CHATTER = ("Great, thanks!", "who is this?", "👍", "Love it", "When does it start?")


def plan_call(numbers: Sequence[str], tries: Mapping[str, int], knobs: Knobs) -> CallPlan:
    """What becomes of a call to `numbers` (E.164); `tries` counts the earlier calls to each."""
    for number in numbers:
        magic = CALLS.get(number[-4:])
        if magic and (magic.times is None or tries.get(number, 0) < magic.times):
            return magic.plan
    if knobs.error_rate and numbers:
        first = numbers[0]
        drawn = share(knobs.seed, "error", f"{first}/{tries.get(first, 0)}")
        if drawn < knobs.error_rate:
            return CallPlan(
                knobs.error_accepts, knobs.error_ending, knobs.error_status, knobs.error_retry_after
            )
    return CallPlan()


def item(number: str) -> Item:
    """What is said of a text to that number."""
    return ITEMS.get(number[-4:], Item.TAKEN)


def receipts(number: str, knobs: Knobs) -> tuple[str, ...]:
    """The states that are reported for an accepted text, in the order of their reports."""
    if not knobs.receipts:
        return ()
    magic = RECEIPTS.get(number[-4:])
    if magic is not None:
        return magic
    plain = number[-4:] in MAGIC
    lost = not plain and share(knobs.seed, "undelivered", number) < knobs.undelivered
    return ("sent", "undelivered" if lost else "delivered")


def replies(number: str, knobs: Knobs) -> tuple[str, ...]:
    """What the person answers to the first text that reaches them."""
    last = number[-4:]
    if last in MAGIC:
        return REPLIES.get(last, ())
    drawn = share(knobs.seed, "reply", number)
    if drawn < knobs.stop:
        return ("STOP",)
    if drawn < knobs.stop + knobs.reply:
        return (CHATTER[int(share(knobs.seed, "chatter", number) * len(CHATTER))],)
    return ()


def share(seed: int, purpose: str, key: str) -> float:
    """A number from 0 up to but not including 1 that depends on nothing but the arguments."""
    digest = blake2b(f"{seed}/{purpose}/{key}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64


def turned(knobs: Knobs, changes: Mapping[str, Any]) -> Knobs:
    """`knobs` with changes by name. Raises ValueError for a name or value that is none."""
    kinds = get_type_hints(Knobs)
    unknown = sorted(set(changes) - {knob.name for knob in fields(Knobs)})
    if unknown:
        raise ValueError(f"no such knob: {', '.join(unknown)}")
    values: dict[str, Any] = {}
    for name, value in changes.items():
        try:
            values[name] = _as(kinds[name], value)
        except (TypeError, ValueError, KeyError):
            raise ValueError(f"knob {name} cannot be {value!r}") from None
    return replace(knobs, **values)


def _as(kind: type, value: Any) -> Any:
    """A value from a flag or from JSON as the type of a knob."""
    if kind is bool:
        if value in (True, False):
            return bool(value)
        return {"true": True, "false": False}[str(value).lower()]
    converted = kind(value)
    if kind in (int, float) and not 0 <= converted < LARGEST:
        raise ValueError
    return converted
