"""What else an audience got or will get: the same text before, and other campaigns at the same time."""

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db import connection

from campaigns.models import Campaign, Run
from sending import arrays, planning
from sending.identity import lower_bound
from sending.models import MAY_HAVE_ARRIVED
from sending.parking import MILLISECOND_IDS

LOOK_BACK = dt.timedelta(days=90)
AT_THE_SAME_TIME = dt.timedelta(hours=24)  # the brand's daily limit counts over as long
# Of earlier runs so many people in all are held in memory; of further runs they are looked up.
MOST_HELD = 500_000
MOST_OTHERS = 3  # campaigns whose audiences are compared: each is walked through too
OPEN = (
    Campaign.Status.SCHEDULED,
    Campaign.Status.RUNNING,
    Campaign.Status.PAUSED,
    Campaign.Status.WAITING,
)


@dataclass(frozen=True, slots=True)
class Shared:
    """People of an audience who have to do with another campaign too."""

    campaign: Campaign
    people: int


class Seen:
    """Who of an audience has had a campaign's text before, in other campaigns of the last 90 days.

    A text is the same where its source is, whatever its spaces and capitals. Without one nothing of
    the log is read; else a broadcast's run is read as its range of ids, a pool's texts by person, and
    so are those of runs that are too large to be held.
    """

    def __init__(self, campaign: Campaign, *, now: dt.datetime) -> None:
        self.people = 0
        self._since = lower_bound(now - LOOK_BACK)
        self._counts: Counter[int] = Counter()
        with connection.cursor() as cursor:
            cursor.execute(_SAME_TEXT, {"campaign": campaign.pk, "brand": campaign.brand_id})
            messages: dict[int, list[int]] = dict(cursor.fetchall())
        self._campaigns = Campaign.objects.in_bulk(messages)
        kinds = {pk: one.kind for pk, one in self._campaigns.items()}
        runs = Run.objects.filter(
            campaign__in=messages, campaign__kind=Campaign.Kind.BROADCAST,
            started_at__gte=now - LOOK_BACK,
        ).order_by("audience", "pk")  # fmt: skip
        self._had: dict[int, set[int]] = defaultdict(set)
        held, too_large = 0, set()
        for run in runs:  # the smallest first
            held += run.audience
            if held > MOST_HELD:
                too_large.add(run.campaign_id)
            else:
                self._had[run.campaign_id] |= _had(run, messages[run.campaign_id])
        self._looked_up = [
            message
            for pk, of in messages.items()
            if kinds[pk] == Campaign.Kind.EVERGREEN or pk in too_large
            for message in of
        ]

    def count(self, people: Sequence[int]) -> None:
        """Count a part of the audience."""
        had = {pk: everybody.intersection(people) for pk, everybody in self._had.items()}
        if self._looked_up and people:
            with connection.cursor() as cursor:
                cursor.execute(_HAD_BY_PERSON, self._asked(people))
                for campaign_id, person in cursor.fetchall():
                    had.setdefault(campaign_id, set()).add(person)
        self._counts.update({pk: len(some) for pk, some in had.items()})
        self.people += len(set().union(*had.values()))

    def found(self, step: int = 1) -> list[Shared]:
        """By campaign, the most people first. `step`: one person in so many was counted."""
        return [Shared(self._campaigns[pk], n * step) for pk, n in self._counts.most_common() if n]

    def _asked(self, people: Sequence[int]) -> dict[str, object]:
        return {
            "people": arrays.literal(people),
            "since": self._since,
            "messages": self._looked_up,
            "states": [str(state) for state in MAY_HAVE_ARRIVED],
        }


def _had(run: Run, messages: Sequence[int]) -> set[int]:
    """Who may have got one of these messages in a broadcast's run."""
    first = lower_bound(run.started_at)
    values = {
        "first": first,
        "end": UUID(int=first.int + MILLISECOND_IDS),
        "run": run.pk,
        "messages": list(messages),
        "states": [str(state) for state in MAY_HAVE_ARRIVED],
    }
    with connection.cursor() as cursor:
        cursor.execute(_HAD_OF_RUN, values)
        return {row[0] for row in cursor.fetchall()}


class Others:
    """Who of an audience is in that of another broadcast of the brand, at about the same time."""

    def __init__(self, campaign: Campaign, *, now: dt.datetime) -> None:
        near = Campaign.objects.filter(
            brand=campaign.brand_id,
            kind=Campaign.Kind.BROADCAST,
            status__in=OPEN,
            starts_at__range=(now - AT_THE_SAME_TIME, now + AT_THE_SAME_TIME),
        ).exclude(pk=campaign.pk)
        self._now = now + campaign.brand.clock_shift  # the brand's clock
        self._counts = dict.fromkeys(
            near.select_related("brand").order_by("starts_at")[:MOST_OTHERS], 0
        )

    def count(self, people: Sequence[int], *, after: int, until: int) -> None:
        """Count a part of the audience: those with ids in (after, until]."""
        wanted = set(people)
        for other in self._counts:
            theirs = Run(campaign=other, brand=other.brand, cursor=after)
            while theirs.cursor < until:
                ids = planning.next_people(theirs, now=self._now)
                self._counts[other] += len(wanted.intersection(ids))
                theirs.cursor = ids[-1] if ids else until

    def found(self, step: int = 1) -> list[Shared]:
        """By campaign, the earliest start first. `step`: one person in so many was counted."""
        return [Shared(other, people * step) for other, people in self._counts.items() if people]


_PLAIN = r"lower(regexp_replace(btrim(body), '\s+', ' ', 'g'))"
_SAME_TEXT = f"""
    SELECT other.campaign_id, array_agg(other.id)
    FROM campaigns_message AS other
    JOIN campaigns_campaign AS campaign ON campaign.id = other.campaign_id
    WHERE campaign.brand_id = %(brand)s AND campaign.id <> %(campaign)s
      AND campaign.launched_at IS NOT NULL
      AND {_PLAIN} IN (SELECT {_PLAIN} FROM campaigns_message
                       WHERE campaign_id = %(campaign)s AND weight > 0)
    GROUP BY other.campaign_id"""

_HAD_OF_RUN = """
    SELECT subscriber_id FROM sending_sentlog
    WHERE id >= %(first)s AND id < %(end)s AND run_id = %(run)s
      AND message_id = ANY(%(messages)s) AND state = ANY(%(states)s)"""

_HAD_BY_PERSON = """
    SELECT DISTINCT campaign_id, subscriber_id FROM sending_sentlog
    WHERE subscriber_id = ANY(%(people)s::bigint[]) AND id >= %(since)s
      AND message_id = ANY(%(messages)s) AND state = ANY(%(states)s)"""
