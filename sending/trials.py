"""Test sends: a campaign's message to chosen numbers, now, by the way of every other text.

They have no run: their cause is the request. The log says `test`, so no cap, no total and no run
counts them; the installation's daily total does, as it does confirmations.
"""

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models import Q

from campaigns import content, lifecycle, policy, references, wording
from campaigns.eligibility import TEST_LIFETIME, Action, Facts, Purpose, decide
from campaigns.models import Campaign, Message
from campaigns.runs import whole_milliseconds
from sending import facts, outcomes
from sending.answers import ring_softly
from sending.identity import identify
from sending.models import QueuedText, State, TestNumber, TestRequest
from sending.outcomes import NewText
from sending.writing import Writer
from subscribers import clock, consent, phones, upsert
from subscribers.models import Brand, Subscriber, Suppression
from subscribers.secrets import phone_hash

log = structlog.get_logger("carillon.trials")

MOST_NUMBERS = 10
NOT_A_NUMBER = "not_a_number"


@dataclass(frozen=True, slots=True)
class Tested:
    """What became of one number: the text's id, or the reason why there is none (else '')."""

    number: str  # E.164, or as it was given where it is none
    id: UUID | None
    reason: str


@transaction.atomic
def send(
    campaign: Campaign,
    numbers: Sequence[str],
    *,
    key: str,
    asked_by: str,
    message: Message | None = None,
    person: Subscriber | None = None,
    reference: str = "",
) -> list[Tested]:
    """Queue a test of a campaign to each number; answers for each, in their order, once.

    The same `key` again plans nothing twice, and what an integrator calls this send (`reference`)
    is used up by it. `message`: the campaign's first where none is given; it is written for
    `person`, or for a sample with a long name. Raises references.Used, NotAllowed where there is
    no message, content.BadContent, credits.Short.
    """
    taken = references.take(campaign.brand_id, reference, references.Use.TEST, campaign.pk)
    chosen = message or campaign.messages.filter(weight__gt=0).order_by("pk").first()
    if chosen is None:
        raise lifecycle.NotAllowed("This campaign has no message to test.")
    own = policy.of_brand(campaign.brand)
    fields = _fields(campaign.brand, person)
    wording.write(chosen.body, fields, wording.style_of(own, chosen))
    told, new = _plan(
        campaign,
        numbers,
        message=chosen,
        fields=fields,
        writer=Writer(own, [chosen]),
        asked=_asked(campaign, key, asked_by),
    )
    references.covers(taken, [one.id for one in told if one.id])
    transaction.on_commit(lambda: ring_softly(campaign.brand_id))
    log.info("test_send", campaign=campaign.pk, numbers=len(told), new=new, by=asked_by)
    return told


def _asked(campaign: Campaign, key: str, asked_by: str) -> TestRequest:
    asked_at = whole_milliseconds(clock.now())
    return TestRequest.objects.get_or_create(
        campaign=campaign, key=key, defaults={"asked_by": asked_by, "asked_at": asked_at}
    )[0]


def _fields(brand: Brand, person: Subscriber | None) -> dict[str, str]:
    if person is None:
        return {**content.SAMPLE, "brand": brand.name}
    names = ("first_name", "last_name", "name")
    return {name: getattr(person, name) for name in names} | {"brand": brand.name}


def _plan(
    campaign: Campaign,
    numbers: Sequence[str],
    *,
    message: Message,
    fields: Mapping[str, str],
    writer: Writer,
    asked: TestRequest,
) -> tuple[list[Tested], int]:
    now = clock.now()
    given = {_e164(number) or number: _e164(number) for number in numbers}
    known = _people(campaign.brand, [e164 for e164 in given.values() if e164])
    reasons = _refused(campaign.brand, known, now)
    ids = {number: identify(asked.asked_at, "test", asked.pk, number) for number in known}
    going = {number: of for number, of in known.items() if not reasons[number]}
    bodies = {number: writer.write(message, fields, ids[number]) for number in going}
    texts = {
        number: NewText(
            id=ids[number],
            brand_id=campaign.brand_id,
            campaign_id=campaign.pk,
            run_id=None,
            message_id=message.pk,
            subscriber_id=subscriber_id,
            purpose=Purpose.TEST,
            phone=number,
            body=bodies[number][0],
            segments=bodies[number][1],
            state=State.PLANNED,
            reason="",
            expires_at=now + TEST_LIFETIME,
            lane=QueuedText.Lane.HIGH,
            due_at=now,
        )
        for number, (subscriber_id, _) in going.items()
    }
    new = outcomes.plan(list(texts.values()))
    writer.keep()
    told = [
        Tested(number, texts[number].id, "")
        if number in texts
        else Tested(number, None, reasons.get(number, NOT_A_NUMBER))
        for number in given
    ]
    return told, new


