"""Rebuild `data/area_codes.csv`: every +1 area code with its states, zones and overlay family.

Sources: libphonenumber's zones by prefix and its English place names (the `phonenumbers` package),
united with `data/area_code_supplement.csv`, the reviewed list of what it does not know. Run after an
upgrade of phonenumbers or an edit of the supplement, and review the diff.
"""

import csv
import io
import re
from argparse import ArgumentParser
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

import phonenumbers
from django.core.management.base import BaseCommand, CommandError
from phonenumbers import PhoneMetadata
from phonenumbers.geodata import GEOCODE_DATA
from phonenumbers.tzdata import TIMEZONE_DATA

from subscribers import timezones

AREA_CODES = timezones.DATA / "area_codes.csv"
SUPPLEMENT = timezones.DATA / "area_code_supplement.csv"
COLUMNS = ("area_code", "country", "regions", "zones", "family", "source")

# libphonenumber names some zones after towns whose clocks agree with a larger zone since the 1980s
# or 2010s; one name for one clock keeps the sets, and the work of each decision, small.
SAME_CLOCK = {
    "America/Boise": "America/Denver",
    "America/Juneau": "America/Anchorage",
    "America/North_Dakota/Center": "America/Chicago",
}


@dataclass(frozen=True)
class Supplement:
    """One reviewed row; what is written '-America/Toronto' is taken out of libphonenumber's."""

    regions: frozenset[str] = frozenset()
    zones: frozenset[str] = frozenset()
    without: frozenset[str] = frozenset()
    bases: frozenset[str] = frozenset()

    @property
    def adds_facts(self) -> bool:
        """Tell whether the row says more than which codes it overlays."""
        return bool(self.regions or self.zones or self.without)


class Command(BaseCommand):
    """Rewrite the table, or with `--check` only compare it."""

    help = "Rebuild subscribers/data/area_codes.csv from phonenumbers and the reviewed supplement."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add `--check`."""
        parser.add_argument(
            "--check", action="store_true", help="exit with 1 if the table is out of date"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Print what changes, then write; with `--check` raise CommandError instead of writing."""
        old = AREA_CODES.read_text(encoding="utf-8") if AREA_CODES.exists() else ""
        new = render(read_supplement())
        changes = list(differences(old, new))
        for line in changes:
            self.stdout.write(line)
        if options["check"] and old != new:
            raise CommandError("area_codes.csv is out of date: run manage.py build_area_codes")
        if not options["check"]:
            AREA_CODES.write_text(new, encoding="utf-8", newline="")
        self.stdout.write(f"{new.count(chr(10)) - 1} area codes, {len(changes)} changed")


def read_supplement() -> dict[str, Supplement]:
    """Read the supplement by area code; an overlay of an overlay is a ValueError."""
    with SUPPLEMENT.open(encoding="utf-8", newline="") as lines:
        rows = {row["area_code"]: _supplement(row) for row in csv.DictReader(lines)}
    for code, row in rows.items():
        for base in row.bases & rows.keys():
            if rows[base].bases:
                raise ValueError(f"{code} overlays {base}, which is an overlay: name its bases")
    return rows


def render(supplement: dict[str, Supplement]) -> str:
    """Return the whole table as text, the same for the same data."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for code in sorted(_codes_in_phonenumbers().keys() | supplement.keys()):
        writer.writerow(_row(code, supplement))
    return out.getvalue()


def differences(old: str, new: str) -> Iterable[str]:
    """Yield one line per area code that appeared, went or changed between two tables."""
    before, after = _by_code(old), _by_code(new)
    for code in sorted(before.keys() | after.keys()):
        if code not in before:
            yield f"+ {code} {after[code]}"
        elif code not in after:
            yield f"- {code} {before[code]}"
        elif before[code] != after[code]:
            yield f"~ {code} {before[code]} -> {after[code]}"


def _row(code: str, supplement: dict[str, Supplement]) -> tuple[str, ...]:
    nothing = Supplement()
    own = supplement.get(code, nothing)
    territory = {code, *own.bases}
    regions = frozenset().union(*(_regions(each, supplement) for each in territory))
    zones = frozenset().union(*(_zones(each, supplement) for each in territory))
    overlays = {each for each, row in supplement.items() if row.bases & territory}
    source = ["phonenumbers"] if code in _codes_in_phonenumbers() else []
    if own.adds_facts or any(supplement.get(base, nothing).adds_facts for base in own.bases):
        source.append("supplement")
    return (
        code,
        _country(code, regions),
        " ".join(sorted(regions)),
        " ".join(sorted(zones)),
        " ".join(sorted(territory | overlays)),
        "+".join(source),
    )


@cache
def _codes_in_phonenumbers() -> dict[str, set[str]]:
    """Return libphonenumber's zones by area code, over all its longer prefixes."""
    zones: defaultdict[str, set[str]] = defaultdict(set)
    for prefix, names in TIMEZONE_DATA.items():
        if prefix[0] == "1" and len(prefix) >= 4:
            zones[prefix[1:4]] |= {SAME_CLOCK.get(name, name) for name in names}
    return dict(zones)


@cache
def _regions_in_phonenumbers() -> dict[str, set[str]]:
    """Return the states that libphonenumber's English place names end in, by area code."""
    regions: defaultdict[str, set[str]] = defaultdict(set)
    for prefix, names in GEOCODE_DATA.items():
        if prefix[0] == "1" and len(prefix) >= 4:
            state = names.get("en", "").rpartition(", ")[2]
            regions[prefix[1:4]] |= {timezones.region_for(part) for part in state.split("/")}
    return {code: found - {""} for code, found in regions.items()}


def _zones(code: str, supplement: dict[str, Supplement]) -> set[str]:
    own = supplement.get(code, Supplement())
    return (_codes_in_phonenumbers().get(code, set()) - own.without) | own.zones


def _regions(code: str, supplement: dict[str, Supplement]) -> set[str]:
    country = _country_by_leading_digits(code)
    if country:
        return {f"US-{country}"} & {f"US-{each}" for each in timezones.US_TERRITORIES}
    own = supplement.get(code, Supplement())
    found = (_regions_in_phonenumbers().get(code, set()) - own.without) | own.regions
    if not found:
        raise ValueError(f"No state is known for area code {code}: add it to the supplement")
    return found


def _country(code: str, regions: Iterable[str]) -> str:
    return _country_by_leading_digits(code) or min(region[:2] for region in regions)


def _country_by_leading_digits(code: str) -> str:
    """Return the country or territory that has the code to itself; '' for US states and Canada."""
    for country in phonenumbers.COUNTRY_CODE_TO_REGION_CODE[1]:
        metadata = PhoneMetadata.metadata_for_region(country)
        if metadata and metadata.leading_digits and re.match(metadata.leading_digits, code):
            return str(country)
    return ""


def _supplement(row: dict[str, str]) -> Supplement:
    zones, regions = row["zones"].split(), row["regions"].split()
    return Supplement(
        regions=frozenset(fact for fact in regions if fact[0] != "-"),
        zones=frozenset(fact for fact in zones if fact[0] != "-"),
        without=frozenset(fact[1:] for fact in regions + zones if fact[0] == "-"),
        bases=frozenset(row["overlay_of"].split()),
    )


def _by_code(text: str) -> dict[str, str]:
    rows = csv.DictReader(io.StringIO(text))
    return {row["area_code"]: f"{row['regions'] or row['country']}: {row['zones']}" for row in rows}
