"""Claims about where a number's owner may be: zones and jurisdictions only ever add up."""

import csv
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phonenumbers.tzdata import TIMEZONE_DATA

from subscribers import timezones
from subscribers.management.commands import build_area_codes
from subscribers.phones import InvalidPhone, Phone, PhoneKind, parse
from subscribers.timezones import Place, UnknownTimeZone, area_codes, locate, region_zones

WINDOWS = Path(__file__).parents[2] / "campaigns" / "data" / "send_windows.csv"
EASTERN, CENTRAL, MOUNTAIN = "America/New_York", "America/Chicago", "America/Denver"
PACIFIC, ARIZONA = "America/Los_Angeles", "America/Phoenix"
TORONTO, WINNIPEG, EDMONTON = "America/Toronto", "America/Winnipeg", "America/Edmonton"
SAFE = {EASTERN, CENTRAL, MOUNTAIN, PACIFIC, ARIZONA} | {
    "America/Adak",
    "America/Anchorage",
    "Pacific/Honolulu",
}


def numbered(area_code: str) -> Phone:
    """A phone of an area code, even one that phonenumbers does not know yet."""
    return Phone(f"+1{area_code}5550123", "US", PhoneKind.MOBILE_OR_LANDLINE, area_code)


SPLIT = {
    "423 729": {EASTERN, CENTRAL},
    "850 448": {EASTERN, CENTRAL},
    "270 364 606": {EASTERN, CENTRAL},
    "219 574 812 930": {EASTERN, CENTRAL},
    "906": {EASTERN, CENTRAL},
    "334 483": {EASTERN, CENTRAL},
    "208 986": {MOUNTAIN, PACIFIC},
    "541 458": {MOUNTAIN, PACIFIC},
    "775": {MOUNTAIN, PACIFIC},
    "605 701": {CENTRAL, MOUNTAIN},
    "308 402 531": {CENTRAL, MOUNTAIN},
    "620 785": {CENTRAL, MOUNTAIN},
    "432": {CENTRAL, MOUNTAIN},
    "928": {ARIZONA, MOUNTAIN},
    "907": {"America/Anchorage", "America/Adak"},
    "250 236 257 672 778": {"America/Vancouver", "America/Dawson_Creek", EDMONTON},
    "807": {TORONTO, WINNIPEG, "America/Atikokan"},
    "418 581 367 273": {TORONTO, "America/Halifax", "America/Blanc-Sablon"},
    "709 879": {"America/St_Johns", "America/Goose_Bay"},
    "306 639 474": {"America/Regina", EDMONTON, WINNIPEG},
    "867": {"America/Whitehorse", EDMONTON, "America/Inuvik", "America/Cambridge_Bay"}
    | {"America/Rankin_Inlet", "America/Iqaluit", "America/Atikokan"},
}
WHOLE = {
    "502 859": EASTERN,
    "260 317 463 765": EASTERN,
    "865": EASTERN,
    "615 629 731 901 931": CENTRAL,
    "305 407 689 321 904": EASTERN,
    "915": MOUNTAIN,
    "480 520 602 623": ARIZONA,
    "435 801": MOUNTAIN,
    "705 249 683": TORONTO,
    "403 587 825 368 780": EDMONTON,
    "604": "America/Vancouver",
    "787 939": "America/Puerto_Rico",
    "671": "Pacific/Guam",
    "808": "Pacific/Honolulu",
}


@pytest.mark.parametrize(
    ("area_code", "zones"),
    [(code, zones) for codes, zones in SPLIT.items() for code in codes.split()],
)
def test_a_split_area_code_is_in_all_its_zones(area_code: str, zones: set[str]) -> None:
    assert set(locate(numbered(area_code)).zones) == zones


@pytest.mark.parametrize(
    ("area_code", "zone"), [(code, zone) for codes, zone in WHOLE.items() for code in codes.split()]
)
def test_an_area_code_in_one_zone_loses_no_hour_to_another(area_code: str, zone: str) -> None:
    assert locate(numbered(area_code)).zones == (zone,)


