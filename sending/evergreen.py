"""Evergreen pools: each due subscriber of a brand gets one message, drawn from what its pools hold.

Each subscriber has a turn with the instant of the next decision, so a tick costs what is due, not
what exists.
"""

import datetime as dt
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from django.db import connection, transaction
from django.db.models import QuerySet

from campaigns import policy, runs
from campaigns.eligibility import Decision
from campaigns.models import BrandPolicy, Campaign, Message, Run
from sending import arrays, credits, facts, outcomes
from sending.ahead import Ahead
from sending.draw import Draw, Moved, Pool, Turn
from sending.facts import Person
from sending.models import EvergreenTurn, QueuedText
from sending.outcomes import NewText
from sending.planning import Sheet, pause_for_want_of_credits, plan_text
from sending.writing import Sketch, Writer
from subscribers import clock
from subscribers.models import Brand

CHUNK = 5000  # turns in one transaction
BUDGET_SECONDS = 2.0
ADMIT_EVERY = 30.0  # seconds between two looks for people without a turn

_admitted_at: dict[int, float] = {}


def tick_due(budget: float = BUDGET_SECONDS) -> int:
    """Plan what is due in all evergreen pools (the ticker's job); answers texts planned.

    Brands take turns, a chunk each.
    """
    until = time.monotonic() + budget
    brands = Brand.objects.filter(
        campaigns__kind=Campaign.Kind.EVERGREEN, campaigns__status=Campaign.Status.RUNNING
    ).distinct()
    waiting = deque(brands)
    for brand in waiting:
        admit(brand)
    planned = 0
    with Ahead[Chunk](until) as ahead:
        while waiting and time.monotonic() < until:
            brand = waiting.popleft()
            new, more = _tick_a_part(brand, ahead)
            planned += new
            if more:
                waiting.append(brand)
    return planned


def admit(brand: Brand) -> None:
    """Give a turn to opted-in subscribers who have none, every half a minute at most."""
    if time.monotonic() - _admitted_at.get(brand.pk, -ADMIT_EVERY) < ADMIT_EVERY:
        return
    _admitted_at[brand.pk] = time.monotonic()
    with connection.cursor() as cursor:
        cursor.execute(_ADMIT, [brand.pk] * 3)


def tick(brand: Brand) -> tuple[int, int]:
    """Decide for the brand's next due turns, CHUNK at most: (texts planned, turns decided).

    Raises Overtaken.
    """
    chunk = prepare(brand)
    return write(chunk), len(chunk.moved)


class Overtaken(Exception):
    """Somebody else decided some of these turns meanwhile: nothing was written."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Due turns as decided, with the texts that they drew; nothing of it is written yet."""

    brand_id: int
    now: dt.datetime
    last_due: dt.datetime | None  # the latest `next_at` among its turns, which are the longest due
    moved: Sequence[Moved] = ()
    runs: Sequence[Run] = ()
    texts: Sequence[NewText] = ()
    writer: Writer | None = None  # keeps the short links in them


def _tick_a_part(brand: Brand, ahead: Ahead[Chunk]) -> tuple[int, bool]:
    """Tick a chunk of a brand's due turns: (texts planned, whether more may be due)."""
    chunk = ahead.take(brand.pk) or prepare(brand)
    more = len(chunk.moved) == CHUNK
    if more:
        ahead.begin(brand.pk, partial(prepare, brand, behind=chunk))
    try:
        return write(chunk), more
    except Overtaken:
        ahead.take(brand.pk)
        return 0, True
    except credits.Short as short:
        ahead.take(brand.pk)
        for campaign in running_pools(brand):
            pause_for_want_of_credits(campaign, short)
        return 0, False


