"""Shares of an audience: who is held out, who gets the variants first, and who waits for the winner.

A person's part is a hash of the campaign and the person: it is the same at every retry, and another
in every campaign.
"""

import datetime as dt
import hashlib
from enum import StrEnum

from django.db import transaction

from campaigns import lifecycle, runs
from campaigns.models import Campaign, Message

_POINTS = 10_000


class Part(StrEnum):
    """Which part of the audience a person belongs to."""

    HOLD_OUT = "hold_out"  # gets nothing, so that the effect of the rest can be measured
    TEST = "test"  # gets one of the variants at once
    REST = "rest"  # waits for the winner


def divides(campaign: Campaign) -> bool:
    """Whether the audience has more than one part."""
    return bool(campaign.holdout) or campaign.test_share is not None


def part_of(campaign: Campaign, subscriber_id: int) -> Part:
    """The part that a person belongs to, member of the audience or not."""
    named = f"{campaign.pk}:{subscriber_id}".encode()
    digest = hashlib.blake2b(named, digest_size=16, person=b"audience parts").digest()
    if int.from_bytes(digest[:8], "big") % _POINTS < campaign.holdout * 100:
        return Part.HOLD_OUT
    share = 100 if campaign.test_share is None else campaign.test_share
    point = int.from_bytes(digest[8:], "big") % _POINTS
    return Part.TEST if point < share * 100 else Part.REST


def is_held_out(campaign: Campaign, subscriber_id: int) -> bool:
    """Whether a person gets nothing of a campaign."""
    return bool(campaign.holdout) and part_of(campaign, subscriber_id) is Part.HOLD_OUT


def awaits_winner(campaign: Campaign) -> bool:
    """Whether a part of the audience still waits for the choice of a message."""
    waiting = campaign.test_share is not None
    return waiting and not campaign.runs.exclude(winner=None).exists()


@transaction.atomic
def choose_winner(
    campaign: Campaign, message: Message, *, now: dt.datetime, because: str = ""
) -> bool:
    """The rest of the audience gets this message, once, from now on; whether this call chose it.

    `because`: a sentence for people, '' where somebody chose. Choosing the same one again changes nothing. Raises lifecycle.NotAllowed where another one was
    chosen, where the test share is not planned yet, and where the campaign is over.
    """
    lifecycle.lock(campaign)
    chosen = campaign.runs.exclude(winner=None).first()
    if chosen is not None and chosen.winner_id == message.pk:
        return False
    if chosen is not None:
        raise lifecycle.NotAllowed("Another message was chosen for the rest of the audience.")
    _refuse(campaign, message)
    runs.open_rest(campaign, winner=message, now=now, because=because)
    return True


def _refuse(campaign: Campaign, message: Message) -> None:
    if campaign.test_share is None:
        raise lifecycle.NotAllowed("This campaign has no test share: nobody waits for a winner.")
    if message.campaign_id != campaign.pk or not message.weight:
        raise lifecycle.NotAllowed("This message is none of the campaign's that are in use.")
    if campaign.status not in (Campaign.Status.RUNNING, Campaign.Status.PAUSED):
        raise lifecycle.NotAllowed("Only a campaign that runs or is paused can get a winner.")
    if not campaign.runs.filter(planned_at__isnull=False).exists():
        raise lifecycle.NotAllowed("Its test share is not planned yet; try again in a minute.")
