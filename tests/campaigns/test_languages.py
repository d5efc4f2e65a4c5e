"""Claims about the language of the message that a person gets."""

import pytest
from django.core.exceptions import ValidationError

from campaigns import languages
from campaigns.models import Message


@pytest.mark.parametrize(
    ("spoken", "wanted", "got"),
    [
        (["en", "es"], "es", ["es"]),
        (["en", "es"], "es-MX", ["es"]),
        (["en", "es"], "ES_mx", ["es"]),
        (["en", "es-US"], "es-MX", ["es-US"]),
        (["en", "es", "es-MX"], "es-MX", ["es-MX"]),
        (["en", "es"], "fr", ["en"]),
        (["en", "es"], "", ["en"]),
        (["en", "es"], "no language at all", ["en"]),
        (["", "es"], "fr", [""]),  # a message without a language is in the brand's
        (["", "es"], "en", [""]),
        (["en", "", "es"], "en", ["en", ""]),
        (["fr", "es"], "de", ["fr", "es"]),  # the default is not there: rather any than none
        (["es", "es"], "en", ["es", "es"]),
    ],
)
def test_a_person_gets_her_language_else_the_brands(
    spoken: list[str], wanted: str, got: list[str]
) -> None:
    messages = [Message(pk=number, language=tag) for number, tag in enumerate(spoken)]

    assert [one.language for one in languages.readable(messages, wanted, "en")] == got


@pytest.mark.parametrize("tag", ["en", "es-MX", "zh-Hant-TW", "es-419", "sl-rozaj"])
def test_a_tag_in_the_usual_spelling_is_taken(tag: str) -> None:
    languages.valid_language(tag)


@pytest.mark.parametrize("tag", ["english", "e", "EN", "es_MX", "es-mx", "en-", "12"])
def test_another_is_refused(tag: str) -> None:
    with pytest.raises(ValidationError, match="language tag"):
        languages.valid_language(tag)
