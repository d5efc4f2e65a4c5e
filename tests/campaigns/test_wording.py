"""Claims about what a brand adds to a message, how long the whole is, and links in it."""

from dataclasses import replace

import pytest
from django.core.exceptions import ValidationError
from hypothesis import given
from hypothesis import strategies as st

from campaigns import content, links, wording
from campaigns.content import BadContent
from campaigns.models import BrandPolicy, Message
from campaigns.wording import Style, TooLong, says_how_to_opt_out

ADA = {"first_name": "Ada", "last_name": "Lovelace", "name": "Ada Lovelace", "brand": "Teas"}
PLAIN = Style()
SHORT = Style(link_prefix="https://go.example.com/")
ADDING = Style(add_brand_name=True, opt_out_line="Reply STOP to opt out.")
EMOJI = "\U0001f600"


def body(source: str, style: Style = PLAIN, **fields: str) -> str:
    return wording.write(source, ADA | fields, style).sample()


def test_each_person_gets_her_own_body_and_its_segments() -> None:
    source = "{{ brand }}: Hi {{ first_name }}"

    for _ in range(2):
        assert body(source) == "Teas: Hi Ada"
        assert body(source, first_name="Bob") == "Teas: Hi Bob"
        assert body(source, brand="Mats") == "Mats: Hi Ada"
        emoji = wording.write(source, ADA | {"first_name": EMOJI * 40}, PLAIN)
        assert (emoji.sample(), emoji.size.segments) == (f"Teas: Hi {EMOJI * 40}", 2)


@pytest.mark.parametrize("source", ["{{ nick }}", "{% if %}", "", "{{ first_name }}"])
def test_what_one_person_cannot_get_is_refused_each_time(source: str) -> None:
    for _ in range(2):
        with pytest.raises(BadContent):
            body(source, first_name=" ")


@pytest.mark.parametrize(
    ("source", "read"),
    [
        ("Sale", "Teas: Sale\nReply STOP to opt out."),
        ("TEAS sale", "TEAS sale\nReply STOP to opt out."),
        ("Sale. Text STOP to end", "Teas: Sale. Text STOP to end"),
        ("{{ brand }} sale, STOP=end", "Teas sale, STOP=end"),
        ("Steasm", "Teas: Steasm\nReply STOP to opt out."),
    ],
)
def test_a_brand_that_says_so_adds_its_name_and_how_to_opt_out(source: str, read: str) -> None:
    assert body(source, ADDING) == read


def test_a_brand_whose_name_is_added_is_named_in_its_own_texts() -> None:
    assert body("Sale", replace(ADDING, opt_out_line="")) == "Teas: Sale"
    assert body("Sale", replace(ADDING, opt_out_line=""), brand="Mats") == "Mats: Sale"


@pytest.mark.parametrize(
    "text",
    [
        *("Reply STOP to opt out", "reply stop", "Txt STOP 2 end", "Text back STOP", "STOP to end"),
        *("Send 'STOP' to quit", "Reply with the word STOP", "Txt STOP2end", "STOP=end", "STOP:"),
        *(
            "Opt out: STOP",
            "Reply UNSUBSCRIBE",
            "Repondez ARRET",
            "Répondez ARRÊT",
            "reply opt out",
        ),
        *("Reply END", "Responde STOP", "Envía STOP", "UNSUBSCRIBE to stop these texts"),
    ],
)
def test_opt_out_words_are_found(text: str) -> None:
    assert says_how_to_opt_out(f"Sale at Teas. {text}")


@pytest.mark.parametrize(
    "text",
    [
        *("", "One STOP for tea", "NON-STOP SALE", "Don't stop believing", "STOP by on Saturday"),
        *("The END of summer sale", "WEEK END SALE", "Reply YES", "Reply PARE", "Reply STOPPING"),
    ],
)
def test_other_words_are_no_way_to_opt_out(text: str) -> None:
    assert not says_how_to_opt_out(f"Sale at Teas. {text}")


@pytest.mark.parametrize("line", ["Goodbye.", "Reply STOP {{ name }}", "Reply STOP\nnow", ""])
def test_an_opt_out_line_that_is_none_is_refused(line: str) -> None:
    with pytest.raises(ValidationError):
        wording.valid_opt_out_line(line)


def test_a_text_of_more_segments_than_the_brand_allows_is_refused() -> None:
    assert wording.write("a" * 306, ADA, replace(PLAIN, most_segments=2)).size.segments == 2
    with pytest.raises(TooLong, match=r"takes 3 segments; the brand allows 2\.$"):
        wording.write("a" * 307, ADA, replace(PLAIN, most_segments=2))


def test_what_a_brand_adds_counts() -> None:
    wording.write("a" * 160, ADA, replace(PLAIN, most_segments=1))
    with pytest.raises(TooLong):
        wording.write("a" * 160, ADA, replace(ADDING, most_segments=1))


def test_a_message_decides_about_look_alikes_for_itself() -> None:
    for brand, message, replaced in [
        (False, None, False),
        (True, None, True),
        (False, True, True),
        (True, False, False),
    ]:
        own = BrandPolicy(replace_look_alikes=brand)
        style = wording.style_of(own, Message(replace_look_alikes=message))
        assert style.replace_look_alikes is replaced
        assert body("It\u2019s on", style) == ("It's on" if replaced else "It\u2019s on")


def test_links_are_left_open_for_the_codes_of_each_text() -> None:
    written = wording.write("See https://a.com/x, or https://b.com/y?z=1!", ADA, SHORT)

    assert written.urls == ("https://a.com/x", "https://b.com/y?z=1")
    assert written.body(["AAAAAAAAAAAA", "BBBBBBBBBBBB"]) == (
        "See https://go.example.com/AAAAAAAAAAAA, or https://go.example.com/BBBBBBBBBBBB!"
    )
    assert written.size == content.measure(written.sample())


def test_segments_are_those_of_the_short_link() -> None:
    source = f"{'a' * 100} https://a.com/{'b' * 100}"

    assert wording.write(source, ADA, PLAIN).size.segments == 2
    assert wording.write(source, ADA, SHORT).size.segments == 1


def test_a_link_in_a_persons_name_is_no_destination_of_ours() -> None:
    written = wording.write("Hi {{ first_name }}", ADA | {"first_name": "https://evil.com"}, SHORT)

    assert (written.urls, written.parts) == ((), ("Hi https://evil.com",))


def test_look_alikes_in_a_link_stay_as_they_are() -> None:
    style = replace(SHORT, replace_look_alikes=True)

    written = wording.write("It\u2019s \u201chttps://a.com/caf\u0435\u201d", ADA, style)

    assert written.parts[0] == "It's \""
    assert written.urls[0].startswith("https://a.com/caf\u0435")


TEXTS = st.text(st.sampled_from("ab .,!?()'\"\n:/\u00e9\u4e2d" + EMOJI), max_size=20)
LINKS = st.sampled_from(
    ["https://a.com", "https://b.com/x?y=1&z=%20", "https://a.com/p#q", "http://c.com/"]
)


@given(st.lists(TEXTS | LINKS.map(lambda url: f" {url} "), max_size=8).map("".join))
def test_replacing_links_never_changes_what_stands_around_them(text: str) -> None:
    urls = links.tracked(text)
    parts, cut = links.cut(text, urls)

    assert links.fill(parts, cut) == text
    assert set(cut) <= urls
    assert all(found.url not in urls for part in parts for found in links.find(part))
    assert all(text[found.start : found.end] == found.url for found in links.find(text))
