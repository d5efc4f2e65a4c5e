"""The point of no return: one transaction that decides, for a claimed batch, what departs.

The people are locked first, by the same lock that an opt-out takes, so nothing starts after an
opt-out has committed, and two campaigns cannot both use a person's last text of the day.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import structlog
from django.db import connection, transaction

from campaigns import policy
from campaigns.eligibility import Action, Decision, Facts, Policy, Purpose, Reason, decide
from campaigns.models import Campaign
from sending import facts, outcomes, queues
from sending.facts import Person
from sending.gateways.base import Text
from sending.models import Sender, SentLog, State
from sending.queues import Leased
from subscribers import clock, consent
from subscribers.models import Brand

log = structlog.get_logger("carillon.gate")

# Of somebody who is no subscriber, nothing is known.
NOBODY = Facts(
    None, has_evidence=False, suppressed=True, number_kind="", zones=(), jurisdictions=()
)


@dataclass(frozen=True, slots=True)
class Departing:
    """A text that may be handed over now, by this sender."""

    text: Text
    sender_id: int
    segments: int


@dataclass(frozen=True, slots=True)
class _Verdict:
    row: SentLog
    decision: Decision


@transaction.atomic
def pass_gate(
    brand: Brand, token: UUID, leased: Sequence[Leased], senders: Mapping[UUID, Sender]
) -> list[Departing]:
    """Decide for each leased text; those that may go have departed when this commits.

    The others were put off, skipped, expired or cancelled. `senders`: by text id.
    """
    consent.lock_people(one.subscriber_id for one in leased if one.subscriber_id)
    held = queues.still_held(token, [one.id for one in leased])
    rows = list(SentLog.objects.filter(id__in=held, state=State.PLANNED).order_by("id"))
    now = clock.now()
    verdicts = _judge(brand, rows, now)
    going = [v for v in verdicts if v.decision.action is Action.SEND]
    departed = outcomes.depart(
        token, brand.pk, {v.row.id: senders[v.row.id].pk for v in going}, lease=queues.LEASE
    )
    _count(len(departed), now)
    _settle_others(brand, token, [v for v in verdicts if v.decision.action is not Action.SEND], now)
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


def _judge(brand: Brand, rows: list[SentLog], now: dt.datetime) -> list[_Verdict]:
    people = facts.gather(brand, {r.subscriber_id for r in rows if r.subscriber_id}, now=now)
    policies = _policies(brand, rows, now)
    remaining = _remaining_today(now)
    verdicts = []
    for row in rows:
        person = people.get(row.subscriber_id) if row.subscriber_id else None
        decision = _decide(row, person, policies, now + brand.clock_shift)
        if decision.action is Action.SEND:
            if remaining <= 0:
                decision = Decision(Action.DEFER, Reason.PLATFORM_CAP, _tomorrow(now))
            else:
                remaining -= 1
                if person and row.purpose == Purpose.CAMPAIGN:
                    person.count(row.campaign_id, now + brand.clock_shift)
        verdicts.append(_Verdict(row, decision))
    return verdicts


def _decide(
    row: SentLog,
    person: Person | None,
    policies: Mapping[tuple[int | None, str], Policy],
    now: dt.datetime,
) -> Decision:
    known = person.for_campaign(row.campaign_id) if person else NOBODY
    return decide(known, policies[row.campaign_id, row.purpose], now)


def _policies(
    brand: Brand, rows: list[SentLog], now: dt.datetime
) -> dict[tuple[int | None, str], Policy]:
    """One policy per campaign and purpose of the batch, from the rows as they are now."""
    campaigns = Campaign.objects.in_bulk({r.campaign_id for r in rows if r.campaign_id})
    kinds = {(row.campaign_id, row.purpose) for row in rows}
    return {
        (campaign_id, purpose): policy.build(
            brand,
            campaigns.get(campaign_id),
            platform_remaining=1,  # the batch's own count: `_judge`
            today=now.date(),
            purpose=Purpose(purpose),
        )
        for campaign_id, purpose in kinds
    }


def _settle_others(brand: Brand, token: UUID, others: list[_Verdict], now: dt.datetime) -> None:
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
        cursor.execute(
            "INSERT INTO sending_dailytotal (day) VALUES (%s) ON CONFLICT DO NOTHING", [now.date()]
        )
        cursor.execute(
            "SELECT sent FROM sending_dailytotal WHERE day = %s FOR UPDATE", [now.date()]
        )
        return policy.platform().daily_cap - cursor.fetchone()[0]


def _count(departed: int, now: dt.datetime) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE sending_dailytotal SET sent = sent + %s WHERE day = %s", [departed, now.date()]
        )


def _tomorrow(now: dt.datetime) -> dt.datetime:
    return dt.datetime.combine(now.date() + dt.timedelta(days=1), dt.time(), dt.UTC)
