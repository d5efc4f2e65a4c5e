"""Where a phone number's owner may be: the set of time zones and of jurisdictions.

A mobile number keeps its area code when its owner moves, and an area code may cover two zones. So a
place is a union: of the number's area code and what it overlays, and of all that is known of the
person. A text is allowed only when it is allowed in every zone and every jurisdiction of the set;
knowing more therefore adds, and never replaces.

The tables are in `data/`: `area_codes.csv` (built by `manage.py build_area_codes` from
libphonenumber's data and the reviewed `area_code_supplement.csv`), `region_zones.csv` and
`zip_prefixes.csv`. No database and no Django: this runs once per row of a bulk sync.
"""

import csv
import re
import unicodedata
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from phonenumbers import PhoneNumberType, is_number_type_geographical
from phonenumbers.timezone import UNKNOWN_TIMEZONE
from phonenumbers.tzdata import TIMEZONE_DATA, TIMEZONE_LONGEST_PREFIX

from subscribers import phones
from subscribers.phones import Phone, PhoneKind

DATA = Path(__file__).parent / "data"
DEFAULT_SAFE = "DEFAULT_SAFE"

# The territories share the plan, the ZIP codes and the federal law, and have codes of their own.
US_TERRITORIES = frozenset({"AS", "GU", "MP", "PR", "VI"})
_POSTCODE_COUNTRIES = frozenset({"", "US", "CA"}) | US_TERRITORIES
_US_POSTCODE = re.compile(r"([0-9]{3})[0-9]{2}(?:[\s-]?[0-9]{4})?")
_CANADIAN_POSTCODE = re.compile(r"([A-Z])[0-9][A-Z][\s-]?[0-9][A-Z][0-9]", re.IGNORECASE)


class UnknownTimeZone(ValueError):
    """A person's time zone is no IANA name. The message quotes it and gives an example."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where someone may be.

    `zones`: IANA names, sorted, never empty. `jurisdictions`: sorted codes as in the table of
    sending windows: 'US' and 'US-FL', 'CA' and 'CA-ON', else an ISO 3166-1 alpha-2 country; not all
    of them have a row there. `certain` is False when the number itself tells no place (toll-free,
    personal, unassigned area code, universal); then 'DEFAULT_SAFE' is among the jurisdictions.
    """

    zones: tuple[str, ...]
    jurisdictions: tuple[str, ...]
    certain: bool


@dataclass(frozen=True, slots=True)
class AreaCode:
    """One row of `area_codes.csv`: the regions ('US-FL'), zones and country of a +1 area code."""

    country: str
    regions: frozenset[str]
    zones: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Part:
    """What one piece of knowledge says; a place is the union of its parts."""

    zones: frozenset[str] = frozenset()
    jurisdictions: frozenset[str] = frozenset()


def locate(phone: Phone, *, timezone: str = "", state: str = "", postcode: str = "") -> Place:
    """Return where the owner of a number may be, given what else is known of the person.

    `timezone` is an IANA name; `state` a state, territory or province of the United States or
    Canada ('FL', 'US-FL', 'Florida', 'QC', 'Québec'); `postcode` a ZIP, ZIP+4 or Canadian postal
    code. Each adds its zones, and state and postcode add their jurisdictions. State and postcode are
    read for +1 numbers only, since other countries use the same codes (WA is also Western Australia);
    what is not recognised adds nothing. Military addresses (AA, AE, AP) tell no place.

    Raises `UnknownTimeZone` for a non-empty `timezone` that is not a valid name.
    """
    if not phone.e164.startswith("+1"):
        return _abroad(
            phone.country, phone.kind, phone.e164[: TIMEZONE_LONGEST_PREFIX + 1], timezone.strip()
        )
    region = region_for(state)
    prefix = _postcode_prefix(postcode) if phone.country in _POSTCODE_COUNTRIES else ""
    return _north_american(phone.country, phone.area_code, timezone.strip(), region, prefix)


def region_for(text: str) -> str:
    """Return 'US-FL' or 'CA-QC' for a state's or province's code or English name, else ''."""
    return _region_index().get(_key(text), "") if text else ""


def unite(codes: frozenset[str]) -> frozenset[str]:
    """Return the zones of all given regions ('US-TN'); an unknown region is a KeyError."""
    return frozenset().union(*(region_zones()[code] for code in codes))


@cache
def region_zones() -> dict[str, frozenset[str]]:
    """Return the zones of every state, territory and province, from `region_zones.csv`."""
    return {row["region"]: frozenset(row["zones"].split()) for row in _read("region_zones.csv")}


@cache
def area_codes() -> dict[str, AreaCode]:
    """Return every known +1 area code, from `area_codes.csv`."""
    return {
        row["area_code"]: AreaCode(
            row["country"], frozenset(row["regions"].split()), frozenset(row["zones"].split())
        )
        for row in _read("area_codes.csv")
    }


