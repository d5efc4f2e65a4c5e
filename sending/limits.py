"""Throughput: token buckets per sender and per provider account in Valkey, counted in segments.

One script takes from both at once, on Valkey's clock. What a fast sender was granted beyond its batch
stays with this process for a moment, so that not every batch asks. When Valkey cannot be reached
nothing is granted: sending stops rather than exceed a rate.
"""

import datetime as dt
import random
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import redis
import structlog

from sending.limits_script import TAKE
from sending.models import ProviderAccount, Sender
from sending.queues import valkey

log = structlog.get_logger("carillon.limits")

# A sender that rested may send this many seconds' worth at once.
BURST_SECONDS = 1
# A worker may hold so many seconds' worth of a fast sender's segments, for so long; what is left
# then is given back. A slow sender's batch uses all that there is: nothing of it is held.
BLOCK_SECONDS = 0.2
SMALLEST_BLOCK = 100  # segments
BLOCK_LIFE = 0.5  # seconds: a cool-down, or Valkey being away, is noticed after that at the latest
EPOCH = dt.date(1970, 1, 1)


@dataclass(slots=True)
class Grants:
    """What senders may send now. `wait`: seconds until one of them may again, 0.2 at most.

    `spent`: senders whose account has used up its day; others carry what would be theirs.
    """

    segments: dict[int, int] = field(default_factory=dict)
    wait: float = 0.2
    spent: set[int] = field(default_factory=set)

    def left(self, senders: Sequence[Sender]) -> list[Sender]:
        """Those of the senders that can still send today."""
        return [sender for sender in senders if sender.pk not in self.spent]


@dataclass(slots=True)
class _Block:
    """Segments that this process holds of a sender, until a moment on the monotonic clock."""

    sender: Sender
    segments: int
    until: float


@dataclass(frozen=True, slots=True)
class _Request:
    """What the script is asked for one sender: give `back` (a debt where negative), take `want`."""

    sender: Sender
    want: int = 0
    back: int = 0


_blocks: dict[int, _Block] = {}
_guard = threading.Lock()


def take_all(wanted: Mapping[Sender, int]) -> Grants:
    """Take up to so many segments of each sender, asking Valkey once, or not at all.

    Raises redis.RedisError when Valkey cannot be reached.
    """
    grants = Grants()
    requests: list[_Request] = []
    with _guard:
        for sender, want in wanted.items():
            held, stale = _unpack(sender.pk)
            grants.segments[sender.pk] = held
            if held < want or stale:
                missing = want - held + _block_of(sender)
                requests.append(_Request(sender, want=missing, back=stale))
    if requests:
        _ask(requests, grants)
    with _guard:
        for sender, want in wanted.items():
            beyond = grants.segments[sender.pk] - want
            if beyond > 0:
                _hold(sender, beyond)
                grants.segments[sender.pk] = want
    return grants


def settle_all(
    senders: Iterable[Sender], *, granted: Mapping[int, int], used: Mapping[int, int]
) -> None:
    """Correct grants by what was really used: more is charged, less is held or given back.

    Their texts have departed by now, so Valkey being away must not stop them.
    """
    requests = []
    with _guard:
        for sender in senders:
            unused = granted[sender.pk] - used.get(sender.pk, 0)
            held = min(unused, _block_of(sender))
            if held > 0:
                _hold(sender, held)
                unused -= held
            if unused:
                requests.append(_Request(sender, back=unused))
    _run_softly(requests)


def give_back() -> None:
    """Give back what this process holds of any sender: it turns to another brand."""
    with _guard:
        requests = [_Request(one.sender, back=one.segments) for one in _blocks.values()]
        _blocks.clear()
    _run_softly([request for request in requests if request.back])


def cool_down(sender_id: int, seconds: float) -> None:
    """Grant a sender nothing for so many seconds: its provider said that it is too fast."""
    valkey().set(_rest(sender_id), 1, px=max(1, int(seconds * 1000)))
    with _guard:
        _make_stale([sender_id])


def cool_down_account(account_id: int, seconds: float) -> None:
    """Grant all senders of an account nothing for so many seconds."""
    valkey().set(_rest_of_account(account_id), 1, px=max(1, int(seconds * 1000)))
    with _guard:
        held = _blocks.values()
        _make_stale([one.sender.pk for one in held if one.sender.account_id == account_id])


def rests_for(sender: Sender) -> float:
    """Seconds that a sender still cools down, itself or with its account; 0 where it does not.

    Raises redis.RedisError.
    """
    rests = [valkey().pttl(_rest(sender.pk))]
    if sender.account_id:
        rests.append(valkey().pttl(_rest_of_account(sender.account_id)))
    return max(0, *rests) / 1000


def _block_of(sender: Sender) -> int:
    """How many segments this process may hold of a sender; 0 where every batch uses all."""
    rate = _rate(sender)
    if sender.account is not None:
        rate = min(rate, sender.account.rate, sender.account.burst)
        if sender.account.per_minute is not None or sender.account.daily_cap is not None:
            return 0  # these are counted when they are granted: nothing is to be lost
    block = int(rate * BLOCK_SECONDS)
    return block if block >= SMALLEST_BLOCK else 0


