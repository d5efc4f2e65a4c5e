"""What a decision needs to know of many people: three queries, whatever their number.

Campaigns with a segment or exclusions need a handful more (`campaigns.audience`).
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from django.db import connection

from campaigns import audience
from campaigns.eligibility import DAY, WEEK, Facts
from campaigns.models import LONGEST_LIFETIME, SLOWEST_PLANNING, Campaign
from sending import arrays
from sending.identity import lower_bound
from sending.models import MAY_HAVE_ARRIVED
from subscribers.models import Brand

# A text is sent within this long of being planned, also when it is queued again; and it is planned
# within a day of its id's time, except by the runs that `_slow` knows.
LONGEST_WAIT = LONGEST_LIFETIME
LOOK_BACK = SLOWEST_PLANNING + LONGEST_WAIT

# The brand of a text that a person had, its campaign where that is asked for, and when.
_Had = tuple[int, int | None, dt.datetime]
_NOTHING: Mapping[int, list[dt.datetime]] = {}
_NOWHERE: dict[int, bool | None] = {}


@dataclass(slots=True)
class Person:
    """A subscriber as the planner and the gate see one. (A frozen one takes thrice as long to make.)"""

    subscriber_id: int
    phone: str
    fields: dict[str, str]  # what a message may mention
    facts: Facts  # without the campaign's texts: see `for_campaign`. People who are alike share it
    by_campaign: Mapping[int, list[dt.datetime]] = field(default_factory=lambda: _NOTHING)
    departing: tuple[tuple[int | None, dt.datetime], ...] = ()
    # Campaigns that are not for this person: False, or None where that could not be found out.
    outside: dict[int, bool | None] = field(default_factory=lambda: _NOWHERE)
    language: str = ""  # as the source of the person's traits wrote it; '' where it said nothing

    def for_campaign(self, campaign_id: int | None) -> Facts:
        """The facts with this campaign's texts of the last 7 days, and whether it is for them."""
        known = self.facts
        if campaign_id in self.outside:
            known = replace(known, in_segment=self.outside[campaign_id])
        if not self.by_campaign and not self.departing:
            return known
        sent = self.by_campaign.get(campaign_id, []) if campaign_id else []
        return replace(
            known,
            brand_sent=[*self.facts.brand_sent, *(moment for _, moment in self.departing)],
            campaign_sent=[*sent, *(at for of, at in self.departing if of == campaign_id)],
        )

    def count(self, campaign_id: int | None, moment: dt.datetime) -> None:
        """Note a text that is about to depart, so that the next decision counts it."""
        self.departing = (*self.departing, (campaign_id, moment))


def gather(
    brand: Brand,
    subscriber_ids: Collection[int],
    *,
    now: dt.datetime,
    campaigns: Collection[Campaign] = (),
) -> dict[int, Person]:
    """Everybody's facts by subscriber id, with what they had of these campaigns in the last 7 days.

    `now`: the database's clock; facts tell the brand's.
    """
    return gather_of([(brand, subscriber_ids)], now=now, campaigns=campaigns)[brand.pk]


def gather_of(
    wanted: Sequence[tuple[Brand, Collection[int]]],
    *,
    now: dt.datetime,
    campaigns: Collection[Campaign] = (),
) -> dict[int, dict[int, Person]]:
    """The same for people of several brands, by brand, in as many queries as for one.

    The brands are all sandboxes or none is: a person's sandbox texts count for sandboxes alone.
    """
    brands = {brand.pk: brand for brand, _ in wanted}
    pairs = [(pk, brand.pk) for brand, ids in wanted for pk in sorted(set(ids))]
    ids = arrays.literal(pk for pk, _ in pairs)
    sent = _sent(brands.values(), sorted({pk for pk, _ in pairs}), campaigns, now)
    with connection.cursor() as cursor:
        if len(brands) == 1:
            cursor.execute(_OF_ONE_BRAND, {"brand": pairs[0][1] if pairs else None, "ids": ids})
        else:
            of = arrays.literal(of for _, of in pairs)
            cursor.execute(_OF_BRANDS, {"brands": of, "ids": ids})
        rows = cursor.fetchall()
    alike: dict[tuple, Facts] = {}
    people: dict[int, dict[int, Person]] = {pk: {} for pk in brands}
    for row in rows:
        brand_id, pk, phone, first_name, last_name, name, language = row[:7]
        known = alike.get(row[7:])
        if known is None:
            known = alike[row[7:]] = _facts(row[7:])
        fields = {
            "first_name": first_name,
            "last_name": last_name,
            "name": name,
            "brand": brands[brand_id].name,
        }
        person = people[brand_id][pk] = Person(pk, phone, fields, known, language=language)
        if pk in sent:
            _tell(person, sent[pk], brands[brand_id])
    _tell_audiences(brands.values(), people, campaigns, now)
    return people


