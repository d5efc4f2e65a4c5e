"""Claims about the rules in force: what the database says is what is decided by."""

import csv
import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from campaigns import policy
from campaigns.eligibility import Action, Policy, Purpose, Reason, decide
from campaigns.models import BrandPolicy, Campaign, LegalWindow, PlatformPolicy
from campaigns.schedule import Span, parse_span
from subscribers.models import Brand, Workspace
from tests.campaigns import wall_clock
from tests.campaigns.people import NOW, facts

pytestmark = pytest.mark.django_db

TODAY = NOW.date()
ONE_DAY = dt.timedelta(days=1)
COLUMNS = ("weekdays", "saturday", "sunday", "public_holidays", "cap_scope", "confidence", "basis")


@pytest.fixture
def brand() -> Brand:
    workspace = Workspace.objects.create(slug="teas", name="Teas")
    return Brand.objects.create(workspace=workspace, slug="teas", name="Teas")


@pytest.fixture
def campaign(brand: Brand) -> Campaign:
    return Campaign.objects.create(brand=brand, name="Sale", status=Campaign.Status.RUNNING)


def rules(brand: Brand, campaign: Campaign | None = None, **changes: object) -> Policy:
    arguments = {"platform_remaining": 1, "today": TODAY} | changes
    return policy.build(brand, campaign, **arguments)  # type: ignore[arg-type]


def law(jurisdiction: str, effective_from: dt.date, **changes: object) -> LegalWindow:
    same = dict.fromkeys(("weekdays", "saturday", "sunday"), "09:00-20:00")
    return LegalWindow.objects.create(
        jurisdiction=jurisdiction,
        effective_from=effective_from,
        **{**same, "public_holidays": "same", "confidence": "high", "basis": "a test", **changes},
    )


def written(hours: Span | None) -> str:
    return f"{hours.opens:%H:%M}-{hours.closes:%H:%M}" if hours else "none"


@pytest.mark.parametrize("row", wall_clock.law().values(), ids=wall_clock.law())
def test_a_row_of_the_table_is_in_the_database_as_it_is_written(row: dict[str, str]) -> None:
    stored = LegalWindow.objects.get(jurisdiction=row["jurisdiction"])

    assert {column: getattr(stored, column) for column in COLUMNS} == {
        column: row[column] for column in COLUMNS
    }
    assert str(stored.cap_per_24h or "") == row["cap_per_24h"]
    assert stored.effective_from.isoformat().startswith(row["effective_from"] or "1970-01-01")


def test_the_database_holds_the_tables_rows_and_no_others() -> None:
    with policy.SEND_WINDOWS.open(newline="") as lines:
        written_down = [row["jurisdiction"] for row in csv.DictReader(lines)]

    stored = LegalWindow.objects.values_list("jurisdiction", flat=True)
    assert sorted(stored) == sorted(written_down)
    assert "DEFAULT_SAFE" in written_down


@pytest.mark.parametrize("row", wall_clock.law().values(), ids=wall_clock.law())
def test_a_row_of_the_table_binds_as_it_is_written(row: dict[str, str]) -> None:
    bound = policy.laws(TODAY)[row["jurisdiction"]]

    assert bound.hours.jurisdiction == row["jurisdiction"]
    assert written(bound.hours.weekdays) == row["weekdays"]
    assert written(bound.hours.saturday) == row["saturday"]
    assert written(bound.hours.sunday) == row["sunday"]
    assert bound.hours.holiday_same is (row["public_holidays"] == "same")
    assert bound.hours.holiday_same or written(bound.hours.holiday) == row["public_holidays"]
    assert str(bound.cap_per_24h or "") == row["cap_per_24h"]


def test_loading_the_table_again_adds_nothing() -> None:
    before = list(LegalWindow.objects.order_by("pk").values())

    assert policy.load_send_windows() == 0
    assert list(LegalWindow.objects.order_by("pk").values()) == before


def test_loading_the_table_adds_what_is_missing() -> None:
    LegalWindow.objects.filter(jurisdiction__in=["US-FL", "FR"]).delete()

    assert policy.load_send_windows() == 2
    assert policy.laws(TODAY)["US-FL"].cap_per_24h == 3


