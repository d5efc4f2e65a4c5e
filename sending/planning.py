"""Planning a broadcast: one row of the log for each person of the audience, exactly once.

The ticker calls `plan_due` again and again; each call plans a part and notes how far it came in
the same transaction, so a killed planner goes on where it was.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from uuid import UUID

import redis
import structlog
from django.db import connection, transaction
from django.db.models import QuerySet

from campaigns import audience, lifecycle, policy, runs
from campaigns.content import BadContent
from campaigns.eligibility import Action, Decision, Policy, Purpose, Reason
from campaigns.models import Campaign, Message, Run
from campaigns.variants import Part
from campaigns.wording import TooLong
from sending import costs, credits, facts, outage, outcomes, parts, queues
from sending.ahead import Ahead
from sending.facts import Person
from sending.identity import identify, namer
from sending.judge import Judge
from sending.models import QueuedText, State
from sending.outcomes import NewText
from sending.writing import Writer
from subscribers import clock, segments

log = structlog.get_logger("carillon.planning")

CHUNK = 5000  # people in one transaction: of 1,000 a text costs a third more
BUDGET_SECONDS = 2.0  # of one call, so that the ticker's other jobs have their turn


def plan_due(budget: float = BUDGET_SECONDS) -> int:
    """Start the campaigns that are due and plan a part of what runs; answers texts planned.

    Campaigns take turns, a chunk each, so that a large one holds up nobody's start.
    """
    outage.look()
    start_due()
    until = time.monotonic() + budget
    planned = 0
    turns = deque(_being_planned())
    with Ahead[Chunk](until) as ahead:
        while turns and time.monotonic() < until:
            campaign = turns.popleft()
            new, more = _plan_a_part(campaign, ahead)
            planned += new
            if more:
                turns.append(campaign)
    return planned


def _plan_a_part(campaign: Campaign, ahead: Ahead[Chunk]) -> tuple[int, bool]:
    """Plan a chunk of a broadcast and ring its brand: (texts that were new, whether more may come)."""
    if not _messages(campaign).exists():
        _pause_for_want_of_a_message(campaign)
        return 0, False
    run = runs.open_broadcast(campaign, now=clock.now())
    if run.planned_at is not None:
        return 0, False
    try:
        chunk = ahead.take(run.pk) or prepare(run, after=run.cursor)
        if not chunk.last:
            ahead.begin(run.pk, partial(prepare, run, after=chunk.cursor))
        new = plan_chunk(run, chunk)
    except credits.Short as short:
        pause_for_want_of_credits(campaign, short)
        return 0, False
    except segments.Invalid as invalid:
        _pause_for_want_of_a_segment(campaign, invalid)
        return 0, False
    if new:
        with contextlib.suppress(redis.RedisError):  # the ticker rings again
            queues.ring(campaign.brand_id)
    return new, not chunk.last


def start_due() -> None:
    """Begin scheduled campaigns whose start has come; one that is too late waits for a person."""
    now = clock.now()
    late = policy.platform().late_start
    due = Campaign.objects.filter(status=Campaign.Status.SCHEDULED, starts_at__lte=now)
    for campaign in due.select_related("brand").order_by("starts_at")[:100]:
        if campaign.starts_at < now - late:
            lifecycle.hold(campaign, f"Its start was missed by more than {late}.")
            log.warning("campaign_held", campaign=campaign.pk)
        elif lacking := costs.missing(campaign)[0]:
            lifecycle.hold(campaign, str(credits.Short(lacking)))
            log.warning("campaign_held_for_credits", campaign=campaign.pk, missing=lacking)
        elif lifecycle.begin(campaign):
            log.info("campaign_begun", campaign=campaign.pk)


def _being_planned() -> Sequence[Campaign]:
    return (
        Campaign.objects.filter(status=Campaign.Status.RUNNING, kind=Campaign.Kind.BROADCAST)
        .filter(runs__planned_at__isnull=True)  # which is true without a run
        .select_related("brand")
        .order_by("starts_at")[:100]
    )


def _messages(campaign: Campaign) -> QuerySet[Message]:
    return campaign.messages.filter(weight__gt=0).select_related("campaign").order_by("pk")


def _pause_for_want_of_a_message(campaign: Campaign) -> None:
    """Its last message was taken out of use since it was launched: a person must look."""
    with contextlib.suppress(lifecycle.NotAllowed):  # somebody was faster
        lifecycle.pause(campaign, "It has no message to send.")
        log.warning("campaign_without_message", campaign=campaign.pk)


def pause_for_want_of_credits(campaign: Campaign, short: credits.Short) -> None:
    """Its estimate was too low, or others were faster: what is planned waits with it."""
    with contextlib.suppress(lifecycle.NotAllowed):
        lifecycle.pause(campaign, str(short))
        log.warning("campaign_without_credits", campaign=campaign.pk, missing=short.missing)


def _pause_for_want_of_a_segment(campaign: Campaign, invalid: segments.Invalid) -> None:
    """Its segment can no longer be read: a person must look."""
    with contextlib.suppress(lifecycle.NotAllowed):
        lifecycle.pause(campaign, f"Its segment cannot be read. {invalid}"[:200])
        log.warning("campaign_without_segment", campaign=campaign.pk)


@dataclass(frozen=True, slots=True)
class Chunk:
    """The texts of the next people of a run, decided and written, that the log does not hold yet."""

    after: int  # the run's cursor that they come behind
    cursor: int  # where the run is with them
    texts: Sequence[NewText]
    writer: Writer  # keeps the short links in them
    last: bool  # the audience ends with them


@transaction.atomic
def plan_chunk(run: Run, chunk: Chunk | None = None) -> int:
    """Plan the next people of a run's audience; answers how many texts were new.

    `chunk` saves preparing them here; where somebody was faster it is of no use.
    """
    # The run alone: a locked brand would hold up its departures.
    cursor = Run.objects.select_for_update().values_list("cursor", flat=True).get(pk=run.pk)
    if chunk is None or chunk.after != cursor:
        chunk = prepare(run, after=cursor)
    new = outcomes.plan(chunk.texts)
    chunk.writer.keep()
    runs.advance(run, cursor=chunk.cursor, added=len(chunk.texts))
    if chunk.last:
        runs.end_of_audience(run, now=clock.now())
    return new


def prepare(run: Run, *, after: int) -> Chunk:
    """Decide and write the texts of the next people behind a cursor; changes nothing, but that
    each destination of the messages' links has its row.

    What happens to them until they are planned, and after, is the gate's to see. Raises
    segments.Invalid where the campaign's segment cannot be read.
    """
    run = Run.objects.select_related("campaign", "brand", "winner").get(pk=run.pk)
    run.cursor = after
    now = clock.now()
    basis = Basis.of(run, now=now)
    ids = next_people(run, now=now + run.brand.clock_shift)
    if not ids:
        return Chunk(after, after, (), basis.sheet.writer, last=True)
    chosen = parts.of_run(run, ids)
    people = facts.gather(run.brand, chosen, now=now, campaigns=[run.campaign])
    texts = compose(basis, people, chosen)
    return Chunk(after, ids[-1], texts, basis.sheet.writer, last=len(ids) < CHUNK)


def next_people(run: Run, *, now: dt.datetime) -> list[int]:
    """The next subscribers of the campaign's audience, whatever their subscription says; CHUNK at
    most, in the order of their ids.

    The forecast asks here too. `now`: the brand's clock. Raises segments.Invalid.
    """
    found = audience.condition(run.campaign, now=now)
    text, parameters = _NEXT, [run.brand_id, run.cursor]
    if found is not None:
        text = _NEXT_OF_AUDIENCE.format(found.text)
        parameters += found.parameters
    with connection.cursor() as cursor:
        cursor.execute(f"{text} ORDER BY own.subscriber_id LIMIT %s", [*parameters, CHUNK])
        return [row[0] for row in cursor.fetchall()]


_NEXT = """
    SELECT own.subscriber_id FROM subscribers_subscription AS own
    WHERE own.brand_id = %s AND own.subscriber_id > %s"""
_NEXT_OF_AUDIENCE = """
    SELECT own.subscriber_id FROM subscribers_subscription AS own
    JOIN subscribers_subscriber AS person ON person.id = own.subscriber_id
    WHERE own.brand_id = %s AND own.subscriber_id > %s AND {}"""


def choose(messages: Sequence[Message], *cause: object) -> Message:
    """One message by weight, the same one each time for the same cause."""
    if len(messages) == 1:
        return messages[0]
    point = identify(dt.datetime.fromtimestamp(0, dt.UTC), "variant", *cause).int & 0xFFFFFFFF
    point %= sum(message.weight for message in messages)
    for message in messages:
        if point < message.weight:
            return message
        point -= message.weight
    raise ValueError("messages need a positive weight")


@dataclass(frozen=True, slots=True)
class Sheet:
    """What the texts of a run that are planned together have in common, looked up once."""

    name: Callable[[object], UUID]  # a subscriber's text
    brand_id: int
    campaign_id: int
    run_id: int
    clock_shift: dt.timedelta
    now: dt.datetime
    expires_at: dt.datetime
    lane: int
    writer: Writer

    @classmethod
    def of(cls, run: Run, *, now: dt.datetime, lane: int, writer: Writer) -> Sheet:
        """`now`: the database's clock."""
        return cls(
            namer(run.started_at, "run", run.pk),
            run.brand_id,
            run.campaign_id,
            run.pk,
            run.brand.clock_shift,
            now,
            now + policy.platform().text_lifetime,
            lane,
            writer,
        )