def _tell_audiences(
    brands: Collection[Brand],
    people: Mapping[int, dict[int, Person]],
    campaigns: Collection[Campaign],
    now: dt.datetime,
) -> None:
    """Add for which of these campaigns a person is not."""
    filters = audience.filters([campaign.pk for campaign in campaigns]) if campaigns else {}
    for brand in brands if filters else ():
        own = {c.pk: filters[c.pk] for c in campaigns if c.brand_id == brand.pk and c.pk in filters}
        known = people[brand.pk]
        inside = audience.membership(brand, own, known, now=now + brand.clock_shift)
        for campaign_id, members in inside.items():
            for pk in known if members is None else known.keys() - members:
                answer = None if members is None else False
                known[pk].outside = {**known[pk].outside, campaign_id: answer}


def _facts(told: tuple) -> Facts:
    """Facts of somebody who had no text lately. Places come with commas between them."""
    status, has_evidence, suppressed, kind, zones, jurisdictions, engaged = told
    return Facts(
        subscription=status,
        has_evidence=has_evidence,
        suppressed=suppressed,
        number_kind=kind,
        zones=tuple(zones.split(",")) if zones else (),
        jurisdictions=tuple(jurisdictions.split(",")) if jurisdictions else (),
        last_engagement=engaged,
    )


def _tell(person: Person, sent: Collection[_Had], brand: Brand) -> None:
    """Add what the person had lately, on the brand's clock."""
    brand_sent: list[dt.datetime] = []
    others_sent: list[dt.datetime] = []
    by_campaign: dict[int, list[dt.datetime]] = {}
    for brand_id, campaign_id, moment in sent:
        if campaign_id is None:
            of = brand_sent if brand_id == brand.pk else others_sent
        elif brand_id == brand.pk:
            of = by_campaign.setdefault(campaign_id, [])
        else:
            continue
        of.append(moment + brand.clock_shift)
    person.facts = replace(person.facts, brand_sent=brand_sent, others_sent=others_sent)
    person.by_campaign = by_campaign


def _sent(
    brands: Collection[Brand],
    subscriber_ids: Collection[int],
    campaigns: Collection[Campaign],
    now: dt.datetime,
) -> dict[int, list[_Had]]:
    """By subscriber: (brand, None, instant) of the last day's texts of each brand of the workspace,
    (brand, campaign, instant) of the campaigns' last week."""
    sandbox, *mixed = {brand.sandbox for brand in brands}
    if mixed:
        raise ValueError("Facts of sandbox brands and of others are gathered apart.")
    workspaces = sorted({brand.workspace_id for brand in brands})
    slow = _slow(workspaces, now, sandbox=sandbox)
    since = min(now - DAY - LOOK_BACK, slow)
    if campaigns:
        since = min(since, _since(campaigns, min(now - WEEK - LOOK_BACK, slow)))
    values = {
        "ids": arrays.literal(subscriber_ids),
        "workspaces": workspaces,
        "sandbox": sandbox,
        "day": now - DAY,
        "campaigns": [campaign.pk for campaign in campaigns],
        "week": now - WEEK,
        "first": lower_bound(since),
        "end": lower_bound(now + DAY),
        "states": [str(state) for state in MAY_HAVE_ARRIVED],
    }
    found: dict[int, list[_Had]] = defaultdict(list)
    with connection.cursor() as cursor:
        cursor.execute(_SENT, values)
        for subscriber_id, brand_id, today, campaign_id, moment in cursor.fetchall():
            if today:
                found[subscriber_id].append((brand_id, None, moment))
            if campaign_id:
                found[subscriber_id].append((brand_id, campaign_id, moment))
    return found