def prepare(brand: Brand, *, behind: Chunk | None = None) -> Chunk:
    """Decide the brand's longest due turns and write their texts; changes nothing, but that each
    destination of the messages' links has its row.

    `behind`: a chunk that is being written, whose turns still look due.
    """
    now = clock.now()
    turns = _next_due(brand, now, behind)
    if not turns:
        return Chunk(brand.pk, now, None)
    own = policy.of_brand(brand)
    pools = _pools(brand, now, own)
    people = _people(brand, turns, pools, now)
    draw = Draw(brand, pools, now, own)
    moved = [draw.decide(turn, people[turn.subscriber_id])[0] for turn in turns]
    opened, texts = [], []
    for campaign_id, drawn in draw.drawn.items():
        run = runs.coming_tick(draw.pools[campaign_id].campaign, now=now, drawn=len(drawn))
        sheet = Sheet.of(run, now=now, lane=QueuedText.Lane.NORMAL, writer=draw.writer)
        opened.append(run)
        texts += [
            plan_text(sheet, people[subscriber_id], message, decision)
            for subscriber_id, message, decision in drawn
        ]
    last = max(turn.next_at for turn in turns)
    return Chunk(brand.pk, now, last, moved, opened, texts, draw.writer)


@transaction.atomic
def write(chunk: Chunk) -> int:
    """Move a chunk's turns and plan its texts; answers how many.

    A turn moves on in the transaction that plans its text, and only where it still is as it was
    when it was decided: a killed tick plans nobody twice, nor do two at once. Raises Overtaken, and
    credits.Short.
    """
    if not chunk.moved:
        return 0
    with connection.cursor() as cursor:
        # Two that wait for each other's turns would never end.
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('evergreen'), %s)", [chunk.brand_id])
        cursor.execute(_MOVE, _moves(chunk))
        if cursor.rowcount < len(chunk.moved):
            raise Overtaken
    if not all(runs.open_tick(run) for run in chunk.runs):
        raise Overtaken
    planned = outcomes.plan(chunk.texts)
    if chunk.writer is not None:
        chunk.writer.keep()
    return planned


def _moves(chunk: Chunk) -> dict[str, object]:
    """The turns' columns as arrays. Few moments are different: each is written once."""
    people, turns, moments, messages = zip(*chunk.moved, strict=True)
    places = {moment: place for place, moment in enumerate(dict.fromkeys(moments), start=1)}
    return {
        "brand": chunk.brand_id,
        "now": chunk.now,
        "people": arrays.literal(people),
        "turns": arrays.literal(turns),
        "messages": arrays.literal(messages),
        "moments": arrays.literal(places),
        "places": arrays.literal([places[moment] for moment in moments]),
    }


def _next_due(brand: Brand, now: dt.datetime, behind: Chunk | None) -> list[Turn]:
    """The turns that have been due longest, by person, so that neighbours are written together."""
    text, values = _DUE, [brand.pk, now]
    if behind is not None:
        text += _BEHIND
        values += [behind.last_due, arrays.literal(moved.subscriber_id for moved in behind.moved)]
    with connection.cursor() as cursor:
        cursor.execute(f"{text} ORDER BY next_at LIMIT %s", [*values, CHUNK])
        return sorted(map(Turn._make, cursor.fetchall()))


def _people(
    brand: Brand, turns: Sequence[Turn], pools: Sequence[Pool], now: dt.datetime
) -> dict[int, Person]:
    ids = [turn.subscriber_id for turn in turns]
    return facts.gather(brand, ids, now=now, campaigns=[pool.campaign for pool in pools])


def running_pools(brand: Brand) -> QuerySet[Campaign]:
    """The brand's evergreen pools that are on."""
    return Campaign.objects.filter(
        brand=brand, kind=Campaign.Kind.EVERGREEN, status=Campaign.Status.RUNNING
    )


def _pools(brand: Brand, now: dt.datetime, own: BrandPolicy) -> list[Pool]:
    campaigns = list(running_pools(brand).prefetch_related("messages"))
    for campaign in campaigns:
        campaign.brand = brand
    return [Pool.of(campaign, now, own) for campaign in campaigns]


type Drawn = tuple[Person, Message | None, Mapping[int, Decision]]


