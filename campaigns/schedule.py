"""When a person may be texted: hours of the brand and of the law, in every zone they may be in.

Pure: dates and rules in, instants out. All instants are aware datetimes.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from zoneinfo import ZoneInfo

import holidays

# The last text of a window is handed over this long before its end: delivery takes time too.
STOP_BEFORE_END = dt.timedelta(minutes=10)
# A window that does not open within so many days is taken to open never.
DAYS_AHEAD = 9
_SPAN = re.compile(r"([0-9]{2}:[0-9]{2})-([0-9]{2}:[0-9]{2})")


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a local day, from `opens` until (not including) `closes`."""

    opens: dt.time
    closes: dt.time


@dataclass(frozen=True, slots=True)
class Hours:
    """One rule's hours by kind of day; None: not at all on such a day."""

    jurisdiction: str  # its holidays count; '' knows none
    weekdays: Span | None
    saturday: Span | None
    sunday: Span | None
    holiday: Span | None
    holiday_same: bool  # a public holiday is like any other day

    def on(self, day: dt.date) -> Span | None:
        """The span of one local day; a holiday's hours never add to those of its day of the week."""
        span = {5: self.saturday, 6: self.sunday}.get(day.weekday(), self.weekdays)
        if span is None or self.holiday_same or not is_holiday(self.jurisdiction, day):
            return span
        return self.holiday and _common([span, self.holiday])


@dataclass(frozen=True, slots=True)
class ChangingHours:
    """Hours that a law replaces on a date, which begins at midnight wherever the person is."""

    steps: tuple[tuple[dt.date, Hours], ...]  # (from this local day on, these hours), oldest first

    def on(self, day: dt.date) -> Span | None:
        """The span of one local day; before the first step there is none."""
        found: Hours | None = None
        for since, hours in self.steps:
            if since <= day:
                found = hours
        return found.on(day) if found else None


type AnyHours = Hours | ChangingHours


@dataclass(frozen=True, slots=True)
class Window:
    """`start` <= t < `end`, in UTC."""

    start: dt.datetime
    end: dt.datetime


def parse_span(text: str) -> Span | None:
    """'08:00-21:00' or 'none'. Raises ValueError with a sentence for anything else."""
    if text == "none":
        return None
    match = _SPAN.fullmatch(text)
    try:
        opens, closes = (dt.time.fromisoformat(part) for part in (match.groups() if match else ()))
    except ValueError:
        raise ValueError(f"{text!r} is not like 08:00-21:00 or none.") from None
    if opens >= closes:
        raise ValueError(f"{text!r} closes before it opens.")
    return Span(opens, closes)


def windows(
    zones: Iterable[str], rules: Sequence[AnyHours], *, start: dt.datetime
) -> tuple[Window, ...]:
    """The spans of time, in order, that all rules allow in all zones, from the day before `start`.

    No zones: nothing is allowed, for nobody knows what time it is there.
    """
    common: list[Window] | None = None
    for zone in zones:
        here = _in_zone(zone, rules, start)
        common = here if common is None else _intersection(common, here)
    return tuple(common or ())


def _in_zone(zone: str, rules: Sequence[AnyHours], start: dt.datetime) -> list[Window]:
    clock = ZoneInfo(zone)
    first = start.astimezone(clock).date() - dt.timedelta(days=1)
    found = []
    for offset in range(DAYS_AHEAD + 1):
        day = first + dt.timedelta(days=offset)
        span = _common([rule.on(day) for rule in rules])
        if span is None:
            continue
        # What a clock change skips or repeats is opened by its later reading, closed by its earlier.
        start, end = max(_instants(day, span.opens, clock)), min(_instants(day, span.closes, clock))
        if start < end:
            found.append(Window(start, end))
    return found


def _common(spans: Sequence[Span | None]) -> Span | None:
    """What all spans have in common; no spans have nothing."""
    known = [span for span in spans if span]
    if not known or len(known) < len(spans):
        return None
    opens, closes = max(span.opens for span in known), min(span.closes for span in known)
    return Span(opens, closes) if opens < closes else None


def _instants(day: dt.date, time: dt.time, clock: ZoneInfo) -> list[dt.datetime]:
    """Both readings of a local time; they differ only where a clock change skips or repeats it."""
    local = dt.datetime.combine(day, time, clock)
    return [local.replace(fold=fold).astimezone(dt.UTC) for fold in (0, 1)]


def _intersection(left: Sequence[Window], right: Sequence[Window]) -> list[Window]:
    found = [
        Window(max(one.start, other.start), min(one.end, other.end))
        for one in left
        for other in right
    ]
    return sorted((w for w in found if w.start < w.end), key=lambda w: w.start)


@lru_cache(maxsize=4096)
def is_holiday(jurisdiction: str, day: dt.date) -> bool:
    """Whether a day is a public holiday in a jurisdiction ('US', 'US-RI', 'FR').

    DEFAULT_SAFE keeps the holidays of the United States. Source: the `holidays` package.
    """
    if jurisdiction == "DEFAULT_SAFE":
        jurisdiction = "US"
    country, _, subdivision = jurisdiction.partition("-")
    if country not in holidays.list_supported_countries():
        return False
    if subdivision not in holidays.list_supported_countries()[country]:
        subdivision = ""
    return day in holidays.country_holidays(country, subdiv=subdivision or None, years=day.year)
