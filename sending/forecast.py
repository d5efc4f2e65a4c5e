"""What a campaign would do if it were planned now: who gets a text, when, at what cost.

The planner's own functions find the audience, gather the facts, decide and write; nothing is stored.
"""

import contextlib
import datetime as dt
from collections import Counter
from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass, field, replace
from uuid import UUID

from django.db import connection, transaction

from campaigns import policy, variants
from campaigns.eligibility import Facts
from campaigns.models import Campaign, Run
from campaigns.runs import whole_milliseconds
from campaigns.schedule import Window
from sending import drain, facts, parts, planning, queues, repeats, samples, waiting_part
from sending.day_room import DayRoom
from sending.drain import Batch
from sending.facts import Person
from sending.models import Sender, State
from sending.outcomes import NewText
from sending.planning import Basis
from sending.progress import Totals
from sending.repeats import Shared
from sending.waiting_part import Waiting
from sending.writing import Sketch
from subscribers import clock, segments
from subscribers.models import Brand

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
NO_ID = UUID(int=0)
MOST_GROUPS = 50_000  # of people who are alike, to the microsecond; then to the minute
BUCKET = dt.timedelta(minutes=5)  # texts that are due within the same one leave together


class NothingToForecast(Exception):
    """There is nothing that could still be planned; the message says why."""


@dataclass(slots=True)
class Place:
    """People who may be in the same time zones."""

    zones: tuple[str, ...]
    people: int = 0
    now: int = 0
    later: int = 0
    first_at: dt.datetime | None = None  # of those who get it later, in real time

    @property
    def skipped(self) -> int:
        return self.people - self.now - self.later


@dataclass(slots=True)
class Forecast:
    """What would be planned. Counts are people; instants are real time."""

    campaign: Campaign
    at: dt.datetime  # the moment of planning: now, or the campaign's start where it is to come
    begun: bool  # a part is planned already: this is about the rest
    awaits_winner: bool = False  # the test is planned: this is about those who wait
    step: int = 1  # worked out from one person in so many, and multiplied
    waiting: Waiting | None = None  # who gets the winner's text later, and is in no other figure
    totals: Totals = field(default_factory=Totals)  # as the log would count them
    now: int = 0  # may leave at once
    parked: int = 0  # wait until somebody switches sending on
    due_by_hour: Counter[dt.datetime] = field(default_factory=Counter)  # the others, full hours UTC
    places: dict[tuple[str, ...], Place] = field(default_factory=dict)
    sizes: Counter[int] = field(default_factory=Counter)  # texts by their segments
    texts_of: Counter[int | None] = field(default_factory=Counter)  # by message
    had_one_today: int = 0  # got a text of the brand within the last 24 hours
    repeated: int = 0  # people who have had one of its texts before
    repeats: list[Shared] = field(default_factory=list)  # the same, by campaign
    overlaps: list[Shared] = field(default_factory=list)  # people whom another campaign reaches too
    rate: int = 0  # segments a second, of all senders in use
    ahead: int = 0  # segments of other texts that are due before
    day_cap: int = 0  # texts that the installation may send on a day (UTC)
    cap_left: int = 0  # of the day of planning, beside what other campaigns have due on it
    outflow: drain.Outflow | None = None  # None: without a sender nothing leaves

    @property
    def later(self) -> int:
        return sum(self.due_by_hour.values())

    @property
    def texts(self) -> int:
        """People who get a text, now or later."""
        return self.now + self.later + self.parked

    def by_reason(self, state: str) -> dict[str, int]:
        """Why texts are skipped, or planned for later: the most frequent reason first."""
        counts = self.totals.by_state_and_reason.items()
        found = [(reason, count) for (of, reason), count in counts if of == state and reason]
        return dict(sorted(found, key=lambda item: -item[1]))

    @property
    def credits(self) -> int:
        return sum(size * texts for size, texts in self.sizes.items())


def of_campaign(campaign: Campaign) -> Forecast:
    """Forecast a broadcast, or the rest of one that has begun.

    It reads in a transaction that cannot write. Raises NothingToForecast.
    """
    policy.platform()  # made with its defaults where it is missing
    policy.of_brand(campaign.brand)
    with reading_only():
        run = _run_of(campaign, clock.now())
        basis = _basis_of(run)
        forecast = Forecast(campaign, basis.sheet.now, begun=run.pk is not None)
        forecast.awaits_winner = _awaits(campaign)
        try:
            groups = _count_everybody(forecast, run, basis)
        except segments.Invalid as invalid:
            raise NothingToForecast(f"A segment cannot be read. {invalid}") from None
        _fold(forecast, groups)
        _let_leave(forecast, run.brand, basis, groups)
    return forecast


