"""Claims about reading and masking phone numbers; `phonenumbers` itself is the oracle."""

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subscribers.phones import (
    InvalidPhone,
    Phone,
    PhoneKind,
    PhoneRefusal,
    calling_code,
    mask,
    parse,
)

JERSEY = Phone("+17325555555", "US", PhoneKind.MOBILE_OR_LANDLINE, "732")


def oracle(raw: str, region: str = "US") -> str | None:
    """E.164 by phonenumbers alone, None where it finds no valid number."""
    try:
        number = phonenumbers.parse(raw, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def e164_or_none(raw: str, region: str = "US") -> str | None:
    try:
        return parse(raw, default_region=region).e164
    except InvalidPhone:
        return None


@pytest.mark.parametrize(
    "raw",
    [
        "17325555555",
        "+17325555555",
        "7325555555",
        " +1 732 555 5555 ",
        "(732) 555-5555",
        "1-732-555-5555",
        "732.555.5555",
        "011 1 732 555 5555",
        "0017325555555",
        "tel:+1-732-555-5555",
        "732-555-5555 ext. 12",
        "\uff11\uff17\uff13\uff12\uff15\uff15\uff15\uff15\uff15\uff15\uff15",
    ],
)
def test_one_number_however_written_is_one_phone(raw: str) -> None:
    assert parse(raw) == JERSEY


@pytest.mark.parametrize("raw", ["+447911123457", "00447911123457", "011447911123457"])
def test_a_foreign_number_needs_a_plus_or_an_international_prefix(raw: str) -> None:
    assert parse(raw).e164 == "+447911123457"
    with pytest.raises(InvalidPhone):
        parse("447911123457")


def test_the_default_region_gives_its_own_country_code_and_trunk_prefix() -> None:
    for raw in ("07400 123456", "447400123456", "00447400123456", "+447400123456"):
        assert parse(raw, default_region="GB") == Phone("+447400123456", "GB", PhoneKind.MOBILE, "")


@pytest.mark.parametrize(
    ("raw", "country", "kind", "area_code"),
    [
        ("+14165551234", "CA", PhoneKind.MOBILE_OR_LANDLINE, "416"),
        ("+17875551234", "PR", PhoneKind.MOBILE_OR_LANDLINE, "787"),
        ("+13459491234", "KY", PhoneKind.LANDLINE, "345"),
        ("+18005551234", "", PhoneKind.TOLL_FREE, "800"),
        ("+15005551234", "", PhoneKind.OTHER, "500"),
        ("+19005551234", "", PhoneKind.OTHER, "900"),
        ("+80012345678", "", PhoneKind.TOLL_FREE, ""),
        ("+447400123456", "GB", PhoneKind.MOBILE, ""),
        ("+442079460000", "GB", PhoneKind.LANDLINE, ""),
        ("+445612345678", "GB", PhoneKind.VOIP, ""),
        ("+447012345678", "GB", PhoneKind.OTHER, ""),
        ("+448001234567", "GB", PhoneKind.TOLL_FREE, ""),
    ],
)
def test_country_kind_and_area_code(
    raw: str, country: str, kind: PhoneKind, area_code: str
) -> None:
    assert parse(raw) == Phone(raw, country, kind, area_code)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("", PhoneRefusal.EMPTY),
        ("  \t", PhoneRefusal.EMPTY),
        ("n/a", PhoneRefusal.NOT_A_NUMBER),
        ("911", PhoneRefusal.TOO_SHORT),
        ("5551234", PhoneRefusal.TOO_SHORT),
        ("732555555", PhoneRefusal.TOO_SHORT),
        ("73255555555", PhoneRefusal.TOO_LONG),
        ("1" * 300, PhoneRefusal.TOO_LONG),
        ("+99912345678", PhoneRefusal.IMPOSSIBLE),
        ("0000000000", PhoneRefusal.INVALID),
        ("7321555555", PhoneRefusal.INVALID),
        ("+12115551234", PhoneRefusal.INVALID),
    ],
)
def test_a_refusal_says_why(raw: str, reason: PhoneRefusal) -> None:
    with pytest.raises(InvalidPhone) as caught:
        parse(raw)
    assert caught.value.reason is reason


