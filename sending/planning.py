"""Planning a broadcast: one row of the log for each person of the audience, exactly once.

The ticker calls `plan_due` again and again; each call plans a part and notes how far it came in
the same transaction, so a killed planner goes on where it was.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

import redis
import structlog
from django.db import connection, transaction
from django.db.models import QuerySet

from campaigns import content, lifecycle, policy, runs
from campaigns.eligibility import Action, Decision, Facts, Policy, Purpose, Reason, decide
from campaigns.models import Campaign, Message, Run
from sending import costs, credits, facts, outcomes, queues
from sending.facts import Person
from sending.identity import identify, namer
from sending.models import QueuedText, State
from sending.outcomes import NewText
from subscribers import clock

log = structlog.get_logger("carillon.planning")

CHUNK = 5000  # people in one transaction: of 1,000 a text costs a third more
BUDGET_SECONDS = 2.0  # of one call, so that the ticker's other jobs have their turn


def plan_due(budget: float = BUDGET_SECONDS) -> int:
    """Start the campaigns that are due and plan a part of what runs; answers texts planned.

    Campaigns take turns, a chunk each, so that a large one holds up nobody's start.
    """
    start_due()
    until = time.monotonic() + budget
    planned = 0
    turns = deque(_being_planned())
    while turns and time.monotonic() < until:
        campaign = turns.popleft()
        new = _plan_a_part(campaign)
        if new is not None:
            planned += new
            turns.append(campaign)
    return planned


def _plan_a_part(campaign: Campaign) -> int | None:
    """Plan a chunk of a broadcast and ring its brand; None where there is nothing more to plan."""
    if not _messages(campaign).exists():
        _pause_for_want_of_a_message(campaign)
        return None
    run = runs.open_broadcast(campaign, now=clock.now())
    if run.planned_at is not None:
        return None
    try:
        new = plan_chunk(run)
    except credits.Short as short:
        pause_for_want_of_credits(campaign, short)
        return None
    if new:
        with contextlib.suppress(redis.RedisError):  # the ticker rings again
            queues.ring(campaign.brand_id)
    return new


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
        .exclude(runs__planned_at__isnull=False)
        .select_related("brand")
        .order_by("starts_at")[:100]
    )


def _messages(campaign: Campaign) -> QuerySet[Message]:
    return campaign.messages.filter(weight__gt=0).order_by("pk")


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


@transaction.atomic
def plan_chunk(run: Run) -> int:
    """Plan the next people of a run's audience; answers how many texts were new."""
    # The run alone: a locked brand would hold up its departures.
    runs_alone = Run.objects.select_for_update(of=("self",))
    run = runs_alone.select_related("campaign", "brand").get(pk=run.pk)
    now = clock.now()
    ids = _next_people(run)
    if not ids:
        runs.end_of_audience(run, now=now)
        return 0
    rules = policy.build(run.brand, run.campaign, platform_remaining=1, today=now.date())
    people = facts.gather(run.brand, ids, now=now, campaigns=[run.campaign])
    messages = list(_messages(run.campaign))
    sheet = Sheet.of(run, now=now, lane=QueuedText.Lane.BULK)
    judge = Judge(run.campaign_id, rules, now + run.brand.clock_shift)
    texts = [
        plan_text(sheet, people[pk], choose(messages, run.pk, pk), judge.decide(people[pk]))
        for pk in ids
    ]
    new = outcomes.plan(texts)
    runs.advance(run, cursor=ids[-1], added=len(ids))
    return new


def _next_people(run: Run) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT subscriber_id FROM subscribers_subscription"
            " WHERE brand_id = %s AND subscriber_id > %s ORDER BY subscriber_id LIMIT %s",
            [run.brand_id, run.cursor, CHUNK],
        )
        return [row[0] for row in cursor.fetchall()]


class Judge:
    """Decides by one policy at one moment, once for all people of whom the same is known.

    `now`: the brand's clock.
    """

    def __init__(self, campaign_id: int, rules: Policy, now: dt.datetime) -> None:
        self.campaign_id, self.rules, self.now = campaign_id, rules, now
        # By the identity of facts that people share; kept beside it, so that it stays theirs.
        self._known: dict[int, tuple[Facts, Decision]] = {}

    def decide(self, person: Person) -> Decision:
        """The decision; where it cannot be made the person is passed over, visibly."""
        facts = person.for_campaign(self.campaign_id)
        known = self._known.get(id(facts))
        if known is None:
            decision = decide_safely(person, self.campaign_id, self.rules, self.now)
            known = self._known[id(facts)] = facts, decision
        return known[1]


def decide_safely(person: Person, campaign_id: int, rules: Policy, now: dt.datetime) -> Decision:
    """The decision; where it cannot be made the person is passed over, visibly."""
    try:
        return decide(person.for_campaign(campaign_id), rules, now)
    except Exception:
        log.exception("decision_failed", subscriber=person.subscriber_id, campaign=campaign_id)
        return Decision(Action.SKIP, Reason.ERROR)


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

    @classmethod
    def of(cls, run: Run, *, now: dt.datetime, lane: int) -> Sheet:
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
        )


def plan_text(sheet: Sheet, person: Person, message: Message, decision: Decision) -> NewText:
    """The row for one person: planned with its due time, or skipped with its reason."""
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
            body, segments = content.write(message.body, person.fields)
        except content.BadContent:
            state, reason = State.SKIPPED, Reason.BAD_CONTENT
    return NewText(
        sheet.name(person.subscriber_id),
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
