"""Evergreen pools: each due subscriber of a brand gets one message, drawn from what its pools hold.

Each subscriber has a turn with the instant of the next decision, so a tick costs what is due, not
what exists.
"""

import datetime as dt
import hashlib
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from django.db import connection, transaction
from django.db.models import QuerySet

from campaigns import policy, runs, variants
from campaigns.eligibility import Action, Decision, Policy
from campaigns.models import BrandPolicy, Campaign, Message
from sending import arrays, credits, facts, outcomes
from sending.facts import Person
from sending.models import EvergreenTurn, QueuedText
from sending.planning import Judge, Sheet, pause_for_want_of_credits, plan_text
from sending.writing import Sketch, Writer
from subscribers import clock
from subscribers.models import Brand

CHUNK = 5000  # turns in one transaction
BUDGET_SECONDS = 2.0
ADMIT_EVERY = 30.0  # seconds between two looks for people without a turn
LOOK_AGAIN = dt.timedelta(hours=1)  # for who may not be texted at present, without a known end

_admitted_at: dict[int, float] = {}


def tick_due(budget: float = BUDGET_SECONDS) -> int:
    """Plan what is due in all evergreen pools (the ticker's job); answers texts planned."""
    until = time.monotonic() + budget
    brands = Brand.objects.filter(
        campaigns__kind=Campaign.Kind.EVERGREEN, campaigns__status=Campaign.Status.RUNNING
    ).distinct()
    planned = 0
    for brand in brands:
        admit(brand)
        try:
            while time.monotonic() < until:
                new, turns = tick(brand)
                planned += new
                if turns < CHUNK:
                    break
        except credits.Short as short:
            for campaign in running_pools(brand):
                pause_for_want_of_credits(campaign, short)
    return planned


def admit(brand: Brand) -> None:
    """Give a turn to opted-in subscribers who have none, every half a minute at most."""
    if time.monotonic() - _admitted_at.get(brand.pk, -ADMIT_EVERY) < ADMIT_EVERY:
        return
    _admitted_at[brand.pk] = time.monotonic()
    with connection.cursor() as cursor:
        cursor.execute(_ADMIT, [brand.pk, brand.pk])


@transaction.atomic
def tick(brand: Brand) -> tuple[int, int]:
    """Decide for the brand's due turns: (texts planned, turns decided).

    The turn moves on in the transaction that plans its text, so a killed tick plans nobody twice.
    """
    now = clock.now()
    turns = _lock_due(brand, now)
    if not turns:
        return 0, 0
    own = policy.of_brand(brand)
    pools = _pools(brand, now, own)
    people = facts.gather(
        brand,
        [turn.subscriber_id for turn in turns],
        now=now,
        campaigns=[pool.campaign for pool in pools],
    )
    tick_of = _Tick(brand, pools, now, own)
    _move([tick_of.decide(turn, people[turn.subscriber_id])[0] for turn in turns])
    return tick_of.plan(people), len(turns)


class _Turn(NamedTuple):
    """An EvergreenTurn: a model instance would cost more than the draw."""

    id: int
    subscriber_id: int
    turn: int
    last_message_id: int | None


class _Moved(NamedTuple):
    """Where a turn goes. `message_id` was drawn for it, or nothing was."""

    id: int
    next_at: dt.datetime
    message_id: int | None


def _lock_due(brand: Brand, now: dt.datetime) -> list[_Turn]:
    """Due turns, the longest due first; those that somebody else decides are his."""
    with connection.cursor() as cursor:
        cursor.execute(_LOCK_DUE, [brand.pk, now, CHUNK])
        return list(map(_Turn._make, cursor.fetchall()))


def _move(moved: Sequence[_Moved]) -> None:
    columns = zip(*moved, strict=True)
    with connection.cursor() as cursor:
        cursor.execute(_MOVE, [arrays.literal(column) for column in columns])


@dataclass(frozen=True, slots=True)
class _Pool:
    campaign: Campaign
    messages: Sequence[Message]
    policy: Policy


