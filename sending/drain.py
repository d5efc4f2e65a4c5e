"""How a queue will empty: texts leave in the order in which they are due, at a rate, within hours.

Pure. The gate decides again when a text's turn comes: one whose window has closed by then waits for
the next, one that is too old is never sent. Texts that are due together are served alike, so the
answer is a share of each group rather than a fate of each person.
"""

import datetime as dt
import heapq
import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from campaigns.schedule import STOP_BEFORE_END, Window

HOUR = dt.timedelta(hours=1)
CRUMB = 1e-6  # texts: what is left of a group by rounding


@dataclass(frozen=True, slots=True)
class Batch:
    """Texts that are due at the same instant and have the same windows; all in real time."""

    due_at: dt.datetime  # in UTC
    windows: Sequence[Window]
    texts: float
    segments: float  # of all of them


@dataclass(slots=True)
class Outflow:
    """What becomes of all texts. `by_hour`: texts that leave, by the full hour in UTC."""

    by_hour: Counter[dt.datetime] = field(default_factory=Counter)
    put_off: float = 0.0  # their window closed before their turn came: they wait for the next
    too_late: float = 0.0  # they expired before a window and their turn came together
    done_at: dt.datetime | None = None  # when the last one leaves
    capped: float = 0.0  # no more may leave on their day (UTC): they wait for the next

    def add(self, other: "Outflow") -> None:
        """Count another sender's texts too."""
        self.by_hour.update(other.by_hour)
        self.put_off += other.put_off
        self.too_late += other.too_late
        self.capped += other.capped
        self.done_at = max((at for at in (self.done_at, other.done_at) if at), default=None)


@dataclass(slots=True)
class _Group:
    windows: Sequence[Window]
    texts: float
    each: float  # segments of one text
    was_put_off: bool = False


def simulate(
    batches: Iterable[Batch],
    *,
    rate: float,
    start: dt.datetime,
    expires_at: dt.datetime,
    ahead: float = 0.0,
    room: Callable[[dt.date], float] | None = None,
) -> Outflow:
    """Let the texts leave from `start` on at `rate` segments a second, `ahead` segments before them.

    No text leaves from `expires_at` on. `rate` is greater than 0. `room`: how many texts may leave on
    a day (UTC); without it there is no limit.
    """
    queue = _Queue(expires_at, room)
    for batch in batches:
        if batch.texts > 0:
            each = batch.segments / batch.texts
            # Who is due at night waits for the morning whatever the rate is.
            asleep = not any(w.start <= batch.due_at < w.end for w in batch.windows)
            queue.push(batch.due_at, _Group(batch.windows, batch.texts, each, asleep))
    at = start + dt.timedelta(seconds=ahead / rate)
    while queue.waiting:
        due_at, groups = queue.pop()
        at = _serve(queue, groups, max(at, due_at), rate)
    return queue.flow


class _Queue:
    """Groups by when they are due."""

    def __init__(
        self, expires_at: dt.datetime, room: Callable[[dt.date], float] | None = None
    ) -> None:
        self.expires_at = expires_at
        self._room = room
        self._left: dict[dt.date, float] = {}
        self.flow = Outflow()
        self.waiting: list[tuple[dt.datetime, int, _Group]] = []
        self._order = itertools.count()

    def push(self, due_at: dt.datetime, group: _Group) -> None:
        heapq.heappush(self.waiting, (due_at, next(self._order), group))

    def pop(self) -> tuple[dt.datetime, list[_Group]]:
        """The groups that are due first, and when."""
        due_at, _, group = heapq.heappop(self.waiting)
        groups = [group]
        while self.waiting and self.waiting[0][0] == due_at:
            groups.append(heapq.heappop(self.waiting)[2])
        return due_at, groups

    def left(self, day: dt.date) -> float:
        """How many more texts may leave on a day."""
        if day not in self._left:
            self._left[day] = self._room(day) if self._room else math.inf
        return self._left[day]

    def leave(self, texts: float, start: dt.datetime, until: dt.datetime) -> None:
        """Count texts that leave evenly between two instants of one day."""
        if self._room:
            self._left[start.date()] = self.left(start.date()) - texts
        _spread(self.flow.by_hour, texts, start, until)
        self.flow.done_at = max(until, self.flow.done_at or until)

    def wait_for_tomorrow(self, group: _Group, midnight: dt.datetime) -> None:
        """The day is full: the group has its turn on the next."""
        if not group.was_put_off:
            self.flow.capped += group.texts
        group.was_put_off = True
        self.push(midnight, group)

    def admit(self, group: _Group, at: dt.datetime) -> dt.datetime | None:
        """Until when a group may leave that has its turn at `at`; None: it was put elsewhere."""
        for window in group.windows:
            last_call = window.end - STOP_BEFORE_END
            if at >= last_call or window.start >= last_call:
                continue
            if at < self.expires_at and at >= window.start:
                return min(last_call, self.expires_at)
            if at < self.expires_at and window.start <= self.expires_at:
                if not group.was_put_off:
                    self.flow.put_off += group.texts
                group.was_put_off = True
                self.push(window.start, group)
                return None
            break
        self.flow.too_late += group.texts
        return None


def _serve(queue: _Queue, groups: list[_Group], at: dt.datetime, rate: float) -> dt.datetime:
    """Let groups that have their turn leave together; answers when the last text has left."""
    while True:
        ends = [(queue.admit(group, at), group) for group in groups]
        open_until = [(end, group) for end, group in ends if end is not None]
        groups = [group for _, group in open_until]
        if not groups:
            return at
        texts = sum(group.texts for group in groups)
        midnight = _midnight(at)
        left = queue.left(at.date())
        if left <= CRUMB:
            for group in groups:
                queue.wait_for_tomorrow(group, midnight)
            return at
        whole = sum(group.texts * group.each for group in groups)
        wanted = dt.timedelta(seconds=whole / rate)
        allowed = min(midnight, *(end for end, _ in open_until)) - at
        share = 1.0 if wanted <= allowed else allowed / wanted
        until = at + min(wanted, allowed)
        if left < texts * share:
            share = left / texts
            until = at + wanted * share
        queue.leave(texts * share, at, until)
        if share == 1.0:
            return until
        for group in groups:
            group.texts *= 1 - share
        groups = [group for group in groups if group.texts > CRUMB]
        at = until


def _midnight(at: dt.datetime) -> dt.datetime:
    """The end of its day in UTC."""
    return dt.datetime.combine(at.date() + dt.timedelta(days=1), dt.time(), dt.UTC)


def _spread(
    by_hour: Counter[dt.datetime], texts: float, start: dt.datetime, end: dt.datetime
) -> None:
    """Count texts that leave evenly between two instants."""
    whole = end - start
    while whole and start < end:
        hour = start.replace(minute=0, second=0, microsecond=0)
        until = min(end, hour + HOUR)
        by_hour[hour] += texts * ((until - start) / whole)  # type: ignore[assignment]
        start = until
    if not whole:
        by_hour[start.replace(minute=0, second=0, microsecond=0)] += texts  # type: ignore[assignment]