def test_a_us_number_is_under_federal_law_and_its_states() -> None:
    assert locate(parse("+13055550123")).jurisdictions == ("US", "US-FL")
    assert locate(parse("+17875550123")).jurisdictions == ("US", "US-PR")
    assert locate(parse("+19025550123")).jurisdictions == ("CA", "CA-NS", "CA-PE")
    assert locate(parse("+18765550123")).jurisdictions == ("JM",)
    assert locate(parse("+13459491234")).jurisdictions == ("KY",)


def test_what_is_known_of_the_person_is_added_to_the_number() -> None:
    jersey = parse("+12015550123")
    assert locate(jersey, timezone=PACIFIC).zones == (PACIFIC, EASTERN)
    assert locate(jersey, timezone=PACIFIC).jurisdictions == ("US", "US-NJ")
    moved = Place((CENTRAL, EASTERN), ("US", "US-FL", "US-NJ"), certain=True)
    for state in ("FL", "fl", " Florida ", "US-FL", "F.L."):
        assert locate(jersey, state=state) == moved
    assert locate(jersey, postcode="33101") == moved
    assert locate(jersey, postcode="33101-1234") == moved
    assert locate(jersey, state="Qu\u00e9bec").jurisdictions == ("CA", "CA-QC", "US", "US-NJ")
    assert locate(jersey, postcode="h2x 1y4").jurisdictions == ("CA", "CA-QC", "US", "US-NJ")


@pytest.mark.parametrize("state", ["", "XX", "AE", "Bavaria", "n/a", "--"])
def test_an_unrecognised_state_adds_nothing(state: str) -> None:
    assert locate(parse("+12015550123"), state=state) == locate(parse("+12015550123"))


@pytest.mark.parametrize("postcode", ["", "0", "1234", "SW1A 1AA", "00000", "123456", "09001"])
def test_an_unrecognised_or_military_postcode_adds_nothing(postcode: str) -> None:
    assert locate(parse("+12015550123"), postcode=postcode) == locate(parse("+12015550123"))


def test_a_postcode_on_a_border_means_both_states() -> None:
    assert locate(parse("+12085550123"), postcode="83414").jurisdictions == (
        "US",
        "US-ID",
        "US-WY",
    )


def test_states_and_postcodes_are_not_read_into_other_countries_numbers() -> None:
    perth = parse("+61861234567")
    assert locate(perth, state="WA", postcode="60000") == locate(perth)
    assert "US-WA" in locate(parse("+18765550123"), state="WA").jurisdictions
    santo_domingo = parse("+18095550123")
    assert locate(santo_domingo, postcode="10101") == locate(santo_domingo)


@pytest.mark.parametrize("raw", ["+18005550123", "+15005550123", "+19005550123", "+80012345678"])
def test_a_number_without_a_place_gets_the_safe_default(raw: str) -> None:
    place = locate(parse(raw))
    assert set(place.zones) == SAFE
    assert place.jurisdictions == ("DEFAULT_SAFE",)
    assert not place.certain


def test_an_area_code_newer_than_the_table_gets_the_safe_default_of_its_country() -> None:
    place = locate(numbered("211"))
    assert (set(place.zones), place.jurisdictions) == (SAFE, ("DEFAULT_SAFE", "US"))
    guam = Phone("+12115550123", "GU", PhoneKind.MOBILE_OR_LANDLINE, "211")
    assert set(locate(guam).zones) == SAFE | {"Pacific/Guam"}
    assert locate(guam).jurisdictions == ("DEFAULT_SAFE", "US", "US-GU")
    canadian = locate(parse("+16005550123"))
    assert {"America/St_Johns", "America/Vancouver", *SAFE} <= set(canadian.zones)
    assert canadian.jurisdictions == ("CA", "DEFAULT_SAFE")


def test_a_state_does_not_lift_the_safe_default() -> None:
    place = locate(parse("+18005550123"), state="FL")
    assert place.jurisdictions == ("DEFAULT_SAFE", "US", "US-FL")
    assert not place.certain