@cache
def safe_zones() -> frozenset[str]:
    """Return the zones of the fifty states and Washington DC: the default for an unknown place."""
    codes = frozenset(code for code in region_zones() if code[:2] == "US")
    return unite(codes - {f"US-{territory}" for territory in US_TERRITORIES})


@lru_cache(maxsize=65_536)
def _north_american(country: str, code: str, timezone: str, region: str, prefix: str) -> Place:
    number, certain = _area_code_part(country, code)
    regions = frozenset({region} if region else ()) | _postcode_regions().get(prefix, frozenset())
    # A state that the number's own area code lies in adds nothing: a Miami number of somebody in
    # Florida does not move to Pensacola's zone.
    regions -= number.jurisdictions
    return _join(number, _regions_part(regions), _zone_part(timezone), certain=certain)


@lru_cache(maxsize=65_536)
def _abroad(country: str, kind: PhoneKind, prefix: str, timezone: str) -> Place:
    certain = bool(country) and kind not in (PhoneKind.TOLL_FREE, PhoneKind.OTHER)
    zones = _zones_abroad(kind, prefix)
    certain = certain and bool(zones)
    codes = {country} if country else set()
    codes |= set() if certain else {DEFAULT_SAFE}
    number = _Part(zones or safe_zones(), frozenset(codes))
    return _join(number, _zone_part(timezone), certain=certain)


def _area_code_part(country: str, code: str) -> tuple[_Part, bool]:
    row = area_codes().get(code)
    if row is not None:
        own = _regions_part(row.regions)
        codes = own.jurisdictions or frozenset({row.country})
        return _Part(row.zones, codes), True
    regions: frozenset[str] = frozenset()
    if country in US_TERRITORIES:
        regions = frozenset({f"US-{country}"})
    zones = safe_zones() | unite(regions)
    if country == "CA":
        zones |= unite(frozenset(name for name in region_zones() if name[:2] == "CA"))
    codes = regions | {DEFAULT_SAFE} | ({"US"} if regions else {country} - {""})
    return _Part(zones, codes), False


def _regions_part(regions: frozenset[str]) -> _Part:
    return _Part(unite(regions), regions | {region[:2] for region in regions})


def _zone_part(name: str) -> _Part:
    if not name:
        return _Part()
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise UnknownTimeZone(
            f"{name[:64]!r} is not a time zone: use an IANA name such as 'America/New_York'."
        ) from None
    return _Part(frozenset({name}))


def _join(*parts: _Part, certain: bool) -> Place:
    zones = frozenset().union(*(part.zones for part in parts))
    jurisdictions = frozenset().union(*(part.jurisdictions for part in parts))
    return Place(tuple(sorted(zones)), tuple(sorted(jurisdictions)), certain)


def _zones_abroad(kind: PhoneKind, prefix: str) -> frozenset[str]:
    """Return libphonenumber's zones for another country's number, from a plus and nine digits.

    Its table has no longer prefixes. A number that is bound to no place within its country, as
    mobiles are in most, gets every zone of the country code.
    """
    calling_code = phones.calling_code(prefix)
    geographic = kind in (PhoneKind.LANDLINE, PhoneKind.MOBILE_OR_LANDLINE) or (
        kind is PhoneKind.MOBILE
        and is_number_type_geographical(PhoneNumberType.MOBILE, int(calling_code or 0))
    )
    digits = prefix[1:] if geographic else calling_code
    for length in range(len(digits), 0, -1):
        zones = TIMEZONE_DATA.get(digits[:length])
        if zones is not None:
            return frozenset(zones) - {UNKNOWN_TIMEZONE}
    return frozenset()


@cache
def _region_index() -> dict[str, str]:
    index: dict[str, str] = {}
    for row in _read("region_zones.csv"):
        code = row["region"]
        for name in (code, code[3:], *row["names"].split("|")):
            index[_key(name)] = code
    return index


def _key(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text).casefold()
    return "".join(character for character in plain if character.isalnum())


def _postcode_prefix(text: str) -> str:
    stripped = text.strip()
    match = _US_POSTCODE.fullmatch(stripped) or _CANADIAN_POSTCODE.fullmatch(stripped)
    return match[1].upper() if match else ""


@cache
def _postcode_regions() -> dict[str, frozenset[str]]:
    regions: dict[str, frozenset[str]] = {}
    for row in _read("zip_prefixes.csv"):
        first, last = row["first"], row["last"]
        prefixes = (
            [first] if first == last else [f"{n:03}" for n in range(int(first), int(last) + 1)]
        )
        regions |= dict.fromkeys(prefixes, frozenset(row["regions"].split()))
    return regions


def _read(name: str) -> list[dict[str, str]]:
    with (DATA / name).open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))
