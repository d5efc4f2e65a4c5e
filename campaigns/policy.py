"""The rules in force: rows of the database turned into the values that `eligibility` decides by."""

import csv
import datetime as dt
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from campaigns.eligibility import Law, Policy, Purpose
from campaigns.models import BrandPolicy, Campaign, LegalWindow, PlatformPolicy
from campaigns.schedule import AnyHours, ChangingHours, Hours, Span, Window, parse_span
from subscribers.models import Brand

SEND_WINDOWS = Path(__file__).parent / "data" / "send_windows.csv"
MOST_BRAND_HOURS = 1000  # different opening hours whose windows are kept
MOST_PLACES = 20_000  # different places and days whose windows are kept, for each of them
EFFECTIVE_SINCE_EVER = dt.date(1970, 1, 1)
ONE_DAY = dt.timedelta(days=1)
DEFAULT_SAFE = "DEFAULT_SAFE"
# A cap of any other scope, or of none, counts the texts of the whole workspace: that is stricter.
PER_BRAND = LegalWindow.CapScope.BRAND


def platform() -> PlatformPolicy:
    """The installation's one row, made with its defaults where it is missing."""
    return PlatformPolicy.objects.get_or_create(pk=1)[0]


def of_brand(brand: Brand) -> BrandPolicy:
    """The brand's row, made with its defaults where it is missing."""
    return BrandPolicy.objects.get_or_create(brand=brand)[0]


def build(
    brand: Brand,
    campaign: Campaign | None,
    *,
    platform_remaining: int,
    today: dt.date,
    purpose: Purpose = Purpose.CAMPAIGN,
    own: BrandPolicy | None = None,
) -> Policy:
    """The policy for a brand's texts, of one campaign where it is given.

    `own`: the brand's row, where it was read already.
    """
    known = {brand.pk: own} if own else {}
    in_force = read([brand], today=today, own=known)
    return in_force.policy(brand, campaign, platform_remaining=platform_remaining, purpose=purpose)


def read(
    brands: Collection[Brand], *, today: dt.date, own: Mapping[int, BrandPolicy] | None = None
) -> "InForce":
    """What is in force for brands: three queries, whatever their number.

    `own`: rows of brands that were read already, by brand.
    """
    rows = dict(own or {})
    missing = [brand for brand in brands if brand.pk not in rows]
    rows |= {row.brand_id: row for row in BrandPolicy.objects.filter(brand__in=missing)}
    rows |= {brand.pk: of_brand(brand) for brand in brands if brand.pk not in rows}
    return InForce(platform(), rows, _in_force(today))


@dataclass(frozen=True, slots=True)
class InForce:
    """The rules of some brands at one moment."""

    everywhere: PlatformPolicy
    own: Mapping[int, BrandPolicy]  # by brand
    rules: "_Rules"

    def policy(
        self,
        brand: Brand,
        campaign: Campaign | None,
        *,
        platform_remaining: int,
        purpose: Purpose = Purpose.CAMPAIGN,
    ) -> Policy:
        """The policy for texts of one of them, of one campaign where it is given."""
        own = self.own[brand.pk]
        span = Span(own.opens, own.closes)
        hours = Hours("", span, span, span, None, holiday_same=True)
        days = own.engagement_days
        return Policy(
            platform_enabled=self.everywhere.sending_enabled,
            brand_enabled=own.sending_enabled,
            campaign_running=campaign is None or campaign.status == Campaign.Status.RUNNING,
            daily_limit=own.daily_limit,
            weekly_cap=campaign.weekly_cap if campaign else None,
            engagement=None if days is None else dt.timedelta(days=days),
            platform_remaining=platform_remaining,
            brand_hours=hours,
            laws=self.rules.laws,
            purpose=purpose,
            _windows=self.rules.windows_of(hours),
        )


def laws(today: dt.date) -> dict[str, Law]:
    """The law of each jurisdiction around a day (UTC), as far as rows tell of it.

    A row comes into force at midnight of its date wherever the person is: hours are looked up by
    the local day, and on days on which it may be either side of midnight the stricter cap holds.
    Before its first row a region is under its country's law, and a country under the safe default.
    """
    return _in_force(today).laws


@dataclass(frozen=True, slots=True)
class _Rules:
    """The law's rows as read, what they mean, and the windows worked out from them so far."""

    rows: tuple[tuple[object, ...], ...]
    today: dt.date
    laws: dict[str, Law]
    windows: dict[object, dict[object, tuple[Window, ...]]] = field(default_factory=dict)

    def windows_of(self, hours: Hours) -> dict[object, tuple[Window, ...]]:
        """The memory for one brand's hours. It starts anew when it has grown large."""
        if len(self.windows) > MOST_BRAND_HOURS:
            self.windows.clear()
        memory = self.windows.setdefault(hours, {})
        if len(memory) > MOST_PLACES:
            memory.clear()
        return memory