def test_what_an_operator_changed_stays_when_the_table_is_loaded_again() -> None:
    LegalWindow.objects.filter(jurisdiction="US-FL").update(weekdays="10:00-19:00", cap_per_24h=1)

    policy.load_send_windows()

    florida = policy.laws(TODAY)["US-FL"]
    assert (written(florida.hours.weekdays), florida.cap_per_24h) == ("10:00-19:00", 1)


def test_a_later_rules_hours_take_over_at_local_midnight_of_its_day() -> None:
    law("US-FL", TODAY + ONE_DAY, weekdays="10:00-18:00")
    law("US-FL", TODAY + 2 * ONE_DAY, weekdays="11:00-18:00")

    for today in (TODAY - 5 * ONE_DAY, TODAY, TODAY + 4 * ONE_DAY):
        hours = policy.laws(today)["US-FL"].hours
        days = [max(today - 2 * ONE_DAY, TODAY + number * ONE_DAY) for number in range(4)]
        right = ["08:00", "10:00", "11:00", "11:00"]
        expected = [right[max(0, min(3, (day - TODAY).days))] for day in days]
        assert [written(hours.on(day))[:5] for day in days] == expected


def test_around_the_day_of_a_new_cap_the_stricter_one_holds() -> None:
    law("US-FL", TODAY, cap_per_24h=1, cap_scope="brand")
    law("US-FL", TODAY + 10 * ONE_DAY, cap_per_24h=None)

    caps = {day: policy.laws(TODAY + day * ONE_DAY)["US-FL"].cap_per_24h for day in range(-2, 13)}

    # Somewhere it is a day earlier, elsewhere a day later than in UTC.
    assert [caps[day] for day in (-2, -1, 0, 1)] == [3, 1, 1, 1]
    assert [caps[day] for day in (9, 10, 11, 12)] == [1, 1, None, None]


def test_a_cap_by_subject_binds_all_brands_and_one_by_brand_does_not() -> None:
    bound = {name: policy.laws(TODAY)[name] for name in ("US-FL", "US-OR", "US-TX")}

    assert [(one.cap_per_24h, one.workspace_cap) for one in bound.values()] == [
        (3, 3),
        (3, None),
        (None, None),
    ]


def test_a_cap_without_a_scope_is_taken_for_the_stricter_one() -> None:
    law("US-TN", TODAY - ONE_DAY, cap_per_24h=2, cap_scope="")

    assert policy.laws(TODAY)["US-TN"].workspace_cap == 2


@pytest.mark.parametrize("zone", ["Pacific/Guam", "America/New_York", "Pacific/Honolulu"])
def test_a_new_law_binds_from_midnight_where_the_person_is(brand: Brand, zone: str) -> None:
    first = TODAY + ONE_DAY
    law("US", first, weekdays="12:00-20:00")
    midnight = dt.datetime.combine(first, dt.time(), ZoneInfo(zone))
    person = facts(zones=(zone,))

    def opens(after: dt.datetime) -> dt.datetime | None:
        found = decide(person, rules(brand, today=after.astimezone(dt.UTC).date()), after)
        return found.until.astimezone(ZoneInfo(zone)) if found.until else None

    eve = midnight - dt.timedelta(hours=23)
    assert opens(eve).hour == 9  # of the brand: the old law would begin at eight
    assert opens(midnight - dt.timedelta(hours=1)).hour == 12
    assert opens(midnight).hour == 12
    assert opens(midnight) == midnight + dt.timedelta(hours=12)


def test_the_order_in_which_rules_were_entered_does_not_matter() -> None:
    law("US-TN", TODAY - 5 * ONE_DAY, cap_per_24h=1)
    law("US-TN", TODAY - 10 * ONE_DAY, cap_per_24h=2)

    assert policy.laws(TODAY)["US-TN"].cap_per_24h == 1
    assert policy.laws(TODAY - 7 * ONE_DAY)["US-TN"].cap_per_24h == 2


def test_a_rule_binds_nobody_before_its_day() -> None:
    first = dt.date(2026, 10, 18)

    before = policy.laws(first - 4 * ONE_DAY)["US-PA"].hours
    eve, federal = first - ONE_DAY, policy.laws(first)["US"].hours
    assert before.on(eve) == federal.on(eve) == parse_span("08:00-21:00")
    assert before.on(first) is None  # a Sunday
    assert policy.laws(first + 2 * ONE_DAY)["US-PA"].hours.sunday is None


