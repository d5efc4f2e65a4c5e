"""What a text from a person means: the table of keywords, however it is typed."""

import csv

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subscribers import keywords
from subscribers.keywords import Meaning, meaning, normalise, phrases

with keywords.KEYWORDS.open(newline="") as lines:
    TABLE = {row["phrase"]: Meaning(row["class"]) for row in csv.DictReader(lines)}

# What the FCC's rule of 2025 names one by one (47 CFR 64.1200(a)(10)).
PER_SE = ("STOP", "QUIT", "END", "REVOKE", "OPT OUT", "CANCEL", "UNSUBSCRIBE")


@pytest.mark.parametrize("phrase", PER_SE)
def test_every_word_of_the_law_opts_out(phrase: str) -> None:
    assert meaning(phrase) is Meaning.OPT_OUT


@pytest.mark.parametrize("phrase", TABLE)
def test_every_phrase_of_the_table_means_what_the_table_says(phrase: str) -> None:
    assert meaning(phrase) is TABLE[phrase]


@given(
    st.sampled_from(list(TABLE)),
    st.text(" \t\r\n.,!?'\"-_*()\u00a0\u200b\u2026🛑", max_size=4),
    st.text(" \t\r\n.,!?'\"-_*()\u00a0\u200b\u2026🛑", max_size=4),
    st.lists(st.booleans(), min_size=20, max_size=20),
)
def test_case_space_and_punctuation_change_nothing(
    phrase: str, before: str, after: str, upper: list[bool]
) -> None:
    typed = "".join(
        char.upper() if up else char.lower() for char, up in zip(phrase, upper, strict=False)
    )

    assert meaning(before + typed + after) is TABLE[phrase]


@pytest.mark.parametrize(
    "body",
    ["stop", "Stop.", "STOP!!!", " stop\n", "“Stop”", "Arrêt", "ARRÊT", "arre\u0302t", "\uff33\uff34\uff2f\uff30", "opt-out",
     "Opt  Out", "OPT_OUT", "stop all", "StopAll", "STOP 🛑", "st\u00f3p"],
)  # fmt: skip
def test_stop_is_understood_as_phones_write_it(body: str) -> None:
    assert meaning(body) is Meaning.OPT_OUT


@pytest.mark.parametrize(
    "body",
    ["", " ", "...", "🛑", "please stop texting me", "don't stop", "stopp", "s t o p", "endless",
     "Great, thanks!", "Yes please", "1", "STOP START", "\x00", "\u0441\u0442\u043e\u043f"],
)  # fmt: skip
def test_what_is_no_keyword_is_something_else(body: str) -> None:
    assert meaning(body) is Meaning.OTHER


def test_yes_opts_in_only_while_an_answer_is_pending() -> None:
    assert meaning("yes") is Meaning.OPT_IN_PENDING_ONLY
    assert meaning("START") is Meaning.OPT_IN


def test_no_phrase_stands_for_two_things() -> None:
    normalised = [normalise(phrase) for phrase in TABLE]

    by_phrase = dict(zip(normalised, TABLE.values(), strict=True))
    assert all(by_phrase[normalise(phrase)] is TABLE[phrase] for phrase in TABLE)
    assert "" not in normalised


@given(st.text())
def test_any_text_has_a_meaning_and_normalising_again_changes_nothing(body: str) -> None:
    assert meaning(body) in Meaning
    assert normalise(normalise(body)) == normalise(body)


def test_the_normal_form_is_upper_case() -> None:
    assert normalise("  stop! ") == "STOP"


@pytest.mark.parametrize("of", [one for one in Meaning if one is not Meaning.OTHER])
def test_the_phrases_of_a_meaning_are_all_of_them_the_longest_first(of: Meaning) -> None:
    found = phrases(of)

    assert set(found) == {normalise(phrase) for phrase in TABLE if TABLE[phrase] is of}
    assert found == sorted(sorted(found), key=len, reverse=True)
    assert len(found) > 1 or of is Meaning.OPT_IN_PENDING_ONLY
