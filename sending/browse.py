"""Looking into the log without reading it through: every look is a range of ids, a person or a brand.

The log has three indexes, by id (which begins with the time), by person, and by brand and id
(`newest.py`).
"""

import datetime as dt
from collections.abc import Iterable
from functools import reduce
from operator import or_
from uuid import UUID

from django.db.models import Q, QuerySet

from campaigns.models import Campaign
from campaigns.reference_models import ClientReference
from sending.identity import lower_bound
from sending.parking import MILLISECOND_IDS
from subscribers import search
from subscribers.models import Subscriber

# Of an evergreen pool, which has a run for every tick.
LAST_RUNS = 50


def found(rows: QuerySet, term: str, *, user: object) -> QuerySet:
    """Texts by their whole id or by a person's whole number; none for anything else."""
    identity = _uuid(term)
    if identity:
        return rows.filter(id=identity)
    hashes = search.hashes(user, term)
    people = Subscriber.objects.for_user(user).filter(phone_hash__in=hashes)  # type: ignore[arg-type]
    # A list, not a subquery: only constants let the planner go by the person's index.
    return rows.filter(subscriber_id__in=list(people.values_list("pk", flat=True)))


def of_text(rows: QuerySet, term: str) -> QuerySet:
    """Events of the text with this whole id; none where it is no id."""
    identity = _uuid(term)
    return rows.filter(text_id=identity) if identity else rows.none()


def since(rows: QuerySet, moment: dt.datetime) -> QuerySet:
    """Rows whose id is of this moment or later."""
    return rows.filter(id__gte=lower_bound(moment))


def of_campaign(rows: QuerySet, campaign: Campaign) -> QuerySet:
    """Texts of a campaign's latest runs; each run is the ids of one millisecond."""
    return rows.filter(_in_campaign(campaign))


def under(rows: QuerySet, references: Iterable[ClientReference]) -> QuerySet:
    """Texts that were sent under these references; of a launch, those of its latest runs."""
    named, launched = [], []
    for one in references:
        named += one.texts
        if one.use == ClientReference.Use.LAUNCH:
            launched.append(one.subject_id)
    places = [Q(id__in=named)]
    places += [
        _in_campaign(campaign) & Q(run_id__isnull=False)
        for campaign in Campaign.objects.filter(pk__in=launched)
    ]
    return rows.filter(reduce(or_, places))


def _in_campaign(campaign: Campaign) -> Q:
    starts = campaign.runs.order_by("-started_at").values_list("started_at", flat=True)
    ranges = [_millisecond(start) for start in starts[:LAST_RUNS]]
    return reduce(or_, ranges, Q(id__in=[])) & Q(campaign_id=campaign.pk)


def _millisecond(moment: dt.datetime) -> Q:
    first = lower_bound(moment)
    return Q(id__gte=first, id__lt=UUID(int=first.int + MILLISECOND_IDS))


def _uuid(term: str) -> UUID | None:
    try:
        return UUID(term.strip())
    except ValueError:
        return None
