"""Claims about hours: what the law, the brand and every clock of a place allow together."""

import datetime as dt
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns import schedule
from campaigns.schedule import ChangingHours, Hours, Span, Window, is_holiday, parse_span, windows
from tests.campaigns import wall_clock

EASTERN, CENTRAL = "America/New_York", "America/Chicago"
MIDNIGHT = dt.time(0)
SECOND = dt.timedelta(seconds=1)


def utc(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


def daily(text: str, jurisdiction: str = "") -> Hours:
    """The same hours on every day, holidays too."""
    span = parse_span(text)
    return Hours(jurisdiction, span, span, span, None, holiday_same=True)


def on_day(found: tuple[Window, ...], day: str) -> list[str]:
    """The windows that begin on a day of UTC, like '13:00 - 00:00'."""
    return [
        f"{one.start:%H:%M} - {one.end:%H:%M}" for one in found if f"{one.start:%Y-%m-%d}" == day
    ]


@pytest.mark.parametrize(
    ("text", "opens", "closes"),
    [
        ("08:00-21:00", dt.time(8), dt.time(21)),
        ("09:00-21:30", dt.time(9), dt.time(21, 30)),
        ("00:00-23:59", dt.time(0), dt.time(23, 59)),
        ("08:00-08:01", dt.time(8), dt.time(8, 1)),
    ],
)
def test_hours_are_read_as_they_are_written(text: str, opens: dt.time, closes: dt.time) -> None:
    assert parse_span(text) == Span(opens, closes)


def test_none_is_no_hour_at_all() -> None:
    assert parse_span("none") is None


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "None", "NONE", "same", "closed", "9-5", "09:00", "09:00-", "-17:00"),
        *("09:00-17:00-18:00", "09:00 - 17:00", " 09:00-17:00", "09:00-17:00\n", "9:00-17:00"),
        *("09:00-25:00", "09:00-24:00", "09:60-17:00", "0900-1700", "09-17", "T09:00-17:00"),
        *("09:00:00-17:00:00", "09:00Z-17:00Z", "09:00Z-17:00", "09:00-17:00+01:00"),
        *("\u0660\u0669:00-17:00", "09:00\u201317:00", "09:00-17:00,18:00-19:00"),
    ],
)
def test_other_words_are_refused_with_a_sentence_that_quotes_them(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not like 08:00-21:00 or none\.$") as refused:
        parse_span(text)

    assert repr(text) in str(refused.value)


@pytest.mark.parametrize("text", ["21:00-08:00", "09:00-09:00", "00:00-00:00"])
def test_hours_that_close_before_they_open_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=rf"^'{text}' closes before it opens\.$"):
        parse_span(text)


@given(st.text())
def test_any_text_is_hours_or_none_or_refused(text: str) -> None:
    try:
        span = parse_span(text)
    except ValueError:
        return
    assert text == "none" if span is None else f"{span.opens:%H:%M}-{span.closes:%H:%M}" == text


DAYS = Hours(
    "",
    weekdays=parse_span("09:00-18:00"),
    saturday=parse_span("10:00-17:00"),
    sunday=None,
    holiday=None,
    holiday_same=True,
)


@pytest.mark.parametrize(
    ("day", "span"),
    [
        *((f"2027-02-0{number}", "09:00-18:00") for number in range(1, 6)),
        ("2027-02-06", "10:00-17:00"),
        ("2027-02-07", "none"),
        ("2027-02-08", "09:00-18:00"),
    ],
)
def test_each_day_of_the_week_has_its_own_hours(day: str, span: str) -> None:
    assert DAYS.on(dt.date.fromisoformat(day)) == parse_span(span)


@pytest.mark.parametrize(
    ("jurisdiction", "days"),
    [
        ("US", "2027-01-01 2027-07-04 2027-07-05 2027-11-25 2027-12-24 2027-12-25 2027-12-31"),
        ("DEFAULT_SAFE", "2027-01-01 2027-07-04 2027-11-25 2027-12-25 2028-06-19"),
        ("US-RI", "2027-08-09 2028-08-14 2027-07-04"),  # Victory Day, second Monday of August
        ("US-AL", "2027-04-26 2027-06-07 2027-07-05"),  # Confederate Memorial Day, Jefferson Davis
        ("US-LA", "2027-02-09 2027-03-26 2028-02-29"),  # Mardi Gras, also on the leap day
        ("US-PA", "2027-11-26"),  # the day after Thanksgiving
        ("US-ME", "2027-04-19"),  # Patriots' Day
        ("US-UT", "2027-07-23 2027-07-24"),  # Pioneer Day and the day it is observed
        ("FR", "2027-03-29 2027-05-01 2027-05-08 2027-07-14 2027-11-11 2028-06-05"),
        ("US-XX", "2027-07-04"),  # an unknown region keeps its country's
    ],
)
def test_public_holidays_are_known(jurisdiction: str, days: str) -> None:
    for day in days.split():
        assert is_holiday(jurisdiction, dt.date.fromisoformat(day)), day