@pytest.mark.parametrize(
    ("raw", "zones", "jurisdictions", "certain"),
    [
        ("+41446681800", {"Europe/Zurich"}, ("CH",), True),
        ("+61861234567", {"Australia/Perth"}, ("AU",), True),
        ("+448001234567", {"Europe/London"}, ("DEFAULT_SAFE", "GB"), False),
        ("+447012345678", {"Europe/London"}, ("DEFAULT_SAFE", "GB"), False),
        ("+61412345678", {"Australia/Perth", "Australia/Sydney"}, ("AU",), True),
    ],
)
def test_other_countries_follow_phonenumbers(
    raw: str, zones: set[str], jurisdictions: tuple[str, ...], certain: bool
) -> None:
    place = locate(parse(raw))
    assert zones <= set(place.zones)
    assert (place.jurisdictions, place.certain) == (jurisdictions, certain)


def test_zones_of_other_countries_are_phonenumbers_own_for_each_ones_example_numbers() -> None:
    types = phonenumbers.PhoneNumberType
    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        for number_type in (types.MOBILE, types.FIXED_LINE, types.TOLL_FREE, types.VOIP):
            number = phonenumbers.example_number_for_type(region, number_type)
            if number is None or number.country_code == 1:
                continue
            raw = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
            expected = set(phonenumbers.timezone.time_zones_for_number(number))
            if expected != {"Etc/Unknown"}:
                assert set(locate(parse(raw)).zones) == expected, raw


@pytest.mark.parametrize("name", ["Eastern", "america", "US/", "../etc/passwd", "x" * 300, "\0"])
def test_a_zone_that_does_not_exist_is_refused_in_words(name: str) -> None:
    for raw in ("+12015550123", "+41446681800"):
        with pytest.raises(UnknownTimeZone, match="is not a time zone: use an IANA name"):
            locate(parse(raw), timezone=name)


def test_every_zone_in_the_tables_exists() -> None:
    names = {zone for row in area_codes().values() for zone in row.zones}
    names |= {zone for zones in region_zones().values() for zone in zones}
    names |= {zone for zones in TIMEZONE_DATA.values() for zone in zones}
    for name in names:
        ZoneInfo(name)


def test_every_state_and_province_has_an_area_code_and_a_zone() -> None:
    covered = {region for row in area_codes().values() for region in row.regions}
    assert covered == region_zones().keys()
    assert len([code for code in covered if code.startswith("US-")]) == 50 + 1 + 5


def test_every_state_with_a_sending_window_is_reached_from_an_area_code() -> None:
    with WINDOWS.open(encoding="utf-8", newline="") as lines:
        wanted = {row["jurisdiction"] for row in csv.DictReader(lines)}
    reached = {code for each in area_codes() for code in locate(numbered(each)).jurisdictions}
    assert {code for code in wanted if code.startswith(("US", "CA"))} <= reached


def test_an_area_code_is_in_no_zone_that_its_state_is_not_in() -> None:
    by_custom = {"334", "483"}  # Phenix City, Alabama, keeps Georgia's time
    for code, row in area_codes().items():
        if row.regions and code not in by_custom:
            assert row.zones <= timezones.unite(row.regions), code


def test_an_overlay_is_in_the_state_of_what_it_overlays_and_in_all_its_zones() -> None:
    for code, row in build_area_codes.read_supplement().items():
        for base in row.bases:
            assert area_codes()[code].zones >= area_codes()[base].zones, code
            assert area_codes()[code].regions == area_codes()[base].regions, code


def test_every_code_that_phonenumbers_accepts_is_in_the_table() -> None:
    for number in range(200, 1000):
        try:
            phone = parse(f"+1{number}2345678")
        except InvalidPhone:
            continue
        if phone.country and phone.kind is PhoneKind.MOBILE_OR_LANDLINE:
            assert locate(phone).certain, number


