"""A forecast in the words of its page and its command: sentences for people who sell, not engineers."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from campaigns.models import Campaign
from campaigns.reasons import Reason
from sending import funnel
from sending.forecast import Forecast
from sending.models import State
from sending.pool_forecast import PoolForecast

MOST_PLACES = 12  # in the table; the others are one line


@dataclass(frozen=True, slots=True)
class Line:
    """A row of a table: `share` is the percentage of the whole."""

    title: str
    count: int
    share: float
    more: tuple[str, ...] = ()

    @property
    def figure(self) -> str:
        return f"{self.count:,}"


def when(moment: dt.datetime) -> str:
    """'Mon 30 Nov, 10:00 UTC'."""
    return f"{moment.astimezone(dt.UTC):%a} {moment.day} {moment:%b, %H:%M} UTC"


def duration(span: dt.timedelta) -> str:
    """'2 h 25 min', '40 s'."""
    seconds = round(span.total_seconds())
    if seconds < 90:
        return f"{seconds} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    if minutes < 10 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{round(minutes / 60)} h"


def people(count: int) -> str:
    return "1 person" if count == 1 else f"{count:,} people"


def place(zones: Sequence[str]) -> str:
    """'New York', 'Chicago or New York', '6 possible time zones'."""
    names = [zone.rpartition("/")[2].replace("_", " ") for zone in zones]
    if len(names) > 3:
        return f"{len(names)} possible time zones"
    return " or ".join(names) or "No known time zone"


def basis(forecast: Forecast | PoolForecast) -> str:
    """For which moment this was worked out, in a sentence."""
    if isinstance(forecast, PoolForecast):
        return f"What its next round would do, on {when(forecast.at)}."
    status = forecast.campaign.status
    if forecast.awaits_winner:
        return f"The test is planned: this is about those who wait for the winner, on {when(forecast.at)}."
    if forecast.begun:
        return f"It has begun: this is about the people who are still to be decided, on {when(forecast.at)}."
    verb = "starts" if status == Campaign.Status.SCHEDULED else "is launched and starts"
    return f"If it {verb} on {when(forecast.at)}."


def skipped(forecast: Forecast) -> list[Line]:
    """Who gets no text and why, the most frequent reason first."""
    return _reasons(forecast, State.SKIPPED)


def waiting(forecast: Forecast) -> list[Line]:
    """Why texts wait, the most frequent reason first."""
    return _reasons(forecast, State.PLANNED)


def _reasons(forecast: Forecast, state: str) -> list[Line]:
    whole = forecast.totals.audience
    return [
        Line(funnel.words(reason), count, share(count, whole))
        for reason, count in forecast.by_reason(state).items()
    ]


def hours(forecast: Forecast) -> list[Line]:
    """By the hour: texts that may go from then on, and (`more`) how many leave at the rate."""
    may = dict(forecast.due_by_hour)
    first = forecast.at.replace(minute=0, second=0, microsecond=0)
    may[first] = may.get(first, 0) + forecast.now
    leave = forecast.outflow.by_hour if forecast.outflow else {}
    return [
        Line(
            when(hour),
            may.get(hour, 0),
            share(leave.get(hour, 0) if forecast.outflow else may.get(hour, 0), forecast.texts),
            (f"{round(leave.get(hour, 0)):,}" if forecast.outflow else "",),
        )
        for hour in sorted({*may, *leave})
    ]


def places(forecast: Forecast) -> list[Line]:
    """By where people may be: (`more`) how many at once, later, not at all, and when the first."""
    found = sorted(forecast.places.values(), key=lambda one: -one.people)
    shift = forecast.campaign.brand.clock_shift
    lines = [
        Line(
            place(one.zones),
            one.people,
            share(one.people, forecast.totals.audience),
            (
                f"{one.now:,}",
                f"{one.later:,}",
                f"{one.skipped:,}",
                _local(one.first_at, one.zones, shift),
            ),
        )
        for one in found[:MOST_PLACES]
    ]
    rest = found[MOST_PLACES:]
    if rest:
        counts = [
            sum(part) for part in zip(*((o.now, o.later, o.skipped) for o in rest), strict=True)
        ]
        total = sum(one.people for one in rest)
        more = (*(f"{count:,}" for count in counts), "")
        lines.append(
            Line(f"{len(rest)} other places", total, share(total, forecast.totals.audience), more)
        )
    return lines


def sizes(forecast: Forecast | PoolForecast) -> list[Line]:
    """Texts by what each costs."""
    whole = sum(forecast.sizes.values())
    return [
        Line(f"{size} credit{'' if size == 1 else 's'} each", count, share(count, whole))
        for size, count in sorted(forecast.sizes.items())
    ]


def takes(forecast: Forecast) -> str:
    """'2 h 25 min' from the start to the last text, '' where nothing leaves."""
    if forecast.outflow is None or forecast.outflow.done_at is None:
        return ""
    return duration(forecast.outflow.done_at - forecast.at)


def warnings(forecast: Forecast) -> list[str]:
    """What a person should know before the launch, the weightiest first."""
    found = []
    if forecast.step > 1:
        found.append(
            f"This audience is very large: every figure was worked out from one person in"
            f" {forecast.step} and multiplied."
        )
    if forecast.parked:
        lines = ", ".join(line.title.lower() for line in waiting(forecast)[:1])
        found.append(f"{people(forecast.parked)} wait until somebody changes it: {lines}.")
    if forecast.outflow is None:
        found.append(
            "The brand has no sender in use: nothing leaves before one is added or resumed."
        )
    else:
        found += _late(forecast, round(forecast.outflow.too_late), round(forecast.outflow.put_off))
        found += _capped(forecast, round(forecast.outflow.capped))
    found += _others(forecast)
    if forecast.ahead:
        found.append(
            f"Other texts of the brand are waiting already: {forecast.ahead:,} segments leave before."
        )
    return found


def _late(forecast: Forecast, never: int, tomorrow: int) -> list[str]:
    found = []
    if never:
        found.append(
            f"{people(never)} ({share(never, forecast.texts)} %) will not get it: at"
            f" {forecast.rate:,} segments a second their hours end before it is their turn. Start"
            " earlier, shorten the text, or ask for a faster sender."
        )
    if tomorrow:
        found.append(
            f"{people(tomorrow)} ({share(tomorrow, forecast.texts)} %) get it the next morning only:"
            " the day ends before it is their turn."
        )
    return found


def _capped(forecast: Forecast, tomorrow: int) -> list[str]:
    if not tomorrow:
        return []
    day = f"{forecast.at:%a} {forecast.at.day} {forecast.at:%b}"
    sentence = (
        f"{people(tomorrow)} ({share(tomorrow, forecast.texts)} %) wait for the next day: the"
        f" installation sends {forecast.day_cap:,} texts a day (UTC), and has room for"
        f" {forecast.cap_left:,} more on {day}."
    )
    return [sentence]


def divided(forecast: Forecast) -> list[Line]:
    """Who gets a text of the test now, who waits for the winner, who is held out. Of people."""
    held = forecast.by_reason(State.SKIPPED).get(Reason.HOLD_OUT, 0)
    later = forecast.waiting
    if later is None and not held:
        return []
    whole = forecast.totals.audience + (later.people if later else 0)
    lines = []
    if later:
        cost = f"{later.least_credits:,}"
        if later.most_credits != later.least_credits:
            cost = f"{cost} to {later.most_credits:,}"
        tested = forecast.totals.audience - held
        lines = [
            ("The test: one of the messages", tested, forecast.texts, f"{forecast.credits:,}"),
            ("Wait for the winner", later.people, later.texts, cost),
        ]
    else:
        got = forecast.totals.audience - held
        lines = [("Get the campaign", got, forecast.texts, f"{forecast.credits:,}")]
    if held:
        lines.append(("Held out, to measure the effect", held, 0, "0"))
    return [
        Line(title, count, share(count, whole), (f"{texts:,}", cost))
        for title, count, texts, cost in lines
    ]


def _others(forecast: Forecast) -> list[str]:
    found = []
    if forecast.repeated:
        names = _names(forecast.repeats)
        found.append(
            f"This audience got this text before: {people(forecast.repeated)}"
            f" ({share(forecast.repeated, forecast.texts)} %) in the last 90 days, in {names}."
        )
    found += [
        f"{people(one.people)} are also in the audience of {one.campaign.name}, which starts on"
        f" {when(one.campaign.starts_at or forecast.at)}."
        for one in forecast.overlaps
    ]
    if forecast.had_one_today:
        found.append(
            f"{people(forecast.had_one_today)} have had a text of the brand within 24 hours."
        )
    return found


def _names(shared: Sequence) -> str:
    names = [f"{one.campaign.name} ({one.people:,})" for one in shared[:5]]
    return ", ".join(names) + (" and others" if len(shared) > 5 else "")


def _local(moment: dt.datetime | None, zones: Sequence[str], shift: dt.timedelta) -> str:
    """The first local time there, '' where nothing comes later. `shift`: a sandbox's clock."""
    if moment is None or not zones:
        return ""
    try:
        return f"{(moment + shift).astimezone(ZoneInfo(zones[0])):%a %H:%M}"
    except (ZoneInfoNotFoundError, ValueError):
        return ""


def share(count: float, whole: float) -> float:
    """A percentage with one place."""
    return round(100 * count / whole, 1) if whole else 0.0
