"""The point of no return: one transaction that decides, for a claimed batch, what departs.

The people are locked first, by the same lock that an opt-out takes, so nothing starts after an
opt-out has committed, and two campaigns cannot both use a person's last text of the day.
"""

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from uuid import UUID

import structlog
from django.db import connection, transaction

from campaigns import policy
from campaigns.eligibility import Action, Decision, Facts, Policy, Purpose, Reason, decide
from campaigns.models import Campaign
from sending import arrays, facts, outcomes, queues, trials
from sending.facts import Person
from sending.gateways.base import Text
from sending.identity import moment_of
from sending.models import Sender, State
from sending.queues import Leased
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


@dataclass(frozen=True, slots=True)
class Departing:
    """A text that may be handed over now, by this sender."""

    text: Text
    sender_id: int
    segments: int


@dataclass(frozen=True, slots=True)
class _Row:
    """A planned text as the gate sees it: a model instance would cost more than the decision."""

    id: UUID
    subscriber_id: int | None
    campaign_id: int | None
    purpose: str
    phone: str
    body: str
    segments: int
    reason: str
    expires_at: dt.datetime


@dataclass(frozen=True, slots=True)
class _Verdict:
    row: _Row
    decision: Decision
    may_go: bool


@transaction.atomic
def pass_gate(
    brand: Brand, token: UUID, leased: Sequence[Leased], senders: Mapping[UUID, Sender]
) -> list[Departing]:
    """Decide for each leased text; those that may go have departed when this commits.

    The others were put off, skipped, expired or cancelled. `senders`: by text id; what was to leave
    by one that was paused since is due again at once, for another.
    """
    consent.lock_people(one.subscriber_id for one in leased if one.subscriber_id)
    held = queues.still_held(token, [one.id for one in leased])
    now = clock.now()
    usable = in_use(senders.values())
    stranded = {pk for pk in held if senders[pk].pk not in usable}
    queues.put_off(token, [(pk, now) for pk in stranded])
    rows = _planned(held - stranded)
    verdicts = _judge(brand, rows, now)
    going = [v for v in verdicts if v.may_go]
    departed = outcomes.depart(
        token, brand.pk, {v.row.id: senders[v.row.id].pk for v in going}, lease=queues.LEASE
    )
    _count(len(departed), now)
    _settle_others(brand, token, [v for v in verdicts if not v.may_go], now)
    shifted = now + brand.clock_shift
    return [
        Departing(
            Text(v.row.id, v.row.phone, v.row.body, _validity(v.decision, shifted)),
            senders[v.row.id].pk,
            v.row.segments,
        )
        for v in going
        if v.row.id in departed
    ]


def _planned(ids: Collection[UUID]) -> list[_Row]:
    columns = ", ".join(field.name for field in fields(_Row))
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {columns} FROM sending_sentlog WHERE id = ANY(%s::uuid[]) AND state = 'planned'"
            " ORDER BY id",
            [arrays.ids(ids)],
        )
        return [_Row(*row) for row in cursor.fetchall()]


def _judge(brand: Brand, rows: list[_Row], now: dt.datetime) -> list[_Verdict]:
    campaigns = Campaign.objects.in_bulk({r.campaign_id for r in rows if r.campaign_id})
    known = {r.subscriber_id for r in rows if r.subscriber_id}
    people = facts.gather(brand, known, now=now, campaigns=campaigns.values())
    tests = trials.lock_and_gather(
        brand, [(r.phone, r.subscriber_id) for r in rows if r.purpose == Purpose.TEST], now=now
    )
    policies = _policies(brand, campaigns, rows, now)
    remaining = _remaining_today(now)
    verdicts = []
    for row in rows:
        person = people.get(row.subscriber_id) if row.subscriber_id else None
        decision = _decide(brand, row, person, tests, policies, now=now)
        may_go = decision.action is Action.SEND and row.expires_at > now
        if may_go and remaining <= 0:
            tomorrow = _tomorrow(now) + brand.clock_shift
            decision = Decision(Action.DEFER, Reason.PLATFORM_CAP, tomorrow)
            may_go = False
        elif may_go:
            remaining -= 1
            if person and row.purpose in COUNTED:
                person.count(row.campaign_id, now + brand.clock_shift)
        verdicts.append(_Verdict(row, decision, may_go))
    return verdicts


def _known(row: _Row, person: Person | None, tests: Mapping[str, Facts]) -> Facts:
    if row.purpose == Purpose.TEST:
        return tests[row.phone]
    return person.for_campaign(row.campaign_id) if person else NOBODY


def _decide(
    brand: Brand,
    row: _Row,
    person: Person | None,
    tests: Mapping[str, Facts],
    policies: Mapping[tuple[int | None, str], Policy],
    *,
    now: dt.datetime,
) -> Decision:
    """The decision; where it cannot be made that text is not sent, and the others go on."""
    if not row.phone:  # the person was erased
        return Decision(Action.SKIP, Reason.SUPPRESSED)
    try:
        known = _known(row, person, tests)
        if row.purpose == Purpose.ANSWER:
            known = replace(known, wrote_at=moment_of(row.id) + brand.clock_shift)
        rules = policies[row.campaign_id, row.purpose]
        return decide(known, rules, now + brand.clock_shift)
    except Exception:
        log.exception("decision_failed", text=row.id, campaign=row.campaign_id)
        return Decision(Action.SKIP, Reason.ERROR)


def _policies(
    brand: Brand, campaigns: Mapping[int | None, Campaign], rows: list[_Row], now: dt.datetime
) -> dict[tuple[int | None, str], Policy]:
    """One policy per campaign and purpose of the batch, from the rows as they are now."""
    kinds = {(row.campaign_id, row.purpose) for row in rows}
    return {
        (campaign_id, purpose): _policy(brand, campaigns.get(campaign_id), Purpose(purpose), now)
        for campaign_id, purpose in kinds
    }


def _policy(brand: Brand, campaign: Campaign | None, purpose: Purpose, now: dt.datetime) -> Policy:
    rules = policy.build(
        brand,
        campaign,
        platform_remaining=1,  # the batch's own count: `_judge`
        today=now.date(),
        purpose=purpose,
    )
    # A worker that was thought dead may bring a text back after its campaign was closed.
    if campaign and campaign.status == Campaign.Status.COMPLETED:
        return replace(rules, campaign_running=True)
    return rules


def _settle_others(brand: Brand, token: UUID, others: list[_Verdict], now: dt.datetime) -> None:
    if not others:
        return
    cancelled = set(
        Campaign.objects.filter(
            pk__in={v.row.campaign_id for v in others if v.row.campaign_id},
            status=Campaign.Status.CANCELLED,
        ).values_list("pk", flat=True)
    )
    endings, later = [], []
    for verdict in others:
        row, decision = verdict.row, verdict.decision
        until = decision.until - brand.clock_shift if decision.until else queues.PARKED
        if row.campaign_id in cancelled:
            endings.append((row.id, State.CANCELLED, "campaign_cancelled"))
        elif decision.action is Action.SKIP:
            endings.append((row.id, State.SKIPPED, decision.reason))
        elif decision.action is Action.SEND:  # too late, however right the hour is
            endings.append((row.id, State.EXPIRED, row.reason))
        elif row.expires_at <= now or (decision.until and until > row.expires_at):
            endings.append((row.id, State.EXPIRED, decision.reason))
        else:
            later.append((row.id, until))
    outcomes.end(endings)
    queues.put_off(token, later)


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