def test_zones_given_one_name_by_the_table_keep_one_clock() -> None:
    for name, same in build_area_codes.SAME_CLOCK.items():
        for day in range(0, 5 * 365, 7):
            moment = datetime(2026, 1, 1, 12, tzinfo=UTC) + timedelta(days=day)
            offsets = {moment.astimezone(ZoneInfo(each)).utcoffset() for each in (name, same)}
            assert len(offsets) == 1, (name, moment)


def test_the_table_of_area_codes_is_what_its_sources_give() -> None:
    built = build_area_codes.render(build_area_codes.read_supplement())
    current = build_area_codes.AREA_CODES.read_text(encoding="utf-8")
    assert list(build_area_codes.differences(current, built)) == []
    assert built == current


def test_the_diff_summary_names_each_area_code_that_came_went_or_changed() -> None:
    head = "area_code,country,regions,zones,family,source\n"
    row = "{},US,US-TN,{},,\n"
    old = head + row.format("423", CENTRAL) + row.format("615", CENTRAL)
    new = head + row.format("423", f"{CENTRAL} {EASTERN}") + row.format("729", CENTRAL)
    assert list(build_area_codes.differences(old, new)) == [
        f"~ 423 US-TN: {CENTRAL} -> US-TN: {CENTRAL} {EASTERN}",
        f"- 615 US-TN: {CENTRAL}",
        f"+ 729 US-TN: {CENTRAL}",
    ]


def _phone_or_none(raw: str) -> Phone | None:
    try:
        return parse(raw)
    except InvalidPhone:
        return None


phones_of_the_world = (
    (
        st.from_regex(r"\+1[2-9][0-9]{2}[2-9][0-9]{6}", fullmatch=True)
        | st.from_regex(r"\+[1-9][0-9]{6,13}", fullmatch=True)
    )
    .map(_phone_or_none)
    .filter(lambda phone: phone is not None)
)
zone_names = st.sampled_from(["", EASTERN, "America/Boise", "Europe/London", "Etc/GMT+5"])
states = st.sampled_from(["", "FL", "Texas", "PR", "QC", "junk"]) | st.text(max_size=12)
postcodes = st.from_regex(r"|[0-9]{5}|[A-Z][0-9][A-Z] ?[0-9][A-Z][0-9]", fullmatch=True)


@settings(max_examples=300)
@given(phones_of_the_world, zone_names, states, postcodes)
def test_knowing_more_never_takes_a_zone_or_a_jurisdiction_away(
    phone: Phone, zone: str, state: str, postcode: str
) -> None:
    everything = locate(phone, timezone=zone, state=state, postcode=postcode)
    assert everything.zones
    assert everything.jurisdictions
    assert everything.certain or "DEFAULT_SAFE" in everything.jurisdictions
    assert list(everything.zones) == sorted(set(everything.zones))
    assert list(everything.jurisdictions) == sorted(set(everything.jurisdictions))
    parts = (
        locate(phone),
        locate(phone, timezone=zone),
        locate(phone, state=state),
        locate(phone, postcode=postcode),
    )
    assert set(everything.zones) == {each for part in parts for each in part.zones}
    assert set(everything.jurisdictions) == {each for part in parts for each in part.jurisdictions}
    assert {part.certain for part in parts} == {everything.certain}


@pytest.mark.parametrize(
    ("codes", "zones"),
    [
        ("270 364 423 448 606 850 812 930 219 574 906 334", "America/Chicago America/New_York"),
        ("605 701 308 402 432 620 785", "America/Chicago America/Denver"),
        ("208 986 541 458 775", "America/Denver America/Los_Angeles"),
        ("928", "America/Denver America/Phoenix"),
        ("907", "America/Adak America/Anchorage"),
        ("615 931", "America/Chicago"),
        ("865 386 989", "America/New_York"),
        ("915 406", "America/Denver"),
    ],
)
def test_area_codes_on_a_border_of_zones_are_in_both(codes: str, zones: str) -> None:
    """From the counties on each side, not from libphonenumber."""
    found = {code: " ".join(locate(parse(f"+1{code}5550123")).zones) for code in codes.split()}

    assert found == dict.fromkeys(codes.split(), zones)
