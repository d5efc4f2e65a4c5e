"""Why somebody does or does not get a campaign: every rule with what it looks at, and what was decided.

The rules are walked as `eligibility.decide` walks them, over the facts that planning gathers.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from campaigns import policy
from campaigns.eligibility import WEEK, Decision, Facts, Policy, Step, walk
from campaigns.models import BrandPolicy, Campaign
from campaigns.schedule import Window, windows
from sending import facts, funnel
from sending.identity import lower_bound, moment_of
from sending.models import MAY_HAVE_ARRIVED, DailyTotal, QueuedText, SentLog
from subscribers import clock, phones
from subscribers.models import Brand, ConsentEvent, Subscriber, Subscription, Suppression

MOST_TEXTS = 50  # of a person that are shown
MOST_EVENTS = 20


class NotFound(LookupError):
    """The number is nobody's here; the message says so and masks it."""


@dataclass(frozen=True, slots=True)
class Earlier:
    """What was decided about the person in an earlier run, and what became of the text."""

    planned_at: dt.datetime
    state: str  # as people read it
    why: str  # in words, '' where nothing is to be said
    sent_at: dt.datetime | None
    changed_at: dt.datetime
    due_at: dt.datetime | None  # while it is in the queue


@dataclass(frozen=True, slots=True)
class Counted:
    """A text that counts for a cap."""

    campaign: str
    campaign_id: int | None
    brand_id: int
    at: dt.datetime
    state: str


@dataclass(frozen=True, slots=True)
class Zone:
    """Where the person may be. `today`: what the rules allow there, the current or the next window."""

    name: str
    local: dt.datetime | None  # the brand's clock there; None: no such zone
    window: Window | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything that is known about one person and one campaign. Instants are the brand's clock,
    except those of `earlier`, `consents` and `suppressions`, which are real time.
    """

    campaign: Campaign
    person: Subscriber
    now: dt.datetime
    policy: Policy
    brand_policy: BrandPolicy
    facts: Facts
    steps: Sequence[Step]
    subscription: Subscription | None
    consents: Sequence[ConsentEvent]
    suppressions: Sequence[Suppression]
    counted: Sequence[Counted]  # of the last 7 days, the newest first
    zones: Sequence[Zone]
    common: Window | None  # the current or next window that every zone allows
    earlier: Sequence[Earlier]
    untold: str  # why there is no earlier decision, '' where there is one

    @property
    def decision(self) -> Decision:
        """What would be decided now."""
        return next(step.decision for step in self.steps if step.decision)


def find(campaign: Campaign, number: str) -> Subscriber:
    """The subscriber of the campaign's workspace with this number, in any usual writing.

    Raises NotFound: of another workspace's people nothing is said.
    """
    workspace = campaign.brand.workspace
    try:
        phone = phones.parse(number).e164
    except phones.InvalidPhone as error:
        raise NotFound(str(error)) from None
    person = Subscriber.objects.filter(workspace=workspace, phone=phone).first()
    if person is None:
        raise NotFound(f"This number is no subscriber of {workspace}: {phones.mask(phone)}.")
    return person


def explain(person: Subscriber, campaign: Campaign) -> Explanation:
    """Walk the rules for a person and a campaign of the same workspace, now."""
    real = clock.now()
    brand = campaign.brand
    now = real + brand.clock_shift
    rules = policy.build(brand, campaign, platform_remaining=_remaining(real), today=real.date())
    known = facts.gather(brand, [person.pk], now=real, campaigns=[campaign])[person.pk]
    hers = known.for_campaign(campaign.pk)
    earlier = _earlier(person, campaign)
    zones = [_zone(zone, hers, rules, now) for zone in hers.zones]
    events = ConsentEvent.objects.filter(subscriber=person).select_related("brand")
    no = Suppression.objects.filter(phone_hash=person.phone_hash, workspace=person.workspace_id)
    return Explanation(
        campaign,
        person,
        now,
        rules,
        policy.of_brand(brand),
        hers,
        walk(hers, rules, now),
        Subscription.objects.filter(subscriber=person, brand=brand).first(),
        [one for one in events.order_by("-occurred_at")[:MOST_EVENTS] if _concerns(one, brand)],
        [one for one in no.select_related("brand") if _concerns(one, brand)],
        _counted(person, real, brand.clock_shift),
        zones,
        _current(rules.windows_for(hers, now), now) if all(zone.local for zone in zones) else None,
        earlier,
        "" if earlier else _why_untold(person, campaign),
    )


def _concerns(row: ConsentEvent | Suppression, brand: Brand) -> bool:
    return row.brand_id in (None, brand.pk)


def _remaining(now: dt.datetime) -> int:
    """Texts that the installation may still send today."""
    total = DailyTotal.objects.filter(day=now.date()).first()
    return policy.platform().daily_cap - (total.sent if total else 0)


def _zone(name: str, known: Facts, rules: Policy, now: dt.datetime) -> Zone:
    hours = [rules.brand_hours, *(law.hours for law in rules.laws_for(known.jurisdictions))]
    try:
        there = windows((name,), hours, start=now)
        return Zone(name, local(now, name), _current(there, now))
    except (KeyError, ValueError):  # no zone of this name
        return Zone(name, None, None)


def _current(open_at: Sequence[Window], now: dt.datetime) -> Window | None:
    return next((window for window in open_at if window.end > now), None)


def local(moment: dt.datetime, zone: str) -> dt.datetime:
    """A moment as clocks in the zone show it. Raises KeyError or ValueError for none."""
    return moment.astimezone(ZoneInfo(zone))


def _counted(person: Subscriber, now: dt.datetime, shift: dt.timedelta) -> list[Counted]:
    """The person's texts of the last week that count for caps."""
    rows = SentLog.objects.filter(
        subscriber=person,
        id__gte=lower_bound(now - WEEK - facts.LOOK_BACK),
        sent_at__gt=now - WEEK,
        state__in=MAY_HAVE_ARRIVED,
        purpose="campaign",
    ).select_related("campaign")
    return [
        Counted(
            row.campaign.name if row.campaign else "",
            row.campaign_id,
            row.brand_id,
            row.sent_at + shift,
            row.get_state_display(),
        )
        for row in rows.order_by("-id")[:MOST_TEXTS]
    ]


def _earlier(person: Subscriber, campaign: Campaign) -> list[Earlier]:
    """What the log says of this person in this campaign, the newest first."""
    rows = list(
        SentLog.objects.filter(subscriber=person, campaign=campaign).order_by("-id")[:MOST_TEXTS]
    )
    due = dict(
        QueuedText.objects.filter(id__in=[row.id for row in rows]).values_list("id", "due_at")
    )
    return [
        Earlier(
            moment_of(row.id),
            row.get_state_display(),
            funnel.words(row.reason) if row.reason else "",
            row.sent_at,
            row.changed_at,
            due.get(row.id),
        )
        for row in rows
    ]


def _why_untold(person: Subscriber, campaign: Campaign) -> str:
    """Why the log has nothing of this person."""
    if campaign.kind == Campaign.Kind.EVERGREEN:
        return "No message of this campaign has been drawn for this person yet."
    run = campaign.runs.first()
    if run is None:
        return "Nothing has been decided yet: the campaign has not begun."
    if run.planned_at is None and person.pk > run.cursor:
        return "Nothing has been decided yet: the campaign is being planned, others come first."
    return "The person was not in the campaign's audience when it was planned."