@pytest.mark.parametrize(
    ("jurisdiction", "days"),
    [
        ("US", "2027-08-09 2027-04-26 2027-11-26 2027-07-14 2027-07-06 2028-02-29"),
        ("DEFAULT_SAFE", "2027-08-09 2028-02-29"),
        ("US-RI", "2027-04-26 2027-08-10 2027-03-26"),
        ("US-AL", "2027-08-09 2027-04-25"),
        ("FR", "2027-07-04 2027-12-24 2027-11-25"),
        ("", "2027-01-01 2027-12-25"),
        ("XX", "2027-01-01"),
        ("nonsense", "2027-01-01"),
    ],
)
def test_other_days_are_no_holidays(jurisdiction: str, days: str) -> None:
    for day in days.split():
        assert not is_holiday(jurisdiction, dt.date.fromisoformat(day)), day


def test_a_holiday_has_the_hours_of_holidays() -> None:
    span, short = parse_span("09:00-18:00"), parse_span("10:00-12:00")
    thanksgiving, friday = dt.date(2027, 11, 25), dt.date(2027, 11, 26)

    closed = Hours("US-RI", span, span, span, None, holiday_same=False)
    shorter = Hours("US-RI", span, span, span, short, holiday_same=False)
    same = Hours("US-RI", span, span, span, None, holiday_same=True)

    assert (closed.on(thanksgiving), closed.on(friday)) == (None, span)
    assert (shorter.on(thanksgiving), shorter.on(friday)) == (short, span)
    assert (same.on(thanksgiving), same.on(friday)) == (span, span)


def test_the_hours_of_a_holiday_never_open_a_day_that_is_closed() -> None:
    morning, noon, evening = map(parse_span, ("08:00-12:00", "10:00-14:00", "14:00-20:00"))
    fourth_of_july = dt.date(2027, 7, 4)  # a Sunday

    assert Hours("US", noon, noon, None, noon, holiday_same=False).on(fourth_of_july) is None
    assert Hours("US", noon, noon, evening, noon, holiday_same=False).on(fourth_of_july) is None
    assert Hours("US", noon, noon, morning, noon, holiday_same=False).on(
        fourth_of_july
    ) == parse_span("10:00-12:00")


@pytest.mark.parametrize(
    ("day", "hours"),
    [
        ("2027-03-13", "14:00 - 01:00"),  # the last day of winter time
        ("2027-03-14", "13:00 - 00:00"),  # clocks went from 02:00 to 03:00
        ("2027-11-06", "13:00 - 00:00"),  # the last day of summer time
        ("2027-11-07", "14:00 - 01:00"),  # clocks went from 02:00 to 01:00
        ("2028-02-29", "14:00 - 01:00"),
        ("2028-03-12", "13:00 - 00:00"),
        ("2028-11-05", "14:00 - 01:00"),
        ("2028-12-31", "14:00 - 01:00"),
    ],
)
def test_a_window_follows_the_clock_on_the_wall(day: str, hours: str) -> None:
    found = windows([EASTERN], [daily("09:00-20:00")], start=utc(f"{day}T12:00"))

    assert on_day(found, day) == [hours]


@pytest.mark.parametrize(
    ("hours", "day", "window"),
    [
        # 02:00 to 03:00 is skipped on 14 March: the later reading opens, the earlier one closes.
        ("02:30-20:00", "2027-03-14", "2027-03-14T07:30 2027-03-15T00:00"),
        ("00:30-02:30", "2027-03-14", "2027-03-14T05:30 2027-03-14T06:30"),
        ("02:15-02:45", "2027-03-14", ""),
        ("02:00-03:00", "2027-03-14", ""),
        ("03:00-20:00", "2027-03-14", "2027-03-14T07:00 2027-03-15T00:00"),
        # 01:00 to 02:00 is repeated on 7 November.
        ("01:30-20:00", "2027-11-07", "2027-11-07T06:30 2027-11-08T01:00"),
        ("00:30-01:30", "2027-11-07", "2027-11-07T04:30 2027-11-07T05:30"),
        ("01:15-01:45", "2027-11-07", ""),
        ("02:00-20:00", "2027-11-07", "2027-11-07T07:00 2027-11-08T01:00"),
    ],
)
def test_an_hour_that_a_clock_change_skips_or_repeats_is_read_strictly(
    hours: str, day: str, window: str
) -> None:
    found = windows([EASTERN], [daily(hours)], start=utc(f"{day}T12:00"))

    expected = [Window(*map(utc, window.split()))] if window else []
    assert [one for one in found if f"{one.start:%Y-%m-%d}" == day] == expected