def test_a_jurisdiction_of_the_future_is_under_the_safe_default_until_then() -> None:
    law("JM", TODAY + ONE_DAY, weekdays="10:00-11:00")

    jamaica = policy.laws(TODAY)["JM"].hours

    assert written(jamaica.on(TODAY)) == "09:00-20:00"
    assert written(jamaica.on(TODAY + ONE_DAY)) == "10:00-11:00"


def test_one_jurisdiction_has_one_rule_a_day() -> None:
    law("US-TN", TODAY)

    with pytest.raises(IntegrityError), transaction.atomic():
        law("US-TN", TODAY)


@pytest.mark.parametrize("column", ["weekdays", "saturday", "sunday", "public_holidays"])
@pytest.mark.parametrize("hours", ["", "9-5", "21:00-08:00", "closed"])
def test_a_rule_that_cannot_be_read_stops_sending_and_is_not_passed_over(
    brand: Brand, column: str, hours: str
) -> None:
    LegalWindow.objects.filter(jurisdiction="US").update(**{column: hours})

    with pytest.raises(ValueError, match=rf"'{hours}'"):
        rules(brand)


def test_a_law_may_have_hours_of_its_own_on_holidays() -> None:
    law("US-TN", TODAY - 5 * ONE_DAY, public_holidays="10:00-12:00")

    tennessee = policy.laws(TODAY)["US-TN"].hours

    assert tennessee.on(dt.date(2027, 7, 5)) == parse_span("10:00-12:00")
    assert tennessee.on(dt.date(2027, 7, 6)) == parse_span("09:00-20:00")


def test_the_policy_of_a_new_brand_is_the_careful_default(brand: Brand, campaign: Campaign) -> None:
    built = rules(brand, campaign, platform_remaining=7)

    assert (built.platform_enabled, built.brand_enabled, built.campaign_running) == (True,) * 3
    assert (built.daily_limit, built.weekly_cap, built.engagement) == (4, 1, None)
    assert built.platform_remaining == 7
    assert built.purpose is Purpose.CAMPAIGN
    for number in range(7):
        assert written(built.brand_hours.on(TODAY + number * ONE_DAY)) == "09:00-20:00"
    assert written(built.brand_hours.on(dt.date(2027, 12, 25))) == "09:00-20:00"
    assert built.laws == policy.laws(TODAY)


def test_the_installations_and_a_brands_rows_are_made_once(brand: Brand) -> None:
    for _ in range(2):
        rules(brand)

    assert PlatformPolicy.objects.count() == 1
    assert BrandPolicy.objects.filter(brand=brand).count() == 1
    assert (policy.platform().daily_cap, policy.of_brand(brand).daily_limit) == (1_000_000, 4)


def test_each_switch_of_the_database_stops_the_text(brand: Brand, campaign: Campaign) -> None:
    assert decide(facts(), rules(brand, campaign), NOW).action is Action.SEND

    Campaign.objects.update(status=Campaign.Status.PAUSED)
    campaign.refresh_from_db()
    assert decide(facts(), rules(brand, campaign), NOW).reason is Reason.CAMPAIGN_PAUSED
    BrandPolicy.objects.update(sending_enabled=False)
    assert decide(facts(), rules(brand, campaign), NOW).reason is Reason.BRAND_OFF
    PlatformPolicy.objects.update(sending_enabled=False)
    assert decide(facts(), rules(brand, campaign), NOW).reason is Reason.PLATFORM_OFF


def test_one_brands_switch_stops_no_other_brand(brand: Brand) -> None:
    other = Brand.objects.create(workspace=brand.workspace, slug="mats", name="Mats")
    rules(other)

    BrandPolicy.objects.filter(brand=other).update(sending_enabled=False)

    assert rules(brand).brand_enabled
    assert not rules(other).brand_enabled


@pytest.mark.parametrize("status", Campaign.Status.values)
def test_only_a_running_campaign_sends(brand: Brand, campaign: Campaign, status: str) -> None:
    campaign.status = status

    assert rules(brand, campaign).campaign_running is (status == "running")


def test_a_text_without_a_campaign_needs_none_that_runs(brand: Brand) -> None:
    built = rules(brand, purpose=Purpose.CONFIRMATION)

    assert built.campaign_running
    assert built.weekly_cap is None
    assert built.purpose is Purpose.CONFIRMATION


