"""The point of no return: one transaction that takes what is due and decides what departs.

The people are locked, by the same lock that an opt-out takes, before anything is read of them: so
nothing starts after an opt-out has committed, and two campaigns cannot both use a person's last
text of the day. Where the process dies in it nothing has happened.
"""

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple
from uuid import UUID, uuid4

import structlog
from django.db import connection, transaction

from campaigns import policy
from campaigns.eligibility import Action, Decision, Facts, Purpose, Reason, decide
from campaigns.models import Campaign
from sending import arrays, facts, outcomes, queues, routing, trials
from sending.facts import Person
from sending.gateways.base import Text
from sending.identity import moment_of
from sending.judge import Judge
from sending.models import Sender, State
from sending.outcomes import Leaving
from sending.queues import Waiting
from sending.senders import in_use
from subscribers import clock, consent
from subscribers.models import Brand

log = structlog.get_logger("carillon.gate")

# Of somebody who is no subscriber, nothing is known.
NOBODY = Facts(
    None, has_evidence=False, suppressed=True, number_kind="", zones=(), jurisdictions=()
)


# What the caps of a batch's later decisions count, as `facts` does of those before it.
COUNTED = frozenset({Purpose.CAMPAIGN, Purpose.ANSWER})
# What a text waits whose sender has nothing left, or whose person is being changed by somebody.
A_MOMENT = dt.timedelta(seconds=0.5)
# PostgreSQL ends the transaction of a gate that asks nothing for so long.
ASLEEP = queues.LEASE / 2


@dataclass(frozen=True, slots=True)
class Share:
    """What one brand may send now: so many texts at most, and segments of each of its senders."""

    brand: Brand
    senders: Sequence[Sender]
    segments: Mapping[int, int]  # by sender
    at_most: int


class Departing(NamedTuple):
    """A text that may be handed over now, by this sender."""

    text: Text
    sender_id: int
    segments: int


@dataclass(frozen=True, slots=True)
class Batch:
    """What became of a brand's due texts. `taken`: how many there were; `token`: of the departure."""

    brand: Brand
    token: UUID
    taken: int
    departing: Sequence[Departing]


class _Row(NamedTuple):
    """A planned text as the gate sees it: a model instance would cost more than the decision."""

    id: UUID
    brand_id: int
    subscriber_id: int | None
    campaign_id: int | None
    purpose: str
    phone: str
    body: str
    segments: int
    reason: str
    expires_at: dt.datetime


class _Verdict(NamedTuple):
    row: _Row
    decision: Decision
    may_go: bool


@transaction.atomic
def pass_gate(shares: Sequence[Share]) -> list[Batch]:
    """Take due texts of brands and decide for each; those that may go have departed at the commit.

    The others were put off, skipped, expired or cancelled; a text whose sender has nothing left, or
    whose person somebody else holds, is due again in a moment. The brands are all sandboxes or none
    is. Nobody is waited for who might wait for what is held here (`lock_free_people`).
    """
    by_brand = {share.brand.pk: share for share in shares}
    _let_go_of_it_if_i_sleep()
    taken = queues.take({share.brand.pk: share.at_most for share in shares})
    senders, later = _choose(taken, by_brand)
    later += _busy([one for one in taken if one.id in senders], senders)
    now = clock.now()
    usable = in_use(set(senders.values()))
    rows = _planned([pk for pk, sender_id in senders.items() if sender_id in usable])
    rows, tests = _lock_tested(rows, by_brand, now, later)
    verdicts = _judge(by_brand, rows, tests, now)
    going = [verdict for verdict in verdicts if verdict.may_go]
    tokens = {pk: uuid4() for pk in by_brand}
    departed = outcomes.depart(
        [Leaving(v.row.id, senders[v.row.id], tokens[v.row.brand_id]) for v in going],
        lease=queues.LEASE,
    )
    _count(len(departed), now)
    _settle_others(by_brand, [v for v in verdicts if not v.may_go], later, now)
    leaving = _leaving(by_brand, [v for v in going if v.row.id in departed], senders, now)
    counts = Counter(one.brand_id for one in taken)
    return [
        Batch(share.brand, tokens[pk], counts[pk], leaving[pk]) for pk, share in by_brand.items()
    ]