@pytest.mark.parametrize(
    ("zones", "hours"),
    [
        ((EASTERN,), "14:00 - 01:00"),
        ((CENTRAL,), "15:00 - 02:00"),
        ((CENTRAL, EASTERN), "15:00 - 01:00"),  # 423 and 850: from nine Central till eight Eastern
        ((EASTERN, CENTRAL), "15:00 - 01:00"),
        (("America/Los_Angeles", "America/Denver", EASTERN), "17:00 - 01:00"),
        (("Pacific/Honolulu", "America/Adak", EASTERN), "19:00 - 01:00"),
        (("America/St_Johns",), "12:30 - 23:30"),
        (("Asia/Kathmandu",), "03:15 - 14:15"),
    ],
)
def test_a_text_is_allowed_only_where_every_zone_allows_it(
    zones: tuple[str, ...], hours: str
) -> None:
    found = windows(zones, [daily("09:00-20:00")], start=utc("2027-01-19T12:00"))

    assert on_day(found, "2027-01-19") == [hours]


@pytest.mark.parametrize(
    ("zones", "window"),
    [
        # Guam's Monday begins on Sunday in UTC, Pago Pago's ends on Tuesday.
        (("Pacific/Guam",), "2027-01-17T23:00 2027-01-18T10:00"),
        (("Pacific/Pago_Pago",), "2027-01-18T20:00 2027-01-19T07:00"),
        (("Pacific/Guam", "Pacific/Honolulu"), "2027-01-18T23:00 2027-01-19T06:00"),
        (("Pacific/Kiritimati", "Pacific/Pago_Pago"), "2027-01-18T20:00 2027-01-19T06:00"),
    ],
)
def test_zones_on_both_sides_of_the_date_line_share_their_real_hours(
    zones: tuple[str, ...], window: str
) -> None:
    found = windows(zones, [daily("09:00-20:00")], start=utc("2027-01-18T12:00"))

    assert Window(*map(utc, window.split())) in found


def test_a_day_that_is_closed_on_one_side_of_the_date_line_closes_the_other() -> None:
    sunday_closed = Hours("", Span(MIDNIGHT, dt.time(23, 59)), None, None, None, holiday_same=True)

    found = windows(["Pacific/Guam", "Pacific/Honolulu"], [sunday_closed], start=utc("2027-01-18"))

    # Guam's Friday ends at 13:59 in UTC, Honolulu's Monday begins at 10:00.
    assert [one for one in found if utc("2027-01-22T13:59") <= one.start < utc("2027-01-25")] == []
    assert utc("2027-01-25T10:00") in {one.start for one in found}


def test_zones_without_a_common_hour_never_open() -> None:
    rules, start = [daily("09:00-20:00")], utc("2027-07-18")

    assert windows(["Europe/London", "Asia/Tokyo"], rules, start=start) != ()
    assert windows(["Europe/London", "Pacific/Auckland"], rules, start=start) == ()


def test_without_a_zone_nothing_is_allowed() -> None:
    assert windows([], [daily("00:00-23:59")], start=utc("2027-01-18")) == ()


def test_without_a_rule_nothing_is_allowed() -> None:
    assert windows([EASTERN], [], start=utc("2027-01-18")) == ()


def test_the_strictest_of_all_rules_counts() -> None:
    rules = [daily("08:00-21:00"), daily("10:00-22:00"), daily("07:00-19:30")]

    found = windows([EASTERN], rules, start=utc("2027-01-19T12:00"))

    assert on_day(found, "2027-01-19") == ["15:00 - 00:30"]


def test_rules_without_a_common_hour_never_open() -> None:
    for rules in (["08:00-12:00", "12:00-20:00"], ["08:00-12:00", "13:00-20:00"]):
        assert windows([EASTERN], [daily(one) for one in rules], start=utc("2027-01-18")) == ()


def test_a_day_that_one_rule_closes_is_closed() -> None:
    rules = [daily("08:00-21:00"), DAYS]

    found = windows([EASTERN], rules, start=utc("2027-02-05T12:00"))

    assert on_day(found, "2027-02-06") == ["15:00 - 22:00"]
    assert on_day(found, "2027-02-07") == []