def test_edited_caps_and_hours_are_decided_by(brand: Brand, campaign: Campaign) -> None:
    rules(brand)
    BrandPolicy.objects.filter(brand=brand).update(
        daily_limit=2, engagement_days=30, opens=dt.time(10, 30), closes=dt.time(18)
    )
    campaign.weekly_cap = 5

    built = rules(brand, campaign)

    assert (built.daily_limit, built.weekly_cap) == (2, 5)
    assert built.engagement == 30 * ONE_DAY
    assert written(built.brand_hours.on(TODAY)) == "10:30-18:00"


def test_edited_hours_are_decided_by_at_once(brand: Brand) -> None:
    noon, evening = NOW, NOW + dt.timedelta(hours=7)  # 12:00 and 19:00 in New York
    assert [decide(facts(), rules(brand), at).reason for at in (noon, evening)] == [Reason.OK] * 2

    LegalWindow.objects.filter(jurisdiction="US").update(weekdays="08:00-19:00")
    assert decide(facts(), rules(brand), noon).reason is Reason.OK
    assert decide(facts(), rules(brand), evening).reason is Reason.OUTSIDE_HOURS

    BrandPolicy.objects.filter(brand=brand).update(opens=dt.time(13))
    assert decide(facts(), rules(brand), noon).reason is Reason.OUTSIDE_HOURS


def test_brands_with_different_hours_are_decided_by_their_own(brand: Brand) -> None:
    late = Brand.objects.create(workspace=brand.workspace, slug="late", name="Late")
    rules(late)
    BrandPolicy.objects.filter(brand=late).update(opens=dt.time(13))

    for _ in range(2):
        assert decide(facts(), rules(brand), NOW).reason is Reason.OK
        assert decide(facts(), rules(late), NOW).reason is Reason.OUTSIDE_HOURS


def test_a_rule_of_tomorrow_changes_no_decision_of_today(brand: Brand) -> None:
    law("US", TODAY + ONE_DAY, weekdays="13:00-19:00")

    assert decide(facts(), rules(brand), NOW).reason is Reason.OK
    tomorrow = rules(brand, today=TODAY + ONE_DAY)
    assert decide(facts(), tomorrow, NOW + ONE_DAY).reason is Reason.OUTSIDE_HOURS
    assert decide(facts(), rules(brand), NOW).reason is Reason.OK


def test_an_edited_legal_cap_is_decided_by(brand: Brand) -> None:
    person = facts(brand_sent=[NOW - dt.timedelta(hours=1)])
    assert decide(person, rules(brand), NOW).reason is Reason.OK

    for cap in (1, 0):
        LegalWindow.objects.filter(jurisdiction="US").update(cap_per_24h=cap)
        assert decide(person, rules(brand), NOW).reason is Reason.LEGAL_CAP


def test_an_engagement_window_of_no_days_is_not_the_same_as_none(brand: Brand) -> None:
    rules(brand)
    BrandPolicy.objects.filter(brand=brand).update(engagement_days=0)

    assert decide(facts(), rules(brand), NOW).reason is Reason.NOT_ENGAGED


def test_a_brand_that_closes_before_it_opens_cannot_be_stored(brand: Brand) -> None:
    rules(brand)

    with pytest.raises(IntegrityError), transaction.atomic():
        BrandPolicy.objects.filter(brand=brand).update(opens=dt.time(20), closes=dt.time(9))


def test_there_is_only_one_policy_of_the_installation() -> None:
    policy.platform()

    with pytest.raises(IntegrityError), transaction.atomic():
        PlatformPolicy.objects.create(pk=2)


def test_without_a_single_law_nobody_is_texted(brand: Brand) -> None:
    LegalWindow.objects.all().delete()

    with pytest.raises(KeyError, match="DEFAULT_SAFE"):
        decide(facts(), rules(brand), NOW)


@pytest.mark.parametrize("hours", ["9-17", "21:00-08:00", "", "always"])
def test_hours_that_nobody_can_read_are_refused_when_they_are_typed(hours: str) -> None:
    row = LegalWindow(
        jurisdiction="US-XX",
        weekdays=hours,
        saturday="none",
        sunday="none",
        public_holidays="same",
        effective_from=dt.date(2026, 1, 1),
        confidence="low",
        basis="a test",
    )
    with pytest.raises(ValidationError) as refused:
        row.clean_fields()
    assert set(refused.value.message_dict) == {"weekdays"}