def running_pools(brand: Brand) -> QuerySet[Campaign]:
    """The brand's evergreen pools that are on."""
    return Campaign.objects.filter(
        brand=brand, kind=Campaign.Kind.EVERGREEN, status=Campaign.Status.RUNNING
    )


def _pools(brand: Brand, now: dt.datetime, own: BrandPolicy) -> list[_Pool]:
    campaigns = running_pools(brand).prefetch_related("messages")
    return [_pool(brand, campaign, now, own) for campaign in campaigns]


def _pool(brand: Brand, campaign: Campaign, now: dt.datetime, own: BrandPolicy) -> _Pool:
    messages = [message for message in campaign.messages.all() if message.weight > 0]
    rules = policy.build(brand, campaign, platform_remaining=1, today=now.date(), own=own)
    return _Pool(campaign, messages, rules)


class _Tick:
    """The draws of one tick, gathered by campaign."""

    def __init__(
        self,
        brand: Brand,
        pools: list[_Pool],
        now: dt.datetime,
        own: BrandPolicy,
        writing: type[Writer] = Writer,
    ) -> None:
        self.brand, self.now, self.next = brand, now, now + own.evergreen_gap
        self.pools = {pool.campaign.pk: pool for pool in pools}
        self.judges = {
            campaign_id: Judge(campaign_id, pool.policy, now + brand.clock_shift)
            for campaign_id, pool in self.pools.items()
        }
        self.messages = [message for pool in pools for message in pool.messages]
        self.writer = writing(own, self.messages)
        self.drawn: dict[int, list[tuple[int, Message, Decision]]] = defaultdict(list)

    def decide(self, turn: _Turn, person: Person) -> tuple[_Moved, dict[int, Decision]]:
        """Draw a message for a turn, or move the turn to when there may be one.

        Answers what was decided on the way as well, by campaign.
        """
        decisions: dict[int, Decision] = {}
        for message in self._shuffled(turn, person.language):
            campaign_id = message.campaign_id
            if variants.is_held_out(self.pools[campaign_id].campaign, turn.subscriber_id):
                continue
            decision = decisions.get(campaign_id)
            if decision is None:
                decision = decisions[campaign_id] = self.judges[campaign_id].decide(person)
            if decision.action is Action.SEND:
                self.drawn[campaign_id].append((turn.subscriber_id, message, decision))
                return _Moved(turn.id, self.next, message.id), decisions
        again = [
            decision.until - self.brand.clock_shift
            for decision in decisions.values()
            if decision.until
        ]
        return _Moved(turn.id, min(again, default=self.now + LOOK_AGAIN), None), decisions

    def _shuffled(self, turn: _Turn, language: str) -> Iterator[Message]:
        """The pools' messages in this turn's order, those that the person can read. The last one that
        was sent is not among them, even where it is the only one: nobody gets the same text twice in
        a row.

        Drawn one by one, as the first will mostly do, and the same each time: 512 bits are the
        order of 98 messages, and what more there are follow in their own.
        """
        readable = self.writer.readable(language)
        left = [one for one in readable if one.id != turn.last_message_id]
        named = f"{turn.subscriber_id}:{turn.turn}".encode()
        order = int.from_bytes(hashlib.blake2b(named, digest_size=64).digest(), "big")
        for count in range(len(left), 0, -1):
            order, place = divmod(order, count)
            yield left[place]
            left[place] = left[count - 1]

    def plan(self, people: dict[int, Person]) -> int:
        """Write the texts that were drawn, in a run per campaign."""
        planned = 0
        for campaign_id, drawn in self.drawn.items():
            run = runs.open_tick(self.pools[campaign_id].campaign, now=self.now, drawn=len(drawn))
            sheet = Sheet.of(run, now=self.now, lane=QueuedText.Lane.NORMAL, writer=self.writer)
            texts = [
                plan_text(sheet, people[subscriber_id], message, decision)
                for subscriber_id, message, decision in drawn
            ]
            planned += outcomes.plan(texts)
            self.writer.keep()
        return planned


