"""An oracle of when a text is allowed: look at the clock on the wall of every zone, minute by minute.

It shares no code with `campaigns`: it reads send_windows.csv itself and compares minutes of the day.
"""

import csv
import datetime as dt
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache, lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo

import holidays

CSV = Path(__file__).parents[2] / "campaigns" / "data" / "send_windows.csv"
BEGIN = dt.datetime(2027, 1, 1, tzinfo=dt.UTC)
QUARTER = dt.timedelta(minutes=15)
AHEAD = 10 * 96  # quarters of an hour that the oracle knows beyond its last day
STEPS = 2 * 366 * 96 + AHEAD  # two years and a bit, with the leap day of 2028


@cache
def law() -> dict[str, dict[str, str]]:
    """The rows of send_windows.csv by jurisdiction; all are in force in the years looked at."""
    with CSV.open(newline="") as lines:
        return {row["jurisdiction"]: row for row in csv.DictReader(lines)}


def rows_for(jurisdictions: Sequence[str]) -> list[str]:
    """Which rows bind somebody: the region's, else its country's, else the safe default's."""
    found = []
    for name in jurisdictions or ["DEFAULT_SAFE"]:
        known = [one for one in (name, name[:2]) if one in law()]
        found.append(known[0] if known else "DEFAULT_SAFE")
    return sorted(set(found))


@cache
def minutes(hours: str) -> range:
    """The minutes of a day that '08:00-21:00' allows; of 'none', none."""
    if hours == "none":
        return range(0)
    return range(
        int(hours[0:2]) * 60 + int(hours[3:5]),
        int(hours[6:8]) * 60 + int(hours[9:11]),
    )


@cache
def holidays_of(row: str) -> frozenset[dt.date]:
    country, region = {"DEFAULT_SAFE": ("US", None)}.get(row, (row[:2], row[3:] or None))
    return frozenset(holidays.country_holidays(country, subdiv=region, years=range(2025, 2031)))


def _allowed_on(row: str, day: dt.date) -> range:
    columns = law()[row]
    ordinary = ("weekdays",) * 5 + ("saturday", "sunday")
    column = ordinary[day.isoweekday() - 1]
    if columns["public_holidays"] != "same" and day in holidays_of(row):
        column = "public_holidays"
    return minutes(columns[column])


def row_allows(row: str, zone: str, moment: dt.datetime) -> bool:
    """Whether one row's hours allow a text when this zone's clocks show what they show now."""
    wall = moment.astimezone(ZoneInfo(zone))
    return wall.hour * 60 + wall.minute in _allowed_on(row, wall.date())


def allows(zones: Sequence[str], jurisdictions: Sequence[str], moment: dt.datetime) -> bool:
    """Whether every law of a place allows a text now, by the clocks of every zone of it."""
    return bool(zones) and all(
        row_allows(row, zone, moment) for row in rows_for(jurisdictions) for zone in zones
    )


@lru_cache(maxsize=512)
def _quarters_of(row: str, zone: str) -> bytes:
    """One byte per quarter of an hour of the two years: 1 where the row allows it in the zone."""
    clock, found = ZoneInfo(zone), bytearray(STEPS)
    day, allowed = dt.date.min, range(0)
    for step in range(STEPS):
        wall = (BEGIN + step * QUARTER).astimezone(clock)
        if wall.date() != day:
            day = wall.date()
            allowed = _allowed_on(row, day)
        found[step] = wall.hour * 60 + wall.minute in allowed
    return bytes(found)


def quarters(zones: Sequence[str], jurisdictions: Sequence[str]) -> bytes:
    """One byte per quarter of an hour of the two years: 1 where a text is allowed."""
    both = int.from_bytes(b"\1" * STEPS)
    for zone in zones:
        for row in rows_for(jurisdictions):
            both &= int.from_bytes(_quarters_of(row, zone))
    return both.to_bytes(STEPS)


def changes(allowed: bytes) -> list[int]:
    """For each step the next one at which the answer is another; STEPS where none is known."""
    found = [STEPS] * STEPS
    for step in range(STEPS - 2, -1, -1):
        found[step] = found[step + 1] if allowed[step] == allowed[step + 1] else step + 1
    return found


def shows(zone: str, hours: str, moment: dt.datetime) -> bool:
    """Whether a zone's clocks show a time within hours like '08:00-21:00'."""
    wall = moment.astimezone(ZoneInfo(zone))
    return wall.hour * 60 + wall.minute in minutes(hours)


def changes_on(zone: str, moment: dt.datetime) -> bool:
    """Whether a zone's clocks are changed within a day of this moment."""
    offsets = {
        (moment + dt.timedelta(hours=hours)).astimezone(ZoneInfo(zone)).utcoffset()
        for hours in (-26, 0, 26)
    }
    return len(offsets) > 1


def days_of_change(zone: str) -> list[dt.datetime]:
    """The days of the two years, at midnight in UTC, in which a zone's clocks are changed."""
    days = [BEGIN + dt.timedelta(days=number) for number in range(2 * 366)]
    offsets = [day.astimezone(ZoneInfo(zone)).utcoffset() for day in days]
    return [days[at] for at in range(len(days) - 1) if offsets[at] != offsets[at + 1]]


@contextmanager
def machine_in(zone: str) -> Iterator[None]:
    """Let the process believe that its machine stands in a zone."""
    before = os.environ.get("TZ")
    try:
        os.environ["TZ"] = zone
        time.tzset()
        yield
    finally:
        os.environ.pop("TZ", None)
        os.environ |= {} if before is None else {"TZ": before}
        time.tzset()
