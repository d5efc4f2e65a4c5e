"""Fault F14: over two years, in steps of 15 minutes, nothing is sent outside anybody's hours.

The places are all those that a +1 area code can stand for, and some others. By default the days are
those on which something could go wrong, and some at random; FULL_WALK=1 takes every day.
"""

import datetime as dt
import os
import random
from collections.abc import Iterable, Iterator

import pytest

from campaigns.eligibility import Action, Decision, Facts, Law, Policy, Reason, decide
from campaigns.schedule import STOP_BEFORE_END, Hours, parse_span, windows
from subscribers.phones import Phone, PhoneKind, parse
from subscribers.timezones import Place, area_codes, locate
from tests.campaigns import wall_clock
from tests.campaigns.wall_clock import AHEAD, BEGIN, QUARTER, STEPS

SECOND = dt.timedelta(seconds=1)
FULL = os.environ.get("FULL_WALK") == "1"
WIDE = parse_span("00:00-23:59")

# Clock changes (United States, Europe, Australia, New Zealand), ends of years and the leap day: with
# the day before and the day after. And holidays that some rows of send_windows.csv close.
TURNING_DAYS = (
    *("2027-03-14", "2027-11-07", "2028-03-12", "2028-11-05", "2027-03-28", "2027-10-31"),
    *("2028-03-26", "2027-04-04", "2027-09-26", "2027-10-03"),
    *("2027-01-01", "2028-01-01", "2028-12-31", "2028-02-29"),
)
HOLIDAYS = ("2027-07-04", "2027-07-14", "2027-08-09", "2027-04-26", "2027-11-25", "2028-06-19")


def _phones() -> Iterator[Phone]:
    for code in area_codes():
        yield Phone(f"+1{code}5550123", "US", PhoneKind.MOBILE_OR_LANDLINE, code)
    yield parse("+18005550123")  # toll-free: the safe default
    for abroad in ("+33612345678", "+447400123456", "+4915112345678", "+31612345678"):
        yield parse(abroad)
    for abroad in ("+61412345678", "+64211234567", "+35315550123"):
        yield parse(abroad)


PLACES = sorted(
    {locate(phone) for phone in _phones()} | {locate(parse("+18765550123"), state="FL")},
    key=lambda place: (place.zones, place.jurisdictions),
)


def _days() -> list[int]:
    """Days since the beginning of the walk."""
    every = range((STEPS - AHEAD) // 96)
    if FULL:
        return list(every)
    near = {day + beside for day in map(_since, TURNING_DAYS) for beside in (-1, 0, 1)}
    some = random.Random(20270101).sample(every, 6)
    return sorted((near & set(every)) | set(map(_since, HOLIDAYS)) | set(some))


def _since(day: str) -> int:
    return (dt.date.fromisoformat(day) - BEGIN.date()).days


def _law(row: dict[str, str]) -> Law:
    closed = row["public_holidays"]
    hours = Hours(
        row["jurisdiction"],
        *(parse_span(row[column]) for column in ("weekdays", "saturday", "sunday")),
        holiday=None if closed == "same" else parse_span(closed),
        holiday_same=closed == "same",
    )
    return Law(hours, int(row["cap_per_24h"]) if row["cap_per_24h"] else None)


def policy() -> Policy:
    """Every law of the table, under a brand that would send at any hour."""
    return Policy(
        platform_enabled=True,
        brand_enabled=True,
        campaign_running=True,
        daily_limit=4,
        weekly_cap=1,
        engagement=None,
        platform_remaining=1,
        brand_hours=Hours("", WIDE, WIDE, WIDE, None, holiday_same=True),
        laws={name: _law(row) for name, row in wall_clock.law().items()},
    )


def facts(place: Place) -> Facts:
    return Facts(
        subscription="opted_in",
        has_evidence=True,
        suppressed=False,
        number_kind="mobile",
        zones=place.zones,
        jurisdictions=place.jurisdictions,
    )


def name(place: Place) -> str:
    return f"{'+'.join(place.zones)} {'+'.join(place.jurisdictions)}"


def expected(step: int, allowed: bytes, changes: list[int]) -> Decision:
    """What the clocks on the walls say: nothing opens or closes between two quarters of an hour."""
    at = BEGIN + changes[step] * QUARTER
    if allowed[step]:
        return Decision(Action.SEND, Reason.OK, window_end=at)
    return Decision(Action.DEFER, Reason.OUTSIDE_HOURS, until=at)


@pytest.mark.timeout(1800 if FULL else 60)
@pytest.mark.parametrize("place", PLACES, ids=name)
def test_every_quarter_of_an_hour_is_decided_as_the_clocks_on_the_walls_say(place: Place) -> None:
    person, rules = facts(place), policy()
    allowed = wall_clock.quarters(place.zones, place.jurisdictions)
    changes = wall_clock.changes(allowed)

    for day in _days():
        for step in range(day * 96, day * 96 + 96):
            now = BEGIN + step * QUARTER
            assert decide(person, rules, now) == expected(step, allowed, changes), now


@pytest.mark.timeout(1800 if FULL else 60)
@pytest.mark.parametrize("place", PLACES, ids=name)
def test_a_second_beside_every_edge_is_decided_as_the_clocks_on_the_walls_say(
    place: Place,
) -> None:
    person, rules = facts(place), policy()
    allowed = wall_clock.quarters(place.zones, place.jurisdictions)
    edges = [step for day in _days() for step in _edges(allowed, range(day * 96, day * 96 + 96))]

    assert edges
    for step in edges:
        edge = BEGIN + step * QUARTER
        if allowed[step]:
            assert _sends(person, rules, edge - SECOND, edge, edge + SECOND) == [False, True, True]
        else:
            last = edge - STOP_BEFORE_END
            assert _sends(person, rules, last - SECOND, last, last + SECOND) == [True, False, False]
            assert _sends(person, rules, edge - SECOND, edge, edge + SECOND) == [False] * 3
            assert decide(person, rules, last - SECOND).window_end == edge


def _edges(allowed: bytes, steps: Iterable[int]) -> list[int]:
    return [step for step in steps if step and allowed[step] != allowed[step - 1]]


def _sends(person: Facts, rules: Policy, *moments: dt.datetime) -> list[bool]:
    return [decide(person, rules, moment).action is Action.SEND for moment in moments]


@pytest.mark.parametrize("place", PLACES, ids=name)
def test_windows_begin_and_end_to_the_second(place: Place) -> None:
    rules = policy()
    hours = [law.hours for law in rules.laws_for(place.jurisdictions)]
    start = BEGIN + dt.timedelta(days=random.Random(name(place)).randrange(730))

    found = windows(place.zones, [rules.brand_hours, *hours], start=start)

    assert found
    for window in found:
        around = (window.start - SECOND, window.start, window.end - SECOND, window.end)
        shown = [wall_clock.allows(place.zones, place.jurisdictions, moment) for moment in around]
        assert shown == [False, True, True, False], window


def test_the_walk_visits_every_zone_set_that_an_area_code_has() -> None:
    zone_sets = {tuple(sorted(code.zones)) for code in area_codes().values()}

    assert zone_sets <= {place.zones for place in PLACES}
    assert len(zone_sets) >= 45
    assert {("America/Chicago", "America/New_York")} <= zone_sets  # 423 and 850


def test_the_walk_is_bound_by_every_row_of_the_table() -> None:
    used = {row for place in PLACES for row in wall_clock.rows_for(place.jurisdictions)}

    assert used == set(wall_clock.law())