type Drawn = tuple[Person, Message | None, Mapping[int, Decision]]


def foresee(campaign: Campaign, *, now: dt.datetime) -> Iterator[Drawn]:
    """What a tick would do now for everybody who is due if this pool were on; it writes nothing.

    For each person: the message drawn from all pools of the brand, None where there is none yet, and
    what was decided on the way, by campaign. Who has no turn yet would get one first.
    """
    brand = campaign.brand
    rules = policy.of_brand(brand)
    pools = [pool for pool in _pools(brand, now, rules) if pool.campaign.pk != campaign.pk]
    own = _pool(brand, campaign, now, rules)
    pools.append(replace(own, policy=replace(own.policy, campaign_running=True)))
    for turns in _due(brand, now):
        people = facts.gather(
            brand,
            [turn.subscriber_id for turn in turns],
            now=now,
            campaigns=[pool.campaign for pool in pools],
        )
        tick_of = _Tick(brand, pools, now, rules, Sketch)
        by_pk = {message.pk: message for message in tick_of.messages}
        for turn in turns:
            moved, decisions = tick_of.decide(turn, people[turn.subscriber_id])
            drawn = by_pk[moved.message_id] if moved.message_id else None
            yield people[turn.subscriber_id], drawn, decisions


def _due(brand: Brand, now: dt.datetime) -> Iterator[list[_Turn]]:
    """The turns that have come, and new ones of who has none, a chunk at a time."""
    last = 0
    due = EvergreenTurn.objects.filter(brand=brand, next_at__lte=now).order_by("pk")
    while turns := list(due.filter(pk__gt=last).values_list(*_Turn._fields)[:CHUNK]):
        yield list(map(_Turn._make, turns))
        last = turns[-1][0]
    last = 0
    while ids := _newcomers(brand, last):
        yield [_Turn(0, pk, 0, None) for pk in ids]
        last = ids[-1]


def _newcomers(brand: Brand, last: int) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(_NEWCOMERS, [brand.pk, last, CHUNK])
        return [row[0] for row in cursor.fetchall()]


_LOCK_DUE = """
    SELECT id, subscriber_id, turn, last_message_id FROM sending_evergreenturn
    WHERE brand_id = %s AND next_at <= %s ORDER BY next_at LIMIT %s FOR UPDATE SKIP LOCKED"""

_MOVE = """
    UPDATE sending_evergreenturn AS turn
    SET next_at = given.next_at, turn = turn.turn + (given.message IS NOT NULL)::int,
        last_message_id = coalesce(given.message, turn.last_message_id)
    FROM unnest(%s::bigint[], %s::timestamptz[], %s::bigint[]) AS given(id, next_at, message)
    WHERE turn.id = given.id"""

# Who joined since, in one statement; an opted-out person's turn stays and is passed over.
_ADMIT = """
    INSERT INTO sending_evergreenturn (brand_id, subscriber_id, next_at, turn)
    SELECT %s, subscription.subscriber_id, now(), 0
    FROM subscribers_subscription AS subscription
    LEFT JOIN sending_evergreenturn AS turn
        ON turn.subscriber_id = subscription.subscriber_id AND turn.brand_id = subscription.brand_id
    WHERE subscription.brand_id = %s AND subscription.status = 'opted_in' AND turn.id IS NULL
    ON CONFLICT DO NOTHING"""

_NEWCOMERS = """
    SELECT subscription.subscriber_id
    FROM subscribers_subscription AS subscription
    LEFT JOIN sending_evergreenturn AS turn
        ON turn.subscriber_id = subscription.subscriber_id AND turn.brand_id = subscription.brand_id
    WHERE subscription.brand_id = %s AND subscription.status = 'opted_in' AND turn.id IS NULL
      AND subscription.subscriber_id > %s
    ORDER BY subscription.subscriber_id LIMIT %s"""