def plan_text(sheet: Sheet, person: Person, message: Message, decision: Decision) -> NewText:
    """The row for one person: planned with its due time, or skipped with its reason."""
    text_id = sheet.name(person.subscriber_id)
    state, reason, due_at = State.PLANNED, "", sheet.now
    body, segments = "", 0
    if decision.action is Action.DEFER:
        reason = decision.reason
        due_at = decision.until - sheet.clock_shift if decision.until else queues.PARKED
        if decision.until and due_at > sheet.expires_at:
            state = State.SKIPPED
    elif decision.action is Action.SKIP:
        state, reason = State.SKIPPED, decision.reason
    if state is State.PLANNED:
        try:
            body, segments = sheet.writer.write(message, person.fields, text_id)
        except TooLong:
            state, reason = State.SKIPPED, Reason.TOO_LONG
        except BadContent:
            state, reason = State.SKIPPED, Reason.BAD_CONTENT
    return NewText(
        text_id,
        person.subscriber_id,
        person.phone,
        body,
        segments,
        sheet.brand_id,
        sheet.campaign_id,
        sheet.run_id,
        message.id,
        Purpose.CAMPAIGN,
        state,
        reason,
        sheet.expires_at,
        sheet.lane,
        due_at,
    )


@dataclass(frozen=True, slots=True)
class Basis:
    """What the texts of a broadcast are planned by at one moment."""

    run_id: int
    messages: Sequence[Message]
    rules: Policy
    sheet: Sheet

    @classmethod
    def of(cls, run: Run, *, now: dt.datetime, writing: type[Writer] = Writer) -> Basis:
        """What is in force. `now`: the database's clock."""
        own = policy.of_brand(run.brand)
        rules = policy.build(
            run.brand, run.campaign, platform_remaining=1, today=now.date(), own=own
        )
        messages = [run.winner] if run.winner else list(_messages(run.campaign))
        writer = writing(own, messages)
        sheet = Sheet.of(run, now=now, lane=QueuedText.Lane.BULK, writer=writer)
        return cls(run.pk, messages, rules, sheet)


def compose(
    basis: Basis, people: Mapping[int, Person], chosen: Mapping[int, Part]
) -> list[NewText]:
    """A text for each who is chosen (`parts.of_run`), in their order. Writes nothing: the forecast
    asks here too."""
    sheet, readable = basis.sheet, basis.sheet.writer.readable
    judge = Judge(sheet.campaign_id, basis.rules, sheet.now + sheet.clock_shift)
    return [
        plan_text(
            sheet,
            people[pk],
            choose(readable(people[pk].language), basis.run_id, pk),
            parts.decision_for(part, judge.decide(people[pk])),
        )
        for pk, part in chosen.items()
    ]