def foresee(campaign: Campaign, *, now: dt.datetime) -> Iterator[Drawn]:
    """What a tick would do now for everybody who is due if this pool were on; it writes nothing.

    For each person: the message drawn from all pools of the brand, None where there is none yet, and
    what was decided on the way, by campaign. Who has no turn yet would get one first.
    """
    brand = campaign.brand
    rules = policy.of_brand(brand)
    pools = [pool for pool in _pools(brand, now, rules) if pool.campaign.pk != campaign.pk]
    own = Pool.of(campaign, now, rules)
    pools.append(replace(own, policy=replace(own.policy, campaign_running=True)))
    for turns in _due(brand, now):
        people = _people(brand, turns, pools, now)
        draw = Draw(brand, pools, now, rules, Sketch)
        by_pk = {message.pk: message for message in draw.messages}
        for turn in turns:
            moved, decisions = draw.decide(turn, people[turn.subscriber_id])
            drawn = by_pk[moved.message_id] if moved.message_id else None
            yield people[turn.subscriber_id], drawn, decisions


def _due(brand: Brand, now: dt.datetime) -> Iterator[list[Turn]]:
    """The turns that have come, and new ones of who has none, a chunk at a time."""
    last = 0
    due = EvergreenTurn.objects.filter(brand=brand, next_at__lte=now).order_by("subscriber_id")
    while turns := list(due.filter(subscriber_id__gt=last).values_list(*Turn._fields)[:CHUNK]):
        yield list(map(Turn._make, turns))
        last = turns[-1][0]
    last = 0
    while ids := _newcomers(brand, last):
        yield [Turn(pk, 0, None, now) for pk in ids]
        last = ids[-1]


def _newcomers(brand: Brand, last: int) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(_NEWCOMERS, [brand.pk, last, CHUNK])
        return [row[0] for row in cursor.fetchall()]


_DUE = """
    SELECT subscriber_id, turn, last_message_id, next_at FROM sending_evergreenturn
    WHERE brand_id = %s AND next_at <= %s"""
_BEHIND = " AND next_at >= %s AND subscriber_id <> ALL(%s::bigint[])"

_MOVE = """
    UPDATE sending_evergreenturn AS turn
    SET next_at = (%(moments)s::timestamptz[])[given.place],
        turn = turn.turn + (given.message IS NOT NULL)::int,
        last_message_id = coalesce(given.message, turn.last_message_id)
    FROM unnest(%(people)s::bigint[], %(turns)s::int[], %(messages)s::bigint[], %(places)s::int[])
        AS given(person, turn, message, place)
    WHERE turn.subscriber_id = given.person AND turn.brand_id = %(brand)s
      AND turn.turn = given.turn AND turn.next_at <= %(now)s"""

# Who joined since, in one statement; an opted-out person's turn stays and is passed over. No join:
# into an empty table PostgreSQL would loop, and read all that it has added for each that it adds.
_ADMIT = """
    INSERT INTO sending_evergreenturn (brand_id, subscriber_id, next_at, turn)
    SELECT %s, subscriber_id, now(), 0 FROM (
        SELECT subscriber_id FROM subscribers_subscription
        WHERE brand_id = %s AND status = 'opted_in'
        EXCEPT SELECT subscriber_id FROM sending_evergreenturn WHERE brand_id = %s) AS without
    ORDER BY subscriber_id
    ON CONFLICT DO NOTHING"""

_NEWCOMERS = """
    SELECT subscription.subscriber_id
    FROM subscribers_subscription AS subscription
    LEFT JOIN sending_evergreenturn AS turn
        ON turn.subscriber_id = subscription.subscriber_id AND turn.brand_id = subscription.brand_id
    WHERE subscription.brand_id = %s AND subscription.status = 'opted_in'
      AND turn.subscriber_id IS NULL AND subscription.subscriber_id > %s
    ORDER BY subscription.subscriber_id LIMIT %s"""
