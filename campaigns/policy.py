"""The rules in force: rows of the database turned into the values that `eligibility` decides by."""

import csv
import datetime as dt
from pathlib import Path

from campaigns.eligibility import Law, Policy, Purpose
from campaigns.models import BrandPolicy, Campaign, LegalWindow, PlatformPolicy
from campaigns.schedule import Hours, Span, parse_span
from subscribers.models import Brand

SEND_WINDOWS = Path(__file__).parent / "data" / "send_windows.csv"
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
    return Policy(
        platform_enabled=everywhere.sending_enabled,
        brand_enabled=own.sending_enabled,
        campaign_running=campaign is None or campaign.status == Campaign.Status.RUNNING,
        daily_limit=own.daily_limit,
        weekly_cap=campaign.weekly_cap if campaign else None,
        engagement=own.engagement_days and dt.timedelta(days=own.engagement_days),
        platform_remaining=platform_remaining,
        brand_hours=Hours("", span, span, span, None, holiday_same=True),
        laws=laws(today),
        purpose=purpose,
    )


def laws(today: dt.date) -> dict[str, Law]:
    """The law of each jurisdiction on a day: its latest row that has come into force."""
    rows = LegalWindow.objects.filter(effective_from__lte=today).order_by("effective_from")
    return {row.jurisdiction: _law(row) for row in rows}


def _law(row: LegalWindow) -> Law:
    same = row.public_holidays == "same"
    hours = Hours(
        row.jurisdiction,
        parse_span(row.weekdays),
        parse_span(row.saturday),
        parse_span(row.sunday),
        None if same else parse_span(row.public_holidays),
        holiday_same=same,
    )
    return Law(hours, row.cap_per_24h)


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
