"""Sending again what was certainly not sent, when a person says so.

Only within `facts.LONGEST_WAIT` of planning: the caps look for texts by the time of their ids, and
one that was sent later than that would not be counted.
"""

import datetime as dt
from collections.abc import Iterable, Iterator
from itertools import batched
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from campaigns import policy
from campaigns.models import Campaign
from sending import credits, outcomes
from sending.facts import LONGEST_WAIT
from sending.identity import lower_bound
from sending.models import SentLog, State
from sending.parking import texts_of
from subscribers import clock

HOURS = LONGEST_WAIT // dt.timedelta(hours=1)
CHUNK = 1000  # texts in one transaction
WORTH_IT = dt.timedelta(hours=1)  # less time than this is left: not queued again
MOST_BY_HAND = 10_000  # texts of one selection
# Failed and expired texts were never taken by a provider; what is unknown may have been.
CERTAINLY_NOT_SENT = (State.FAILED, State.EXPIRED)


def selection(texts: QuerySet[SentLog]) -> tuple[int, int]:
    """Queue a selection again: (texts queued, texts left as they are).

    Raises ValueError with a sentence for more than `MOST_BY_HAND`.
    """
    ids = list(texts.order_by().values_list("pk", flat=True)[: MOST_BY_HAND + 1])
    if len(ids) > MOST_BY_HAND:
        raise ValueError(
            f"At most {MOST_BY_HAND:,} texts at a time; for a whole campaign there is"
            " manage.py requeue_failed."
        )
    queued = _queue_again(ids)
    return queued, len(ids) - queued


def campaign(of: Campaign, *, code: str = "") -> int:
    """Queue again all of a campaign's texts that were not sent, or those with a provider's code."""
    return _queue_again(_unsent(of, code))


def _unsent(of: Campaign, code: str) -> Iterator[UUID]:
    for run in of.runs.order_by("started_at"):
        texts = texts_of(run).filter(state__in=CERTAINLY_NOT_SENT)
        if code:
            texts = texts.filter(error_code=code)
        yield from texts.values_list("pk", flat=True).iterator(CHUNK)


def _queue_again(ids: Iterable[UUID]) -> int:
    lifetime = policy.platform().text_lifetime
    first = lower_bound(clock.now() - LONGEST_WAIT + WORTH_IT)
    queued = 0
    for chunk in batched(ids, CHUNK):
        with transaction.atomic():
            again = outcomes.queue_again(
                chunk, first=first, lifetime=lifetime, longest=LONGEST_WAIT
            )
            credits.look_again(again)
        queued += len(again)
    return queued