@contextlib.contextmanager
def reading_only() -> Iterator[None]:
    """A transaction in which PostgreSQL refuses every write."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION READ ONLY")
        yield


def _run_of(campaign: Campaign, now: dt.datetime) -> Run:
    """The run as it stands, or as it would be opened: at the start, or now where that has passed."""
    if campaign.status in (Campaign.Status.COMPLETED, Campaign.Status.CANCELLED):
        raise NothingToForecast(f"This campaign is {campaign.get_status_display().lower()}.")
    runs = Run.objects.select_related("brand", "winner").filter(campaign=campaign)
    known = runs.order_by("-pk").first()
    planned = known is not None and known.planned_at is not None
    if planned and not variants.awaits_winner(campaign):
        raise NothingToForecast("Everybody of this campaign is planned: its page has the totals.")
    start = whole_milliseconds(max(now, campaign.starts_at or now))
    if known is not None and not planned:
        known.started_at, known.campaign = start, campaign
        return known
    # Nobody has had a text of what was not launched yet, so nobody's week is read.
    fresh = copy(campaign)
    fresh.launched_at = campaign.launched_at or start
    return Run(campaign=fresh, brand=campaign.brand, started_at=start)


def _awaits(campaign: Campaign) -> bool:
    """Whether the test share of a campaign is planned and its winner is not chosen."""
    return variants.awaits_winner(campaign) and campaign.runs.exclude(planned_at=None).exists()


def _basis_of(run: Run) -> Basis:
    """What it would be planned by if it ran. These texts need no ids: nothing is stored."""
    basis = Basis.of(run, now=run.started_at, writing=Sketch)
    if not basis.messages:
        raise NothingToForecast("This campaign has no message; add one first.")
    return replace(
        basis,
        rules=replace(basis.rules, campaign_running=True),
        sheet=replace(basis.sheet, name=lambda _: NO_ID),
    )


# (state, reason, due, zones, jurisdictions, segments, message): a few hundred for a large audience.
type _Group = tuple[str, str, dt.datetime, tuple[str, ...], tuple[str, ...], int, int]


def _count_everybody(forecast: Forecast, run: Run, basis: Basis) -> Counter[_Group]:
    """Walk through the audience, a chunk at a time; answers how many people are alike."""
    groups: Counter[_Group] = Counter()
    rest: Counter[waiting_part.Cost] = Counter()
    sample = samples.of_run(run, most=samples.MOST_DECIDED, now=forecast.at + run.brand.clock_shift)
    forecast.step = sample.step
    seen = repeats.Seen(forecast.campaign, now=forecast.at)
    others = repeats.Others(forecast.campaign, now=forecast.at)
    while ids := planning.next_people(run, now=forecast.at + run.brand.clock_shift):
        decided = sample.of(ids)
        chosen = parts.of_run(run, decided)
        waiting = waiting_part.of_run(run, decided, chosen)
        if forecast.awaits_winner:
            chosen, waiting = waiting, {}
        both = [*chosen, *waiting]
        people = facts.gather(run.brand, both, now=forecast.at, campaigns=[run.campaign])
        texts = planning.compose(basis, people, chosen)
        groups.update(_group(text, people[text.subscriber_id]) for text in texts)
        later = planning.compose(basis, people, waiting)
        rest.update((str(text.state), text.segments, text.message_id) for text in later)
        if len(groups) > MOST_GROUPS:
            groups = _by_minute(groups, forecast.at)
        reached = [text.subscriber_id for text in texts if text.state == State.PLANNED]
        forecast.had_one_today += sum(bool(people[pk].facts.brand_sent) for pk in reached)
        seen.count(reached)
        others.count(reached, after=run.cursor, until=ids[-1])
        run.cursor = ids[-1]
    step = sample.step
    forecast.had_one_today *= step
    forecast.repeated, forecast.repeats = seen.people * step, seen.found(step)
    forecast.overlaps = others.found(step)
    if waiting_part.there_is(run) and not forecast.awaits_winner:
        forecast.waiting = waiting_part.sum_up(rest, step)
    return Counter({one: count * step for one, count in groups.items()})


def _group(text: NewText, person: Person) -> _Group:
    known = person.facts
    return (
        *(str(text.state), str(text.reason), text.due_at),
        *(known.zones, known.jurisdictions, text.segments, text.message_id),
    )


def _by_minute(groups: Counter[_Group], now: dt.datetime) -> Counter[_Group]:
    """Fewer groups: texts that are due later, together within each minute. People who wait for a cap
    are due when an earlier text is a day old, each at a moment of their own."""
    found: Counter[_Group] = Counter()
    for (state, reason, due_at, *others), count in groups.items():
        minute = due_at.replace(second=0, microsecond=0)
        together = minute if now < minute and due_at != queues.PARKED else due_at
        found[state, reason, together, *others] += count  # type: ignore[index]
    return found


def _fold(forecast: Forecast, groups: Counter[_Group]) -> None:
    """Add the groups up to what people want to know."""
    for (state, reason, due_at, zones, _, size, message), count in groups.items():
        forecast.totals.add(state, reason, count)
        place = forecast.places.setdefault(zones, Place(zones))
        place.people += count
        if state != State.PLANNED:
            continue
        forecast.sizes[size] += count
        forecast.texts_of[message] += count
        if due_at <= forecast.at:
            forecast.now += count
            place.now += count
            continue
        place.later += count
        if due_at == queues.PARKED:
            forecast.parked += count
            continue
        forecast.due_by_hour[due_at.replace(minute=0, second=0, microsecond=0)] += count
        place.first_at = min(due_at, place.first_at or due_at)


def _let_leave(forecast: Forecast, brand: Brand, basis: Basis, groups: Counter[_Group]) -> None:
    """Let what is due leave at the rate of the senders in use, each its share by weight."""
    in_use = Sender.objects.filter(brand=brand, status=Sender.Status.ACTIVE, weight__gt=0)
    senders = [(rate, weight) for rate, weight in in_use.values_list("rate", "weight") if rate]
    forecast.rate = sum(rate for rate, _ in senders)
    if not senders:
        return
    forecast.ahead = _ahead(forecast, clock.now())
    room = _room(forecast)
    batches = _batches(groups, basis)
    whole = sum(weight for _, weight in senders)
    forecast.outflow = drain.Outflow()
    for rate, weight in senders:
        share = weight / whole
        flow = drain.simulate(
            [
                replace(one, texts=one.texts * share, segments=one.segments * share)
                for one in batches
            ],
            rate=rate,
            start=forecast.at,
            expires_at=basis.sheet.expires_at,
            ahead=forecast.ahead * share,
            room=lambda day, share=share: room[day] * share,
        )
        forecast.outflow.add(flow)


def _batches(groups: Counter[_Group], basis: Basis) -> list[Batch]:
    """The groups that will be due, in buckets; the windows in real time."""
    counts: dict[tuple[dt.datetime, tuple[str, ...], tuple[str, ...]], list[int]] = {}
    now = basis.sheet.now
    for (state, _, due_at, zones, places, size, _message), count in groups.items():
        if state == State.PLANNED and due_at != queues.PARKED:
            together = EPOCH - (EPOCH - due_at) // BUCKET * BUCKET if due_at > now else now
            known = counts.setdefault((together, zones, places), [0, 0])
            known[0] += count
            known[1] += count * size
    return [
        Batch(together, _windows(zones, places, basis), texts, whole)
        for (together, zones, places), (texts, whole) in counts.items()
    ]


def _windows(zones: tuple[str, ...], places: tuple[str, ...], basis: Basis) -> list[Window]:
    shift = basis.sheet.clock_shift
    there = Facts(
        None,
        has_evidence=False,
        suppressed=False,
        number_kind="",
        zones=zones,
        jurisdictions=places,
    )
    open_at = basis.rules.windows_for(there, basis.sheet.now + shift)
    return [Window(window.start - shift, window.end - shift) for window in open_at]


def _ahead(forecast: Forecast, now: dt.datetime) -> int:
    """Segments of other texts of the brand that are due and will not have left by the start."""
    with connection.cursor() as cursor:
        cursor.execute(_AHEAD, [forecast.campaign.brand_id, forecast.campaign.pk])
        due = int(cursor.fetchone()[0])
    left = max(0.0, (forecast.at - now).total_seconds())  # `at` may have passed meanwhile
    return max(0, due - int(forecast.rate * left))


def _room(forecast: Forecast) -> DayRoom:
    forecast.day_cap = policy.platform().daily_cap
    room = DayRoom(forecast.day_cap, forecast.campaign)
    forecast.cap_left = room[forecast.at.date()]
    return room


# Counted, and their segments taken from a part: a queue may be long.
_AHEAD = """
    WITH due AS MATERIALIZED (
        SELECT id FROM sending_queuedtext
        WHERE brand_id = %s AND due_at <= now() AND campaign_id IS DISTINCT FROM %s),
    part AS (SELECT id FROM due LIMIT 1000)
    SELECT (SELECT count(*) FROM due)
         * (SELECT coalesce(avg(greatest(text.segments, 1)), 1)
            FROM sending_sentlog AS text WHERE text.id IN (SELECT id FROM part))"""