def _e164(number: str) -> str:
    try:
        return phones.parse(number).e164
    except phones.InvalidPhone:
        return ""


def _refused(
    brand: Brand, known: Mapping[str, tuple[int | None, Facts]], now: dt.datetime
) -> dict[str, str]:
    """Why a number gets no test now, '' where it gets one. The gate decides again."""
    rules = policy.build(brand, None, platform_remaining=1, today=now.date(), purpose=Purpose.TEST)
    decisions = {
        number: decide(of_it, rules, now + brand.clock_shift)
        for number, (_, of_it) in known.items()
    }
    return {
        number: "" if decision.action is Action.SEND else str(decision.reason)
        for number, decision in decisions.items()
    }


def _people(brand: Brand, numbers: Collection[str]) -> dict[str, tuple[int | None, Facts]]:
    """Whose numbers these are, and what a decision needs to know, by number."""
    people = dict(
        Subscriber.objects.filter(workspace=brand.workspace_id, phone__in=numbers).values_list(
            "phone", "pk"
        )
    )
    pairs = [(number, people.get(number)) for number in numbers]
    known = facts_of(brand, pairs, now=clock.now())
    return {number: (people.get(number), known[number]) for number in numbers}


def facts_of(
    brand: Brand, numbers: Collection[tuple[str, int | None]], *, now: dt.datetime
) -> dict[str, Facts]:
    """What is known of numbers (E.164, with the subscriber where it is one's), by number.

    Of a stranger: where the number may be, and whether anybody said that it must not be texted.
    """
    if not numbers:
        return {}
    people = facts.gather(brand, [pk for _, pk in numbers if pk], now=now)
    own = set(
        TestNumber.objects.filter(
            workspace=brand.workspace_id, phone__in=[number for number, _ in numbers]
        ).values_list("phone", flat=True)
    )
    hashes = {number: phone_hash(brand.workspace_id, number) for number, _ in numbers}
    said_no = {bytes(hashed) for hashed in _suppressed(brand, hashes.values())}
    found = {}
    for number, pk in numbers:
        of_it = people[pk].facts if pk in people else _of_stranger(number)
        found[number] = replace(
            of_it,
            suppressed=of_it.suppressed or hashes[number] in said_no,
            is_test_number=number in own,
        )
    return found


def lock_and_gather(
    brand: Brand, numbers: Collection[tuple[str, int | None]], *, now: dt.datetime
) -> dict[str, Facts]:
    """`facts_of` for the gate: no opt-out of these numbers commits before its transaction ends.

    Who is no subscriber has no row that could be locked. Without the numbers that somebody else
    holds.
    """
    hashes = {number: phone_hash(brand.workspace_id, number) for number, _ in numbers}
    free = consent.lock_free_numbers(hashes.values())
    return facts_of(brand, [one for one in numbers if hashes[one[0]] in free], now=now)


def _suppressed(brand: Brand, hashes: Collection[bytes]) -> Sequence[bytes]:
    return Suppression.objects.filter(
        Q(brand=None) | Q(brand=brand), workspace=brand.workspace_id, phone_hash__in=hashes
    ).values_list("phone_hash", flat=True)


def _of_stranger(number: str) -> Facts:
    place = upsert.derived(phones.parse(number), {})
    return Facts(
        subscription=None,
        has_evidence=False,
        suppressed=False,
        number_kind=place["number_kind"],
        zones=tuple(place["zones"]),
        jurisdictions=tuple(place["jurisdictions"]),
    )