@given(st.integers(0, 2 * 366 * 86_400))
def test_windows_reach_from_the_day_before_to_a_week_ahead(seconds: int) -> None:
    start = wall_clock.BEGIN + dt.timedelta(seconds=seconds)

    found = windows(["Pacific/Kiritimati"], [daily("00:00-23:59")], start=start)

    assert found[0].start <= start - dt.timedelta(days=1)
    assert found[-1].end > start + dt.timedelta(days=7)
    assert len(found) == schedule.DAYS_AHEAD + 1


def test_the_time_zone_of_the_machine_decides_nothing() -> None:
    zones, start = ["Pacific/Honolulu", "Pacific/Guam"], utc("2027-01-19T11:00")
    expected = windows(zones, [daily("09:00-20:00")], start=start)

    for elsewhere in ("Pacific/Kiritimati", "Pacific/Pago_Pago"):
        with wall_clock.machine_in(elsewhere):
            found = windows(zones, [daily("09:00-20:00")], start=start)

        assert found == expected
        assert {edge.tzinfo for one in found for edge in (one.start, one.end)} == {dt.UTC}


ZONES = (
    *(EASTERN, CENTRAL, "America/Los_Angeles", "America/St_Johns", "America/Santiago"),
    *("America/Havana", "Pacific/Honolulu", "Pacific/Guam", "Pacific/Kiritimati"),
    *("Pacific/Chatham", "Australia/Lord_Howe", "Antarctica/Troll", "Africa/Casablanca"),
    *("Asia/Beirut", "Atlantic/Azores", "Europe/London", "Asia/Kolkata"),
)
SPANS = st.tuples(st.integers(0, 95), st.integers(1, 96)).map(
    lambda pair: (min(pair[0], pair[1] - 1), max(pair[0] + 1, pair[1]))
)


def time(quarter: int) -> str:
    return "23:59" if quarter == 96 else f"{quarter // 4:02}:{quarter % 4 * 15:02}"


@given(
    st.lists(st.sampled_from(ZONES), min_size=1, max_size=3),
    st.lists(SPANS, min_size=1, max_size=2),
    st.dates(dt.date(2027, 1, 1), dt.date(2028, 12, 31)),
    st.lists(st.integers(0, 7 * 86_400), min_size=1, max_size=30),
)
def test_an_instant_is_in_a_window_where_every_wall_shows_allowed_hours(
    zones: list[str], spans: list[tuple[int, int]], day: dt.date, seconds: list[int]
) -> None:
    texts = [f"{time(opens)}-{time(closes)}" for opens, closes in spans]
    start = dt.datetime.combine(day, MIDNIGHT, dt.UTC)

    found = windows(zones, [daily(text) for text in texts], start=start)

    assert all(one.start < one.end for one in found)
    assert all(one.end <= other.start for one, other in itertools.pairwise(found))
    edges = [edge for one in found for edge in (one.start, one.end - SECOND, one.end)]
    for moment in [*edges, *(start + number * SECOND for number in seconds)]:
        inside = any(one.start <= moment < one.end for one in found)
        if not all(wall_clock.shows(zone, text, moment) for zone in zones for text in texts):
            assert not inside, moment
        elif not any(wall_clock.changes_on(zone, moment) for zone in zones):
            assert inside or moment > start + dt.timedelta(days=7), moment


@pytest.mark.parametrize("zone", ZONES)
def test_no_hours_of_the_night_let_a_text_out_when_the_clocks_change(zone: str) -> None:
    night = [*range(17), *range(88, 96)]
    texts = [f"{time(opens)}-23:59" for opens in night]
    texts += [f"00:00-{time(closes)}" for closes in night[1:]]

    for day in wall_clock.days_of_change(zone):
        for text in texts:
            found = windows([zone], [daily(text)], start=day)
            for number in range(-96, 192):
                moment = day + number * wall_clock.QUARTER
                inside = any(one.start <= moment < one.end for one in found)
                assert not inside or wall_clock.shows(zone, text, moment), (text, moment)


def test_hours_that_change_are_those_of_the_last_step_that_has_begun() -> None:
    first, second = dt.date(2027, 3, 1), dt.date(2027, 3, 10)
    wide, narrow = parse_span("08:00-21:00"), parse_span("10:00-18:00")
    steps = [
        (since, Hours("", span, span, span, None, holiday_same=True))
        for since, span in ((first, wide), (second, narrow))
    ]
    hours = ChangingHours(tuple(steps))
    one = dt.timedelta(days=1)

    assert [hours.on(day) for day in (first - one, first, second - one)] == [None, wide, wide]
    assert [hours.on(day) for day in (second, second + 300 * one)] == [narrow, narrow]
