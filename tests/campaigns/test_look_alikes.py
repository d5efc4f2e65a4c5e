"""Claims about characters that look like GSM-7 ones."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns import look_alikes
from campaigns.content import GSM, measure

ALPHABET = "".join(look_alikes.TABLE) + "aB1 .\u20ac\u00e9\u4e2d"


@pytest.mark.parametrize(
    ("body", "plain"),
    [
        ("It\u2019s \u201con\u201d \u2013 now\u2026", 'It\'s "on" - now...'),
        ("50\u00a0%\u202foff", "50 % off"),
        ("S\u0430le at T\u0435as", "Sale at Teas"),  # two letters are Cyrillic
        ("zero\u200bwidth", "zerowidth"),
        ("\uff33\uff21\uff2c\uff25\uff01", "SALE!"),
    ],
)
def test_what_looks_the_same_is_replaced(body: str, plain: str) -> None:
    assert look_alikes.replace(body) == plain


@pytest.mark.parametrize(
    "body",
    [
        "caf\u00e9 caf\u00ea\u2019s",
        "\u0420\u0430\u0441\u043f\u0440\u043e\u0434\u0430\u0436\u0430",
        "\u4e2d\u2026",
    ],
)
def test_what_stays_ucs2_anyway_stays_as_it_is(body: str) -> None:
    assert look_alikes.replace(body) == body


@given(st.text(st.sampled_from(ALPHABET), max_size=60) | st.text(max_size=30))
def test_a_body_becomes_all_gsm_or_stays(body: str) -> None:
    plain = look_alikes.replace(body)

    assert plain == body or (GSM.issuperset(plain) and not GSM.issuperset(body))
    assert look_alikes.replace(plain) == plain
    assert not GSM.issuperset(body) or plain == body
    if GSM.issuperset(plain):
        assert measure(plain).encoding == "GSM-7"


def test_every_look_alike_is_outside_of_gsm_and_its_shape_inside() -> None:
    assert not GSM & set(look_alikes.TABLE)
    assert all(GSM.issuperset(shape) for shape in look_alikes.TABLE.values())


def test_what_forces_ucs2_is_counted_and_named() -> None:
    assert look_alikes.outside_gsm("a\u2019b\u2019\u4e2d") == Counter({"\u2019": 2, "\u4e2d": 1})
    assert look_alikes.name("\u2019") == "\u2019 (right single quotation mark)"
    assert look_alikes.name("\u00a0") == "(no-break space)"