def _let_go_of_it_if_i_sleep() -> None:
    """Whoever is frozen here holds people's locks, and would hold up their STOPs for as long."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT set_config('idle_in_transaction_session_timeout', %s, true)",
            [str(round(ASLEEP.total_seconds() * 1000))],
        )


def _choose(
    taken: Sequence[Waiting], by_brand: Mapping[int, Share]
) -> tuple[dict[UUID, int], list[UUID]]:
    """Each text's sender (its id), while it has throughput left, and the texts whose sender has none.

    A person of two brands passes with one of them at a time: the caps count across brands. The
    texts of the other stay due.
    """
    left = {pk: count for share in by_brand.values() for pk, count in share.segments.items()}
    brand_of: dict[int, int] = {}
    chosen: dict[UUID, int] = {}
    over = []
    for one in taken:
        person = one.subscriber_id
        if person is not None and brand_of.setdefault(person, one.brand_id) != one.brand_id:
            continue
        own = by_brand[one.brand_id].senders
        sender_id = (own[0] if len(own) == 1 else routing.sender_for(str(person or one.id), own)).id
        if left[sender_id] > 0:
            left[sender_id] -= 1
            chosen[one.id] = sender_id
        else:
            over.append(one.id)
    return chosen, over


def _busy(taken: Sequence[Waiting], senders: dict[UUID, int]) -> list[UUID]:
    """Lock the people of these texts. Those of people whom somebody else holds lose their sender."""
    wanted = {one.subscriber_id for one in taken if one.subscriber_id}
    free = consent.lock_free_people(wanted)
    busy = []
    if len(free) < len(wanted):
        busy = [one.id for one in taken if one.subscriber_id and one.subscriber_id not in free]
    for pk in busy:
        del senders[pk]
    return busy


def _planned(ids: Collection[UUID]) -> list[_Row]:
    if not ids:
        return []
    columns = ", ".join(_Row._fields)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {columns} FROM sending_sentlog WHERE id = ANY(%s::uuid[]) AND state = 'planned'"
            " ORDER BY id",
            [arrays.ids(ids)],
        )
        return [_Row(*row) for row in cursor.fetchall()]


def _lock_tested(
    rows: list[_Row], by_brand: Mapping[int, Share], now: dt.datetime, later: list[UUID]
) -> tuple[list[_Row], dict[tuple[int, str], Facts]]:
    """Rows that are decided now, and what is known of test sends' numbers, by brand and number.

    A test whose number somebody else holds is added to `later`.
    """
    tested: dict[int, list[_Row]] = defaultdict(list)
    for row in rows:
        if row.purpose == Purpose.TEST:
            tested[row.brand_id].append(row)
    known: dict[tuple[int, str], Facts] = {}
    for brand_id, own in tested.items():
        found = trials.lock_and_gather(
            by_brand[brand_id].brand, [(row.phone, row.subscriber_id) for row in own], now=now
        )
        known |= {(brand_id, phone): of_it for phone, of_it in found.items()}
        later += [row.id for row in own if row.phone not in found]
    if tested:
        held = set(later)
        rows = [row for row in rows if row.id not in held]
    return rows, known


def _judge(
    by_brand: Mapping[int, Share],
    rows: Sequence[_Row],
    tests: Mapping[tuple[int, str], Facts],
    now: dt.datetime,
) -> list[_Verdict]:
    if not rows:
        return []
    campaigns = Campaign.objects.in_bulk({row.campaign_id for row in rows if row.campaign_id})
    people = _people(by_brand, rows, now, campaigns.values())
    judges = _judges(by_brand, campaigns, rows, now)
    remaining = _remaining_today(now)
    verdicts = []
    for row in rows:
        brand = by_brand[row.brand_id].brand
        person = people[row.brand_id].get(row.subscriber_id) if row.subscriber_id else None
        judge = judges[row.brand_id, row.campaign_id, row.purpose]
        decision = _decide(row, person, tests, judge, brand.clock_shift)
        may_go = decision.action is Action.SEND and row.expires_at > now
        if may_go and remaining <= 0:
            tomorrow = _tomorrow(now) + brand.clock_shift
            decision = Decision(Action.DEFER, Reason.PLATFORM_CAP, tomorrow)
            may_go = False
        elif may_go:
            remaining -= 1
            if person and row.purpose in COUNTED:
                person.count(row.campaign_id, judge.now)
        verdicts.append(_Verdict(row, decision, may_go))
    return verdicts


def _people(
    by_brand: Mapping[int, Share],
    rows: Sequence[_Row],
    now: dt.datetime,
    campaigns: Collection[Campaign],
) -> Mapping[int, Mapping[int, Person]]:
    ids: dict[int, list[int]] = {row.brand_id: [] for row in rows}
    for row in rows:
        if row.subscriber_id:
            ids[row.brand_id].append(row.subscriber_id)
    wanted = [(by_brand[brand_id].brand, own) for brand_id, own in ids.items()]
    return facts.gather_of(wanted, now=now, campaigns=campaigns)


def _decide(
    row: _Row,
    person: Person | None,
    tests: Mapping[tuple[int, str], Facts],
    judge: Judge,
    shift: dt.timedelta,
) -> Decision:
    """The decision; where it cannot be made that text is not sent, and the others go on."""
    if not row.phone:  # the person was erased
        return Decision(Action.SKIP, Reason.SUPPRESSED)
    if person and row.purpose == Purpose.CAMPAIGN:
        return judge.decide(person)
    try:
        if row.purpose == Purpose.TEST:
            known = tests[row.brand_id, row.phone]
        else:
            known = person.for_campaign(row.campaign_id) if person else NOBODY
        if row.purpose == Purpose.ANSWER:
            known = replace(known, wrote_at=moment_of(row.id) + shift)
        return decide(known, judge.rules, judge.now)
    except Exception:
        log.exception("decision_failed", text=row.id, campaign=row.campaign_id)
        return Decision(Action.SKIP, Reason.ERROR)


def _judges(
    by_brand: Mapping[int, Share],
    campaigns: Mapping[int, Campaign],
    rows: Sequence[_Row],
    now: dt.datetime,
) -> dict[tuple[int, int | None, str], Judge]:
    """One for each brand, campaign and purpose of the batch, by the rules as they are now."""
    kinds = {(row.brand_id, row.campaign_id, row.purpose) for row in rows}
    brands = [by_brand[pk].brand for pk in {kind[0] for kind in kinds}]
    in_force = policy.read(brands, today=now.date())
    judges = {}
    for brand_id, campaign_id, purpose in kinds:
        brand, campaign = by_brand[brand_id].brand, campaigns.get(campaign_id or 0)
        rules = in_force.policy(
            brand,
            campaign,
            platform_remaining=1,  # the batch's own count: `_judge`
            purpose=Purpose(purpose),
        )
        # A worker that was thought dead may bring a text back after its campaign was closed.
        if campaign and campaign.status == Campaign.Status.COMPLETED:
            rules = replace(rules, campaign_running=True)
        judges[brand_id, campaign_id, purpose] = Judge(campaign_id, rules, now + brand.clock_shift)
    return judges


def _leaving(
    by_brand: Mapping[int, Share],
    departed: Sequence[_Verdict],
    senders: Mapping[UUID, int],
    now: dt.datetime,
) -> dict[int, list[Departing]]:
    leaving: dict[int, list[Departing]] = {pk: [] for pk in by_brand}
    shifted = {pk: now + share.brand.clock_shift for pk, share in by_brand.items()}
    for row, decision, _ in departed:
        text = Text(row.id, row.phone, row.body, _validity(decision, shifted[row.brand_id]))
        leaving[row.brand_id].append(Departing(text, senders[row.id], row.segments))
    return leaving


def _settle_others(
    by_brand: Mapping[int, Share],
    others: Sequence[_Verdict],
    later: Sequence[UUID],
    now: dt.datetime,
) -> None:
    """End what will not be sent, and say of the rest when it is due again."""
    put_off = [(pk, now + A_MOMENT) for pk in later]
    cancelled = _cancelled({v.row.campaign_id for v in others if v.row.campaign_id})
    endings = []
    for row, decision, _ in others:
        shift = by_brand[row.brand_id].brand.clock_shift
        until = decision.until - shift if decision.until else queues.PARKED
        if row.campaign_id in cancelled:
            endings.append((row.id, State.CANCELLED, "campaign_cancelled"))
        elif decision.action is Action.SKIP:
            endings.append((row.id, State.SKIPPED, decision.reason))
        elif decision.action is Action.SEND:  # too late, however right the hour is
            endings.append((row.id, State.EXPIRED, row.reason))
        elif row.expires_at <= now or (decision.until and until > row.expires_at):
            endings.append((row.id, State.EXPIRED, decision.reason))
        else:
            put_off.append((row.id, until))
    outcomes.end(endings)
    queues.put_off(put_off)


def _cancelled(campaign_ids: Collection[int]) -> set[int]:
    if not campaign_ids:
        return set()
    cancelled = Campaign.objects.filter(pk__in=campaign_ids, status=Campaign.Status.CANCELLED)
    return set(cancelled.values_list("pk", flat=True))


def _validity(decision: Decision, now: dt.datetime) -> int:
    """Seconds for which the provider may still deliver: until the person's window ends."""
    if decision.window_end is None:
        return 60
    return max(60, int((decision.window_end - now).total_seconds()))


def _remaining_today(now: dt.datetime) -> int:
    """What is left of the platform's cap; the day's row is locked, so that it is exact."""
    with connection.cursor() as cursor:
        cursor.execute(_REMAINING, [now.date()])
        found = cursor.fetchone()
        if found is None:  # the first batch of the day
            policy.platform()
            cursor.execute(
                "INSERT INTO sending_dailytotal (day) VALUES (%s) ON CONFLICT DO NOTHING",
                [now.date()],
            )
            cursor.execute(_REMAINING, [now.date()])
            found = cursor.fetchone()
        return found[0]


_REMAINING = """
    SELECT platform.daily_cap - total.sent
    FROM sending_dailytotal AS total, campaigns_platformpolicy AS platform
    WHERE total.day = %s AND platform.id = 1 FOR UPDATE OF total"""


def _count(departed: int, now: dt.datetime) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE sending_dailytotal SET sent = sent + %s WHERE day = %s", [departed, now.date()]
        )


def _tomorrow(now: dt.datetime) -> dt.datetime:
    return dt.datetime.combine(now.date() + dt.timedelta(days=1), dt.time(), dt.UTC)
