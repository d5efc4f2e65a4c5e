"""What a campaign will cost, in credits, and whether its workspace has them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from django.db import connection

from campaigns import audience, content, lifecycle, policy, wording
from campaigns.models import Campaign, Message
from campaigns.wording import Style
from sending.models import CreditAccount, CreditHold
from subscribers import clock, segments
from subscribers.models import Brand

STEPS, EACH = 20, 10  # where along the audience a sample is taken, and how many people there


@dataclass(frozen=True, slots=True)
class Estimate:
    """People who would get a text, and what that costs."""

    audience: int
    credits: int


def of_campaign(campaign: Campaign) -> Estimate:
    """A broadcast: everybody of its audience who is opted in; an evergreen pool: one text, as it has no end.

    Exact where the messages say the same to everybody; else by 200 people from all over the
    audience. Who turns out to be unreachable or over a cap costs nothing in the end, so the
    estimate is rather too high than too low. 100,000 people take some 20 ms.
    """
    messages = list(campaign.messages.filter(weight__gt=0))
    people = 1 if campaign.kind == Campaign.Kind.EVERGREEN else _audience(campaign)
    each = _segments_each(campaign.brand, messages)
    return Estimate(people, math.ceil(people * each - 1e-9))


def missing(campaign: Campaign) -> tuple[int, Estimate | None]:
    """How many credits a campaign lacks to be planned as a whole, and the estimate behind it.

    (0, None) where its workspace may send without. What other campaigns that are being planned have
    still to reserve is not available to it.
    """
    account = CreditAccount.objects.filter(
        workspace_id=campaign.brand.workspace_id, enforced=True
    ).first()
    if account is None:
        return 0, None
    estimate = of_campaign(campaign)
    return max(0, estimate.credits + _promised(account, campaign) - account.available), estimate


def check_launch(campaign: Campaign) -> None:
    """Refuse to launch what the workspace has no credits for (one of LAUNCH_CHECKS).

    Raises lifecycle.NotAllowed with the missing amount.
    """
    lacking, estimate = missing(campaign)
    if lacking and estimate:
        people = (
            "1 person costs" if estimate.audience == 1 else f"{estimate.audience:,} people cost"
        )
        raise lifecycle.NotAllowed(
            f"It needs {lacking:,} more credits: texts to {people} about {estimate.credits:,}."
        )


def _promised(account: CreditAccount, but: Campaign) -> int:
    """What broadcasts that are being planned have yet to reserve, by their estimates."""
    campaigns = list(
        Campaign.objects.filter(
            brand__workspace=account.workspace_id,
            kind=Campaign.Kind.BROADCAST,
            status=Campaign.Status.RUNNING,
        )
        .exclude(runs__planned_at__isnull=False)
        .exclude(pk=but.pk)
        .select_related("brand")[:50]
    )
    holds = CreditHold.objects.filter(campaign__in=campaigns, run__isnull=False)
    reserved = dict(holds.values_list("campaign_id", "reserved"))
    return sum(max(0, of_campaign(one).credits - reserved.get(one.pk, 0)) for one in campaigns)


def _audience(campaign: Campaign) -> int:
    try:
        return audience.count(campaign, now=clock.now() + campaign.brand.clock_shift)
    except segments.Invalid:
        return 0  # nobody gets a text: planning pauses it


def _segments_each(brand: Brand, messages: Sequence[Message]) -> float:
    """Segments of a text on average, the messages by their weight."""
    weight = sum(message.weight for message in messages)
    if not weight:
        return 0.0
    people: list[dict[str, str]] = []
    if any(set(_names(message)) - {"brand"} for message in messages):
        people = _sample(brand)
    people = people or [dict.fromkeys(content.FIELDS, "") | {"brand": brand.name}]
    own = policy.of_brand(brand)
    total = sum(
        message.weight * _segments(message, one, wording.style_of(own, message))
        for message in messages
        for one in people
    )
    return total / (weight * len(people))


def _names(message: Message) -> tuple[str, ...]:
    try:
        return content.names_used(message.body)
    except content.BadContent:
        return ()


def _segments(message: Message, fields: dict[str, str], style: Style) -> int:
    try:
        return wording.write(message.body, fields, style).size.segments
    except content.BadContent:
        return 0  # who cannot be written to is skipped


def _sample(brand: Brand) -> list[dict[str, str]]:
    with connection.cursor() as cursor:
        cursor.execute(_SAMPLE, {"brand": brand.pk, "steps": STEPS, "each": EACH})
        names = ("first_name", "last_name", "name")
        return [
            dict(zip(names, row, strict=True)) | {"brand": brand.name} for row in cursor.fetchall()
        ]


# Short walks along the index that a broadcast plans by, at even distances.
_SAMPLE = """
    WITH ends AS (
        SELECT min(subscriber_id) AS low, max(subscriber_id) AS high
        FROM subscribers_subscription WHERE brand_id = %(brand)s),
    chosen AS (
        SELECT DISTINCT picked.subscriber_id
        FROM ends, generate_series(0, %(steps)s - 1) AS steps(step), LATERAL (
            SELECT subscriber_id FROM subscribers_subscription
            WHERE brand_id = %(brand)s AND status = 'opted_in'
              AND subscriber_id >= ends.low + (ends.high - ends.low) * steps.step / %(steps)s
            ORDER BY subscriber_id LIMIT %(each)s) AS picked)
    SELECT person.first_name, person.last_name, person.name
    FROM chosen JOIN subscribers_subscriber AS person ON person.id = chosen.subscriber_id"""
