"""Phone numbers: from what a person or a provider wrote to E.164, and masked for logs.

Validity is libphonenumber's, through the `phonenumbers` package; nothing here is looser or
stricter. No database and no Django: this runs once per row of a bulk sync.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

import phonenumbers
from phonenumbers import NumberParseException, PhoneMetadata, PhoneNumberType, ValidationResult


class PhoneKind(StrEnum):
    """What answers at a number. North America does not tell mobiles from landlines."""

    MOBILE = "mobile"
    LANDLINE = "landline"
    MOBILE_OR_LANDLINE = "mobile_or_landline"
    TOLL_FREE = "toll_free"
    VOIP = "voip"
    OTHER = "other"


class PhoneRefusal(StrEnum):
    """Why something is not a phone number."""

    EMPTY = "empty"
    NOT_A_NUMBER = "not_a_number"
    TOO_SHORT = "too_short"
    TOO_LONG = "too_long"
    IMPOSSIBLE = "impossible"
    INVALID = "invalid"


_SENTENCES = {
    PhoneRefusal.EMPTY: "The phone number is empty.",
    PhoneRefusal.NOT_A_NUMBER: "The text {masked} is not a phone number.",
    PhoneRefusal.TOO_SHORT: "The phone number {masked} has too few digits.",
    PhoneRefusal.TOO_LONG: "The phone number {masked} has too many digits.",
    PhoneRefusal.IMPOSSIBLE: "The phone number {masked} has a country code or length that no"
    " country uses.",
    PhoneRefusal.INVALID: "The phone number {masked} is in no range that its country has assigned.",
}


class InvalidPhone(ValueError):
    """`parse` refused its input; `reason` says why. The message masks the number."""

    def __init__(self, raw: str, reason: PhoneRefusal) -> None:
        """Build the sentence from `reason`; of `raw` only the last four of 8+ digits are kept."""
        self.reason = reason
        super().__init__(_SENTENCES[reason].format(masked=_mask_raw(raw)))


@dataclass(frozen=True, slots=True)
class Phone:
    """A valid phone number.

    `e164` has its plus; `country` is ISO 3166-1 alpha-2, or '' where a number belongs to no one
    country (toll-free and the like of +1, universal numbers); `area_code` is the three-digit NPA of
    a +1 number, else ''.
    """

    e164: str
    country: str
    kind: PhoneKind
    area_code: str


_KINDS = {
    PhoneNumberType.MOBILE: PhoneKind.MOBILE,
    PhoneNumberType.FIXED_LINE: PhoneKind.LANDLINE,
    PhoneNumberType.FIXED_LINE_OR_MOBILE: PhoneKind.MOBILE_OR_LANDLINE,
    PhoneNumberType.TOLL_FREE: PhoneKind.TOLL_FREE,
    PhoneNumberType.VOIP: PhoneKind.VOIP,
}
# In +1 these are shared by every country of the plan, though the metadata files them under US or CA.
_SHARED_NANP_TYPES = frozenset(
    {
        PhoneNumberType.TOLL_FREE,
        PhoneNumberType.PREMIUM_RATE,
        PhoneNumberType.SHARED_COST,
        PhoneNumberType.PERSONAL_NUMBER,
    }
)
_PARSE_REFUSALS = {
    NumberParseException.INVALID_COUNTRY_CODE: PhoneRefusal.IMPOSSIBLE,
    NumberParseException.NOT_A_NUMBER: PhoneRefusal.NOT_A_NUMBER,
    NumberParseException.TOO_SHORT_AFTER_IDD: PhoneRefusal.TOO_SHORT,
    NumberParseException.TOO_SHORT_NSN: PhoneRefusal.TOO_SHORT,
    NumberParseException.TOO_LONG: PhoneRefusal.TOO_LONG,
}
_POSSIBLE_REFUSALS = {
    ValidationResult.INVALID_COUNTRY_CODE: PhoneRefusal.IMPOSSIBLE,
    ValidationResult.INVALID_LENGTH: PhoneRefusal.IMPOSSIBLE,
    ValidationResult.IS_POSSIBLE_LOCAL_ONLY: PhoneRefusal.TOO_SHORT,
    ValidationResult.TOO_SHORT: PhoneRefusal.TOO_SHORT,
    ValidationResult.TOO_LONG: PhoneRefusal.TOO_LONG,
}
# The usual writings of a US number, plain or punctuated, read without phonenumbers' parser.
_US_WRITING = re.compile(
    r"(?:\+?1[ .-]?)?\(?([2-9][0-9]{2})\)?[ .-]{0,2}([0-9]{3})[ .-]?([0-9]{4})"
)
_NON_DIGITS = re.compile(r"\D+")
_INTERNATIONAL_PREFIX = re.compile(r"\(?(?:00|011)\)?[\s.\-]*(?=[1-9])")


def parse(raw: str, *, default_region: str = "US") -> Phone:
    """Read one phone number as typed or as a provider sent it.

    `default_region` is the ISO 3166-1 alpha-2 country whose writing a number without a plus
    follows: national digits, its country code without the plus ('17325555555'), its trunk and
    international prefixes. '00' and '011' are read as a plus everywhere where the region's own
    reading fails. Digits of another country need a plus or such a prefix: guessing would turn a
    mistyped number into a stranger's abroad. An extension is dropped.

    Raises `InvalidPhone` for what is not a number in an assigned range, and a plain `ValueError`
    for a region that does not exist.
    """
    text = raw.strip()
    if default_region == "US" or text[:2] == "+1":
        match = _US_WRITING.fullmatch(text)
        national = "".join(match.groups()) if match else ""
        if _us_line().match(national):
            return Phone("+1" + national, "US", PhoneKind.MOBILE_OR_LANDLINE, national[:3])
    if default_region not in phonenumbers.SUPPORTED_REGIONS:
        raise ValueError(f"{default_region!r} is not the code of a country with a numbering plan.")
    if not text:
        raise InvalidPhone(raw, PhoneRefusal.EMPTY)
    try:
        return _parse_slowly(text, default_region)
    except InvalidPhone:
        prefix = _INTERNATIONAL_PREFIX.match(text)
        # Ten digits that start with 00 are a mistyped national number, not one of the Falklands.
        if prefix is None or len(_NON_DIGITS.sub("", text[prefix.end() :])) < 10:
            raise
    return _parse_slowly("+" + text[prefix.end() :], default_region)


def mask(e164: str) -> str:
    """Return a number for logs: country code, +1's area code, and the last four digits.

    '+17325555555' becomes '+1732***5555'. At least three digits stay hidden, so of a very short
    number fewer are shown; what is not E.164 becomes '***'.
    """
    if not e164.startswith("+") or not (e164[1:].isascii() and e164[1:].isdigit()):
        return "***"
    code = calling_code(e164)
    shown = e164[:5] if code == "1" and len(e164) == 12 else "+" + code
    kept = max(0, min(4, len(e164) - len(shown) - 3))
    return f"{shown}***{e164[len(e164) - kept :]}"


def calling_code(e164: str) -> str:
    """Return the digits of a number's country calling code ('1', '44', '353'), '' if none fits."""
    for end in (2, 3, 4):
        digits = e164[1:end]
        if digits.isdigit() and int(digits) in phonenumbers.COUNTRY_CODE_TO_REGION_CODE:
            return digits
    return ""