_rules: _Rules | None = None


def _in_force(today: dt.date) -> _Rules:
    """Read the rows every time, so that an edit counts at once; parse them only when they changed.

    Working out windows costs a hundred times more than reading forty rows.
    """
    global _rules  # noqa: PLW0603 - one memory a process
    rows = tuple(
        LegalWindow.objects.order_by("effective_from", "pk").values_list(
            "effective_from",
            *("jurisdiction", "weekdays", "saturday", "sunday", "public_holidays"),
            *("cap_per_24h", "cap_scope"),
        )
    )
    if _rules is None or _rules.rows != rows or _rules.today != today:
        _rules = _Rules(rows, today, _read(rows, today))
    return _rules


@dataclass(frozen=True, slots=True)
class _Step:
    """One row: what a jurisdiction demands from a local day on."""

    since: dt.date
    hours: Hours
    cap: int | None
    scope: str


def _read(rows: tuple[tuple[Any, ...], ...], today: dt.date) -> dict[str, Law]:
    """What the rows mean around a day: the steps of each jurisdiction that may still matter."""
    written: dict[str, list[_Step]] = {}
    for since, jurisdiction, *columns, cap, scope in rows:
        step = _Step(since, _hours(jurisdiction, *columns), cap, scope)
        written.setdefault(jurisdiction, []).append(step)
    laws = {}
    for jurisdiction in written:
        steps = _steps(jurisdiction, written)
        # Windows are worked out from the local day before; it is yesterday where it is latest.
        past = [step for step in steps if step.since <= today - 2 * ONE_DAY][-1:]
        steps = past + [step for step in steps if step.since > today - 2 * ONE_DAY]
        if steps[0].since <= today + ONE_DAY:
            laws[jurisdiction] = _law(steps, today)
    return laws


def _steps(jurisdiction: str, written: dict[str, list[_Step]]) -> list[_Step]:
    """A jurisdiction's rows, and before its first one those of what it falls under."""
    own = written.get(jurisdiction, [])
    if jurisdiction == DEFAULT_SAFE:
        return own
    above = jurisdiction.partition("-")[0] if "-" in jurisdiction else DEFAULT_SAFE
    first = own[0].since if own else dt.date.max
    return [step for step in _steps(above, written) if step.since < first] + own


def _law(steps: list[_Step], today: dt.date) -> Law:
    hours: AnyHours = steps[0].hours
    if len(steps) > 1:
        hours = ChangingHours(tuple((step.since, step.hours) for step in steps))
    # Somewhere it is yesterday or tomorrow: all that may be in force, and the strictest of it.
    bound = [
        step
        for step, later in pairwise([*steps, None])
        if step.since <= today + ONE_DAY and (later is None or later.since > today - ONE_DAY)
    ]
    caps = [step.cap for step in bound if step.cap is not None]
    shared = [one.cap for one in bound if one.cap is not None and one.scope != PER_BRAND]
    return Law(hours, min(caps, default=None), min(shared, default=None))


def _hours(
    jurisdiction: str, weekdays: str, saturday: str, sunday: str, public_holidays: str
) -> Hours:
    same = public_holidays == "same"
    return Hours(
        jurisdiction,
        parse_span(weekdays),
        parse_span(saturday),
        parse_span(sunday),
        None if same else parse_span(public_holidays),
        holiday_same=same,
    )


def load_send_windows(model: type[LegalWindow] = LegalWindow, path: Path = SEND_WINDOWS) -> int:
    """Add the rows of send_windows.csv that the database lacks; answers how many.

    A row that an operator edited stays as it is. Dates may be a year, a day or empty (since ever).
    """
    with path.open(newline="") as lines:
        rows = [_row(model, line) for line in csv.DictReader(lines)]
    before = model.objects.count()
    model.objects.bulk_create(rows, ignore_conflicts=True)
    return model.objects.count() - before


def _row(model: type[LegalWindow], line: dict[str, str]) -> LegalWindow:
    return model(
        jurisdiction=line["jurisdiction"],
        weekdays=line["weekdays"],
        saturday=line["saturday"],
        sunday=line["sunday"],
        public_holidays=line["public_holidays"],
        cap_per_24h=int(line["cap_per_24h"]) if line["cap_per_24h"] else None,
        cap_scope=line["cap_scope"],
        effective_from=_effective(line["effective_from"]),
        confidence=line["confidence"],
        basis=line["basis"],
    )


def _effective(text: str) -> dt.date:
    if not text:
        return EFFECTIVE_SINCE_EVER
    return dt.date(int(text), 1, 1) if len(text) == 4 else dt.date.fromisoformat(text)
