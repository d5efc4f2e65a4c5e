"""The opted-in lists that the fake carrier ships with: invented people, the same ones every time.

Numbers are valid and come from real area codes, but from the exchange 555 and, for Britain, from
the range of London that Ofcom keeps for drama: they belong to nobody. Magic last fours
(`behaviour.py`) are sown thinly. Those that decide for a whole call are almost all on `wswd`: in a
Mitto bulk call one of them would decide for 500 texts, so `ta` can go out through Mitto.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from xml.sax.saxutils import escape

import phonenumbers

from sending.carrier.behaviour import MAGIC

UNTIL = datetime(2026, 10, 31, 20, 0)  # noqa: DTZ001  # Lime's dates name no zone
YEARS_BACK = 2
ON_BOTH = 800

# Area code -> beginnings of the zip codes it serves; two where it lies in two time zones.
AREAS: Mapping[str, tuple[str, ...]] = {
    # Eastern
    "212": ("100",), "305": ("331",), "404": ("303",), "617": ("021",), "313": ("482",),
    "215": ("191",), "202": ("200",), "919": ("276",), "216": ("441",),
    # Central
    "312": ("606",), "713": ("770",), "214": ("752",), "615": ("372",), "504": ("701",),
    "612": ("554",), "816": ("641",), "414": ("532",),
    # Mountain, and Arizona without daylight saving
    "303": ("802",), "505": ("871",), "801": ("841",), "406": ("591",), "602": ("850",),
    "520": ("857",),
    # Pacific
    "213": ("900",), "415": ("941",), "206": ("981",), "503": ("972",), "702": ("891",),
    # Two zones
    "850": ("323", "325"), "208": ("837", "838"), "541": ("974", "979"), "605": ("571", "577"),
    "701": ("581", "586"), "308": ("688", "693"), "270": ("427", "421"), "812": ("474", "477"),
    "906": ("498",), "915": ("799",),
    # Alaska, Hawaii, Puerto Rico, Virgin Islands, Guam
    "907": ("995",), "808": ("968",), "787": ("009",), "939": ("009",), "340": ("008",),
    "671": ("969",),
}  # fmt: skip
CANADA: Mapping[str, str] = {
    "416": "M5V 2T6", "604": "V6B 1A1", "514": "H3B 2Y5", "403": "T2P 1J9", "902": "B3J 1S9",
    "709": "A1C 5M3", "306": "S4P 3Y2",
}  # fmt: skip
TOLL_FREE = ("800", "888", "877", "866")
INVALID = (
    "",
    "N/A",
    "4155550",
    "10005551234",
    "15551234567",
    "11115556677",
    "999",
    "1212555012345",
)

WOMEN = ("Maria", "Linda", "Aisha", "Emma", "Sofía", "Grace", "Hannah", "Keiko", "Renée", "Tanisha")
MEN = ("James", "Luis", "Omar", "Noah", "Ethan", "Kwame", "Pedro", "Hiroshi", "Liam", "André")
LAST = (
    "Smith", "Johnson", "García", "O'Neil", "Nguyen", "Brown", "Kealoha", "Rivera", "Patel", "Davis",
    "Washington", "Müller", "Kim", "Lopez", "Begay", "Wilson", "D'Angelo", "Lee", "Clark", "Young",
)  # fmt: skip
MAIL = ("example.com", "example.org", "example.net")


@dataclass(frozen=True, slots=True)
class DemoList:
    """What one list holds."""

    name: str
    records: int  # with the duplicates and the invalid ones
    keyword: str
    short_code: str
    magic: Mapping[str, int]  # last four digits -> how many
    duplicates: int = 20
    invalid: int = 16
    toll_free: int = 8
    canadian: int = 60
    british: int = 20


HARMLESS = {
    "0200": 3, "0400": 4, "0610": 4, "0005": 4, "0002": 4, "0003": 4, "0004": 5,
    "0770": 6, "0771": 4, "0772": 4, "0773": 4, "0774": 4, "0775": 5,
}  # fmt: skip
WHOLE_CALL = {
    "0429": 3, "0500": 3, "0501": 3, "0503": 3, "0104": 3, "0105": 3, "0201": 3,
    "0408": 1, "0409": 1,
}  # fmt: skip
LISTS = (
    DemoList("wswd", 3200, "SHOWS", "71441", HARMLESS | WHOLE_CALL),
    DemoList("ta", 2600, "TICKETS", "72727", HARMLESS | {"0429": 1, "0503": 1}),
)


@dataclass(frozen=True, slots=True)
class Person:
    """One invented person; `mobile` is digits with country code, as Lime writes it."""

    mobile: str
    zipcode: str
    first: str
    last: str
    gender: str
    born: str
    email: str


def write(folder: Path, *, seed: int, lists: Sequence[DemoList] = LISTS) -> list[Path]:
    """Write `<name>.xml.gz` for each list into `folder`; the same seed gives the same bytes.

    Raises ValueError when a number that must be valid is not.
    """
    random = Random(seed)  # noqa: S311  # invented people need no cryptography
    used: set[str] = set()
    shared = [_american(random, used) for _ in range(ON_BOTH)]
    paths: list[Path] = []
    folder.mkdir(parents=True, exist_ok=True)
    for wanted in lists:
        people = _people(wanted, shared, random, used)
        document = "".join(_document(wanted, people, random)).encode()
        path = folder / f"{wanted.name}.xml.gz"
        with path.open("wb") as file, gzip.GzipFile("", "wb", 9, file, mtime=0) as packed:
            packed.write(document)
        paths.append(path)
    return paths


def _people(
    wanted: DemoList, shared: Sequence[Person], random: Random, used: set[str]
) -> list[Person]:
    """The records of one list, in a random order."""
    people = list(shared)
    for last_four, count in wanted.magic.items():
        people += [_american(random, used, last_four) for _ in range(count)]
    people += [_canadian(random, used) for _ in range(wanted.canadian)]
    people += [_british(random, used) for _ in range(wanted.british)]
    people += [_toll_free(random, used) for _ in range(wanted.toll_free)]
    people += [_person(random, INVALID[n % len(INVALID)], "") for n in range(wanted.invalid)]
    while len(people) < wanted.records - wanted.duplicates:
        people.append(_american(random, used))
    people += random.sample(people[ON_BOTH:], wanted.duplicates)
    random.shuffle(people)
    return people


def _american(random: Random, used: set[str], last_four: str = "") -> Person:
    area = random.choice(tuple(AREAS))
    beginning = random.choice(AREAS[area])
    mobile = _free(random, used, f"1{area}555", last_four)
    return _person(random, mobile, f"{beginning}{random.randrange(1, 100):02}")


def _canadian(random: Random, used: set[str]) -> Person:
    area = random.choice(tuple(CANADA))
    return _person(random, _free(random, used, f"1{area}555"), CANADA[area])


def _british(random: Random, used: set[str]) -> Person:
    """From 020 7946 0000 on: the mobile numbers kept for drama do not count as valid."""
    return _person(random, _free(random, used, "442079460", digits=3), "SW1A 1AA")


def _toll_free(random: Random, used: set[str]) -> Person:
    return _person(random, _free(random, used, f"1{random.choice(TOLL_FREE)}55501", digits=2), "")


def _free(
    random: Random, used: set[str], beginning: str, last_four: str = "", digits: int = 4
) -> str:
    """A valid number that nobody has, with the last four digits asked for, or with plain ones."""
    while True:
        mobile = beginning + (last_four or f"{random.randrange(10**digits):0{digits}}")
        plain = mobile[-4:] not in MAGIC and mobile[-7:] != "5551212"  # directory assistance
        if mobile in used or not (last_four or plain):
            if last_four:
                beginning = f"1{random.choice(tuple(AREAS))}555"
            continue
        if not phonenumbers.is_valid_number(phonenumbers.parse(f"+{mobile}")):
            raise ValueError(f"{mobile} is not a valid number")
        used.add(mobile)
        return mobile


def _person(random: Random, mobile: str, zipcode: str) -> Person:
    gender = random.choice("MF")
    first, last = random.choice(MEN if gender == "M" else WOMEN), random.choice(LAST)
    born = datetime(1950, 1, 1) + timedelta(days=random.randrange(20_000))  # noqa: DTZ001
    handle = f"{first}.{last}{random.randrange(1000)}".lower().replace("'", "")
    ascii_handle = handle.encode("ascii", "ignore").decode()
    return Person(
        mobile=mobile,
        zipcode=zipcode if random.random() < 0.8 else "",
        first=first if random.random() < 0.95 else "",
        last=last if random.random() < 0.9 else "",
        gender=gender if random.random() < 0.6 else "",
        born=born.strftime("%m/%d/%Y") if random.random() < 0.4 else "",
        email=f"{ascii_handle}@{random.choice(MAIL)}" if random.random() < 0.7 else "",
    )


def _document(wanted: DemoList, people: Sequence[Person], random: Random) -> Iterator[str]:
    """The list as Lime writes it; each record has its own date, also that of a duplicate."""
    yield '<?xml version="1.0" encoding="UTF-8"?>\n<Mobiles>\n'
    for person in people:
        back = timedelta(seconds=random.randrange(YEARS_BACK * 365 * 86_400))
        yield _record(wanted, person, UNTIL - back)
    yield "</Mobiles>\n"


def _record(wanted: DemoList, person: Person, opted_in: datetime) -> str:
    fields = {
        "MobileNumber": person.mobile,
        "OptInDate": opted_in.strftime("%m/%d/%Y %I:%M:%S %p"),
        "FirstName": person.first,
        "LastName": person.last,
        "Gender": person.gender,
        "DateOfBirth": person.born,
        "Email": person.email,
        "Zipcode": person.zipcode,
        "Keyword": f"{wanted.keyword} ({wanted.short_code}-US)",
        "ShortCode": wanted.short_code,
        "UserDefine1": "",
    }
    written = (f"<{n}>{escape(value)}</{n}>" if value else f"<{n}/>" for n, value in fields.items())
    return f"<Mobile>{''.join(written)}</Mobile>\n"