def _parse_slowly(text: str, region: str) -> Phone:
    try:
        number = phonenumbers.parse(text, region)
    except NumberParseException as error:
        raise InvalidPhone(text, _PARSE_REFUSALS[error.error_type]) from None
    number_type = phonenumbers.number_type(number)
    if number_type == PhoneNumberType.UNKNOWN:
        possible = phonenumbers.is_possible_number_with_reason(number)
        raise InvalidPhone(text, _POSSIBLE_REFUSALS.get(possible, PhoneRefusal.INVALID))
    e164 = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    country = phonenumbers.region_code_for_number(number) or ""
    area_code = ""
    if number.country_code == 1:
        area_code = e164[2:5] if len(e164) == 12 else ""
        country = "" if number_type in _SHARED_NANP_TYPES else country
    if country == phonenumbers.REGION_CODE_FOR_NON_GEO_ENTITY:
        country = ""
    return Phone(e164, country, _KINDS.get(number_type, PhoneKind.OTHER), area_code)


@cache
def _us_line() -> re.Pattern[str]:
    """Return what the metadata calls a US line that may be fixed or mobile and is of no other type.

    The metadata's own patterns in phonenumbers' own order, so the answer is phonenumbers'.
    """
    earlier = "premium_rate toll_free shared_cost voip personal_number pager uan voicemail"
    others = "|".join(f"(?:{_us_pattern(name)})" for name in earlier.split() if _us_pattern(name))
    fixed, mobile = _us_pattern("fixed_line"), _us_pattern("mobile")
    return re.compile(rf"(?!(?:{others})\Z)(?=(?:{fixed})\Z)(?:{mobile})\Z", re.ASCII)


def _us_pattern(name: str) -> str:
    description = getattr(PhoneMetadata.metadata_for_region("US"), name)
    return (description and description.national_number_pattern) or ""


def _mask_raw(raw: str) -> str:
    digits = _NON_DIGITS.sub("", raw)
    return "***" + digits[-4:] if len(digits) >= 8 else "***"