def _unpack(sender_id: int) -> tuple[int, int]:
    """(segments at hand, segments that were held for too long and must go back)."""
    block = _blocks.get(sender_id)
    if block is None:
        return 0, 0
    segments, block.segments = block.segments, 0
    if block.until > time.monotonic():
        return segments, 0  # what is left of them keeps its end
    del _blocks[sender_id]
    return 0, segments


def _hold(sender: Sender, segments: int) -> None:
    new = _Block(sender, 0, time.monotonic() + BLOCK_LIFE)
    _blocks.setdefault(sender.pk, new).segments += segments


def _make_stale(sender_ids: Sequence[int]) -> None:
    for sender_id in sender_ids:
        if sender_id in _blocks:
            _blocks[sender_id].until = 0.0


def _ask(requests: Sequence[_Request], grants: Grants) -> None:
    """Add what the script answers to the grants; what they hold lives from now on."""
    with _guard:
        for request in requests:
            _blocks.pop(request.sender.pk, None)  # empty: `_unpack` took what was in it
    for request, (granted, wait, spent) in zip(requests, _run(requests), strict=True):
        grants.segments[request.sender.pk] += granted
        grants.wait = min(grants.wait, max(wait, 0.005))
        if spent:
            grants.spent.add(request.sender.pk)
            grants.segments[request.sender.pk] = 0


def _run_softly(requests: Sequence[_Request]) -> None:
    if not requests:
        return
    try:
        _run(requests)
    except redis.RedisError:
        log.warning("valkey_away", senders=[request.sender.pk for request in requests])


def _run(requests: Sequence[_Request]) -> list[tuple[int, float, bool]]:
    """(granted, seconds to wait, the day is used up) of each request, in their order."""
    # In a new order each time: who comes first has the better chance at an account's last token.
    order = random.sample(range(len(requests)), len(requests))
    chosen = [requests[place] for place in order]
    keys = [key for request in chosen for key in _keys(request.sender)]
    parts = _parts(chosen)
    arguments = [
        value
        for request, part in zip(chosen, parts, strict=True)
        for value in _arguments(request, part)
    ]
    told = valkey().register_script(TAKE)(keys=keys, args=arguments)
    answers: list[tuple[int, float, bool]] = [(0, 0.0, False)] * len(requests)
    for at, place in enumerate(order):
        granted, wait, spent = told[3 * at : 3 * at + 3]
        answers[place] = (granted, wait / 1000, bool(spent))
    return answers


def _parts(requests: Sequence[_Request]) -> list[float]:
    """Which part of its account's level each may take: by weight, of what those before it left."""
    whole: Counter[int | None] = Counter()
    for request in requests:
        whole[request.sender.account_id] += max(1, request.sender.weight)
    parts = []
    for request in requests:
        weight = max(1, request.sender.weight)
        parts.append(weight / whole[request.sender.account_id])
        whole[request.sender.account_id] -= weight
    return parts


def _arguments(request: _Request, part: float) -> tuple[float, ...]:
    rate = _rate(request.sender)
    burst = max(1.0, rate * BURST_SECONDS)
    own = (rate, burst, request.want, request.back, part)
    account = request.sender.account
    if account is None:
        return (*own, 0, 0, 0, -1, 0, 0)
    day = (account.used_on - EPOCH).days if account.used_on else 0
    cap = -1 if account.daily_cap is None else account.daily_cap
    return (*own, account.rate, account.burst, account.per_minute or 0, cap, day, account.used)


def _rate(sender: Sender) -> float:
    """Segments per second: less while the sender is being tried again (`circuits.py`)."""
    return max(1.0, sender.rate * sender.share / 100)


def _keys(sender: Sender) -> tuple[str, ...]:
    account = sender.account_id
    common = (_account(account), _rest_of_account(account), f"{_account(account)}:minute")
    return (f"carillon:bucket:{sender.pk}", _rest(sender.pk), *common)


def _rest(sender_id: int) -> str:
    return f"carillon:resting:{sender_id}"


def _account(account_id: int | None) -> str:
    return f"carillon:account:{account_id or 0}"


def _rest_of_account(account_id: int | None) -> str:
    return f"{_account(account_id)}:resting"


def used_today(accounts: Sequence[ProviderAccount]) -> dict[int, tuple[dt.date, int]]:
    """(day in UTC, segments) that Valkey has counted, by account. Raises redis.RedisError."""
    pipe = valkey().pipeline(transaction=False)
    for account in accounts:
        pipe.hmget(_account(account.pk), "day", "used")
    told = zip(accounts, pipe.execute(), strict=True)
    return {
        account.pk: (EPOCH + dt.timedelta(days=int(day)), int(float(used)))
        for account, (day, used) in told
        if day is not None
    }