def _since(campaigns: Collection[Campaign], week: dt.datetime) -> dt.datetime:
    """The least time of an id that a text of these campaigns may have and count: `week`, but none is
    older than its launch. So a broadcast, which nobody has had before, reads nobody's week.
    """
    launches = [campaign.launched_at or week for campaign in campaigns]
    return max(week, min(launches, default=week))


def _slow(workspaces: Collection[int], now: dt.datetime, *, sandbox: bool) -> dt.datetime:
    """The start of the workspaces' oldest run whose texts may count though their ids are older than
    `LOOK_BACK` allows for: it was paused while it was planned. `now` where there is none.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            _SLOW, [SLOWEST_PLANNING, now - WEEK - LONGEST_WAIT, list(workspaces), sandbox]
        )
        return cursor.fetchone()[0] or now


# Places as words: an array is slower to read, and most people's are the same.
_PERSON = """
    SELECT {brand}, person.id, person.phone, person.first_name, person.last_name, person.name,
        coalesce(person.traits ->> 'language', ''),
        subscription.status, subscription.opted_in_at IS NOT NULL,
        EXISTS (SELECT FROM subscribers_suppression AS no WHERE no.phone_hash = person.phone_hash
                AND (no.brand_id IS NULL OR no.brand_id = {brand})),
        person.number_kind, array_to_string(person.zones, ','),
        array_to_string(person.jurisdictions, ','), person.last_engagement"""
# The ids a second time, or every subscription of the brand is read.
_OF_ONE_BRAND = f"""{_PERSON.format(brand="%(brand)s")}
    FROM subscribers_subscriber AS person
    LEFT JOIN subscribers_subscription AS subscription
        ON subscription.subscriber_id = person.id AND subscription.brand_id = %(brand)s
        AND subscription.subscriber_id = ANY(%(ids)s::bigint[])
    WHERE person.id = ANY(%(ids)s::bigint[])"""
# Of one brand this would take thrice as long: PostgreSQL looks up each person alone.
_OF_BRANDS = f"""{_PERSON.format(brand="wanted.brand_id")}
    FROM unnest(%(ids)s::bigint[], %(brands)s::bigint[]) AS wanted(id, brand_id)
    JOIN subscribers_subscriber AS person ON person.id = wanted.id
    LEFT JOIN subscribers_subscription AS subscription
        ON subscription.subscriber_id = person.id AND subscription.brand_id = wanted.brand_id"""

# By the index of `Run.Meta`, whose condition this repeats.
_SLOW = """
    SELECT min(run.started_at) FROM campaigns_run AS run
    WHERE (run.planned_at IS NULL OR run.planned_at - run.started_at > %s)
      AND coalesce(run.planned_at, run.finished_at, 'infinity') > %s
      AND run.brand_id IN (SELECT id FROM subscribers_brand
                           WHERE workspace_id = ANY(%s) AND sandbox = %s)"""

# Confirmations and tests are outside the caps: campaigns' texts count, and answers that a person
# wrote. A sandbox brand's texts reach nobody: they count for sandbox brands alone. Whose a text is,
# whether it counts for the day, and of which of the campaigns it counts for the week. Person by
# person: PostgreSQL weighs `= ANY` by each id in each partition, and then would rather read all of a
# month of 200,000 texts than look 500 times.
_SENT = """
    SELECT asked.id, text.brand_id, text.today,
        CASE WHEN text.this_week THEN text.campaign_id END, text.sent_at
    FROM unnest(%(ids)s::bigint[]) AS asked(id), LATERAL (
        SELECT brand_id, campaign_id, sent_at,
            sent_at > %(day)s AND purpose IN ('campaign', 'answer')
                AND brand_id = ANY(ARRAY(
                    SELECT id FROM subscribers_brand
                    WHERE workspace_id = ANY(%(workspaces)s) AND sandbox = %(sandbox)s)) AS today,
            purpose = 'campaign' AND campaign_id = ANY(%(campaigns)s::bigint[]) AS this_week
        FROM sending_sentlog
        WHERE subscriber_id = asked.id AND id >= %(first)s AND id < %(end)s
          AND sent_at > %(week)s AND state = ANY(%(states)s)
        OFFSET 0) AS text
    WHERE text.today OR text.this_week ORDER BY text.sent_at"""