@given(st.text(alphabet="0123456789 +()-", max_size=24))
def test_a_refusal_is_one_sentence_that_shows_four_digits_at_most(raw: str) -> None:
    try:
        parse(raw)
    except InvalidPhone as refusal:
        sentence = str(refusal)
        assert sentence.endswith(".")
        assert sentence.count(". ") == 0
        assert sum(character.isdigit() for character in sentence) <= 4


def test_an_unknown_default_region_is_the_callers_error_not_the_numbers() -> None:
    with pytest.raises(ValueError, match="'UK' is not the code of a country") as caught:
        parse("07400123456", default_region="UK")
    assert not isinstance(caught.value, InvalidPhone)


def test_every_area_code_and_exchange_class_is_judged_as_phonenumbers_judges_it() -> None:
    for area_code in range(1000):
        for tail in ("2345678", "1345678", "0345678", "5550100", "9111234", "2091234"):
            digits = f"{area_code:03}{tail}"
            assert e164_or_none(digits) == oracle(digits), digits


writings = st.sampled_from(
    (
        "{a}{b}{c}",
        "1{a}{b}{c}",
        "+1{a}{b}{c}",
        "({a}) {b}-{c}",
        "({a}{b}{c}",
        "{a}) {b}.{c}",
        "+1 ({a})- {b}{c}",
        "1-{a}.{b} {c}",
        "1({a}){b}-{c}",
        "+1.{a} -{b}-{c}",
    )
)


@settings(max_examples=400)
@given(writings, st.integers(0, 999), st.integers(0, 999), st.integers(0, 9999))
def test_the_fast_path_answers_exactly_as_phonenumbers(
    writing: str, area_code: int, exchange: int, line: int
) -> None:
    raw = writing.format(a=f"{area_code:03}", b=f"{exchange:03}", c=f"{line:04}")
    assert e164_or_none(raw) == oracle(raw)
    if oracle(raw) is None:
        return
    number = phonenumbers.parse(raw, "US")
    phone = parse(raw)
    expected = phonenumbers.region_code_for_number(number)
    assert phone.country in {expected, ""}
    either = phonenumbers.number_type(number) == phonenumbers.PhoneNumberType.FIXED_LINE_OR_MOBILE
    assert (phone.kind is PhoneKind.MOBILE_OR_LANDLINE) == either
    assert phone.area_code == raw_digits(raw)[-10:-7]


def raw_digits(raw: str) -> str:
    return "".join(character for character in raw if character.isdigit())


@settings(max_examples=300)
@given(st.text(max_size=20) | st.from_regex(r"\+?[0-9 ().-]{7,16}", fullmatch=True))
def test_parse_is_total_and_never_stricter_than_phonenumbers(raw: str) -> None:
    found = e164_or_none(raw)
    expected = oracle(raw)
    if expected is not None:
        assert found == expected
    elif found is not None:
        assert raw.strip().lstrip("(").startswith(("00", "011"))


@given(st.from_regex(r"\+1[2-9][0-9]{9}|\+44[0-9]{10}|\+49[0-9]{9,11}", fullmatch=True))
def test_parsing_again_what_was_parsed_changes_nothing(raw: str) -> None:
    found = e164_or_none(raw)
    if found is not None:
        assert parse(found, default_region="DE") == parse(raw)


@pytest.mark.parametrize(
    ("e164", "masked"),
    [
        ("+17325555555", "+1732***5555"),
        ("+447911123456", "+44***3456"),
        ("+353861234567", "+353***4567"),
        ("+2908123", "+290***3"),
        ("+1", "+1***"),
        ("7325555555", "***"),
        ("", "***"),
        ("+1732555555a", "***"),
    ],
)
def test_a_masked_number_keeps_its_country_and_last_four(e164: str, masked: str) -> None:
    assert mask(e164) == masked


@given(st.from_regex(r"\+[1-9][0-9]{6,14}", fullmatch=True))
def test_a_mask_hides_at_least_three_digits(e164: str) -> None:
    hidden = len(e164[1:]) - sum(character.isdigit() for character in mask(e164))
    assert hidden >= 3


def test_calling_codes_are_one_to_three_digits() -> None:
    assert [calling_code(each) for each in ("+17325555555", "+4479", "+353861", "+999", "")] == [
        "1",
        "44",
        "353",
        "",
        "",
    ]
