"""The rules in force: rows of the database turned into the values that `eligibility` decides by."""

import csv
import datetime as dt
from dataclasses import dataclass, field
from pathlib import Path

from campaigns.eligibility import Law, Policy, Purpose
from campaigns.models import BrandPolicy, Campaign, LegalWindow, PlatformPolicy
from campaigns.schedule import Hours, Span, Window, parse_span
from subscribers.models import Brand

SEND_WINDOWS = Path(__file__).parent / "data" / "send_windows.csv"
MOST_BRAND_HOURS = 1000  # different opening hours whose windows are kept
MOST_PLACES = 20_000  # different places and days whose windows are kept, for each of them
EFFECTIVE_SINCE_EVER = dt.date(1970, 1, 1)


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
) -> Policy:
    """The policy for a brand's texts, of one campaign where it is given."""
    everywhere, own = platform(), of_brand(brand)
    span = Span(own.opens, own.closes)
    hours = Hours("", span, span, span, None, holiday_same=True)
    rules = _in_force(today)
    days = own.engagement_days
    return Policy(
        platform_enabled=everywhere.sending_enabled,
        brand_enabled=own.sending_enabled,
        campaign_running=campaign is None or campaign.status == Campaign.Status.RUNNING,
        daily_limit=own.daily_limit,
        weekly_cap=campaign.weekly_cap if campaign else None,
        engagement=None if days is None else dt.timedelta(days=days),
        platform_remaining=platform_remaining,
        brand_hours=hours,
        laws=rules.laws,
        purpose=purpose,
        _windows=rules.windows_of(hours),
    )


def laws(today: dt.date) -> dict[str, Law]:
    """The law of each jurisdiction on a day: its latest row that has come into force."""
    return _in_force(today).laws


@dataclass(frozen=True, slots=True)
class _Rules:
    """The law's rows as read, what they mean, and the windows worked out from them so far."""

    rows: tuple[tuple[object, ...], ...]
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
    found = LegalWindow.objects.filter(effective_from__lte=today).order_by("effective_from", "pk")
    rows = tuple(
        found.values_list(
            "jurisdiction", "weekdays", "saturday", "sunday", "public_holidays", "cap_per_24h"
        )
    )
    if _rules is None or _rules.rows != rows:
        _rules = _Rules(rows, {str(row[0]): _law(row) for row in rows})
    return _rules


def _law(row: tuple[str, str, str, str, str, int | None]) -> Law:
    jurisdiction, weekdays, saturday, sunday, holidays, cap = row
    same = holidays == "same"
    hours = Hours(
        jurisdiction,
        parse_span(weekdays),
        parse_span(saturday),
        parse_span(sunday),
        None if same else parse_span(holidays),
        holiday_same=same,
    )
    return Law(hours, cap)


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
