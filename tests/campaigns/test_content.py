"""Claims about what a person reads, and what it costs. The codec of `gsm0338` is the oracle."""

import pytest
from gsm0338 import Codec
from hypothesis import example, given
from hypothesis import strategies as st

from campaigns import content
from campaigns.content import BadContent, NoFallback, Size, measure

ADA = {"first_name": "Ada", "last_name": "Lovelace", "name": "Ada Lovelace", "brand": "Teas"}
LIMIT = 1600  # characters: Twilio refuses more
GSM = "@\u00a3$\u00e8\u00d8\n\r\u0394_\u03a9 !a\u00e0Z0"
EXTENSION = "\f^{}\\[~]|\u20ac"
EMOJI = "\U0001f600"
CODEC = Codec()
BODIES = st.text() | st.text(
    st.sampled_from(GSM + EXTENSION + EMOJI + "\u4e2d`\u00e7"), max_size=400
)


def septets(body: str) -> bytes | None:
    """The body in GSM-7, one byte per septet; None where a character is not in it."""
    if "\x1b" in body:  # the escape to the extension table is no character
        return None
    try:
        return CODEC.encode(body)[0]
    except UnicodeError:
        return None


def cut(units: list[int], size: int, *, halves: range) -> int:
    """How many parts of a size the units fill, when none may end with the first half of a pair."""
    parts, at = 0, 0
    while at < len(units):
        end = min(at + size, len(units))
        at = end - 1 if end < len(units) and units[end - 1] in halves else end
        parts += 1
    return max(parts, 1)


def measured_by_the_codec(body: str) -> Size:
    coded = septets(body)
    if coded is not None:
        joined = cut(list(coded), 153, halves=range(0x1B, 0x1C))
        return Size("GSM-7", len(coded), 1 if len(coded) <= 160 else joined)
    raw = body.encode("utf-16-be")
    units = [int.from_bytes(raw[at : at + 2]) for at in range(0, len(raw), 2)]
    joined = cut(units, 67, halves=range(0xD800, 0xDC00))
    return Size("UCS-2", len(units), 1 if len(units) <= 70 else joined)


@given(BODIES)
@example("")
@example("\x1b")
@example("a" * 152 + "\u20ac" + "a" * 152)
@example("\u4e2d" * 66 + EMOJI + "\u4e2d" * 66)
def test_a_body_is_measured_as_the_codec_does(body: str) -> None:
    assert measure(body) == measured_by_the_codec(body)


def test_exactly_the_alphabet_of_the_codec_is_gsm() -> None:
    for code in (*range(0xD800), *range(0xE000, 0x11000)):
        coded = septets(chr(code))
        known = chr(code) in content.GSM_BASIC, chr(code) in content.GSM_EXTENSION
        assert known == (bool(coded) and len(coded) == 1, bool(coded) and len(coded) == 2), code


@pytest.mark.parametrize(
    ("body", "size"),
    [
        ("", ("GSM-7", 0, 1)),
        ("a", ("GSM-7", 1, 1)),
        ("a" * 160, ("GSM-7", 160, 1)),
        ("a" * 161, ("GSM-7", 161, 2)),
        ("a" * 306, ("GSM-7", 306, 2)),
        ("a" * 307, ("GSM-7", 307, 3)),
        ("a" * 459, ("GSM-7", 459, 3)),
        ("a" * 460, ("GSM-7", 460, 4)),
        ("a" * 1600, ("GSM-7", 1600, 11)),
        ("a" * 158 + "\u20ac", ("GSM-7", 160, 1)),
        ("a" * 159 + "\u20ac", ("GSM-7", 161, 2)),
        ("\u20ac" * 80, ("GSM-7", 160, 1)),
        ("\u20ac" * 81, ("GSM-7", 162, 2)),
        ("\u20ac" * 152, ("GSM-7", 304, 2)),  # 76 in a part: the 153rd septet stays empty
        ("\u20ac" * 153, ("GSM-7", 306, 3)),
        ("a" * 152 + "\u20ac" + "a" * 151, ("GSM-7", 305, 2)),
        ("a" * 152 + "\u20ac" + "a" * 152, ("GSM-7", 306, 3)),
        ("\u4e2d" * 70, ("UCS-2", 70, 1)),
        ("\u4e2d" * 71, ("UCS-2", 71, 2)),
        ("\u4e2d" * 134, ("UCS-2", 134, 2)),
        ("\u4e2d" * 135, ("UCS-2", 135, 3)),
        (EMOJI * 35, ("UCS-2", 70, 1)),
        (EMOJI * 36, ("UCS-2", 72, 2)),
        (EMOJI * 66, ("UCS-2", 132, 2)),  # 33 in a part: a pair is never split
        (EMOJI * 67, ("UCS-2", 134, 3)),
        ("a" * 69 + "\u2019", ("UCS-2", 70, 1)),
        ("a" * 70 + "\u2019", ("UCS-2", 71, 2)),
        ("a" * 66 + EMOJI + "a" * 65, ("UCS-2", 133, 2)),
        ("a" * 66 + EMOJI + "a" * 66, ("UCS-2", 134, 3)),
        ("caf\u00e9 \u00e7a", ("UCS-2", 7, 1)),  # the alphabet has only the capital cedilla
        ("`", ("UCS-2", 1, 1)),
        ("\uffff" * 134, ("UCS-2", 134, 2)),
        ("\U00010000" * 67, ("UCS-2", 134, 3)),
    ],
)
def test_segments_at_their_edges(body: str, size: tuple[str, int, int]) -> None:
    assert measure(body) == Size(*size)
    assert isinstance(measure(body).units, int)


@pytest.mark.parametrize(
    ("source", "body"),
    [
        ("Hello", "Hello"),
        (" Hi {{ first_name }} of {{ brand }} \n", "Hi Ada of Teas"),
        ("{{ name }}, {{ last_name | upcase }}", "Ada Lovelace, LOVELACE"),
        ("{{ name | split: ' ' | first }}", "Ada"),
        ("{% if first_name == 'Ada' %}Hi{% else %}Ho{% endif %}", "Hi"),
        ("{% for i in (1..3) %}{{ forloop.index }}{{ i }}{% endfor %}", "112233"),
        (
            "{% assign n = name | split: ' ' %}{% for one in n %}{{ one }};{% endfor %}",
            "Ada;Lovelace;",
        ),
        ("{{ first_name | truncate: 2, '' }}", "Ad"),
        ("{% comment %}not yet{% endcomment %}Hi{% # nor this %}", "Hi"),
        ("{% raw %}{{ first_name }}{% endraw %}", "{{ first_name }}"),
        ("caf\u00e9 \u4e2d " + EMOJI, "caf\u00e9 \u4e2d " + EMOJI),
    ],
)
def test_a_message_is_written_for_its_person(source: str, body: str) -> None:
    assert content.render(source, ADA) == body


def test_a_missing_name_takes_its_fallback() -> None:
    source = "Hi {{ first_name | default: 'friend' }}"

    assert content.render(source, ADA | {"first_name": ""}) == "Hi friend"


@pytest.mark.parametrize("name", ["{{ brand }}", "{% include 'x' %}", "{{", "%}", "<b>&amp;"])
def test_what_a_person_is_called_is_never_read_as_liquid(name: str) -> None:
    assert content.render("Hi {{ first_name }}", ADA | {"first_name": name}) == f"Hi {name}"


BROKEN = {
    "unclosed output": "Hi {{ first_name",
    "unclosed tag": "Hi {% if first_name",
    "unclosed block": "{% if first_name %}Hi",
    "empty condition": "{% if %}Hi{% endif %}",
    "end without a start": "Hi {% endif %}",
    "empty filter": "Hi {{ first_name | }}",
    "unknown name": "Hi {{ frist_name }}",
    "unknown name with a fallback": "Hi {{ nick | default: 'you' }}",
    "unknown name in a branch": "Hi {% if first_name == 'Bob' %}{{ nick }}{% endif %}",
    "unknown name in a condition": "Hi {% if nick %}Bob{% endif %}",
    "unknown name in a loop": "Hi {% for i in nick %}{{ i }}{% endfor %}",
    "unknown part of a name": "Hi {{ first_name.given }}",
    "part of a name": "Hi {{ first_name[0] }}",
    "the worker's clock": "Hi, it is {{ now }}",
    "today by the worker's clock": "Hi, it is {{ today }}",
    "unknown filter": "Hi {{ first_name | shout }}",
    "unknown filter in a branch": "Hi {% if first_name == 'Bob' %}{{ name | boom }}{% endif %}",
    "filter of the clock": "Hi, it is {{ 'now' | date: '%B' }}",
    "filter that may fail": "Hi {{ name | base64_decode }}",
    "filter of another type": "Hi {{ name | truncate: 'a' }}",
    "filter with too much": "Hi {{ name | size: 1, 2 }}",
    "unknown tag": "Hi {% shout %}",
    "other code": "Hi {% liquid echo name %}",
    "file by include": "Hi {% include '/etc/hostname' %}",
    "file by render": "Hi {% render '/etc/hostname' %}",
    "file in a branch": "Hi {% if first_name == 'Bob' %}{% include '/etc/hostname' %}{% endif %}",
    "file of a name": "Hi {% include first_name %}",
    "comparison of other types": "Hi {% if name < 3 %}Bob{% endif %}",
    "table": "{% tablerow i in (1..3) %}a{% endtablerow %}",
    "nothing": "",
    "space": " \n\t ",
    "invisible": "\u200b\u2060\ufeff",
    "empty for everybody": "{% if first_name == 'Nobody' %}Hi{% endif %}",
    "NUL": "Hi\x00",
    "half a pair": "Hi \ud83d",
    "the other half": "Hi \ude00",
    "a half in a literal": "Hi {{ 'a\ud83d' }}",
    "too long": "a" * (LIMIT + 1),
    "much too long": "a" * 1_000_000,
    "many tags": "{{ name }}" * 100_000,
    "many openings": "{% if " * 200_000,
    "huge number": "{{ " + "9" * 5000 + " }}",
}
RUNAWAYS = {
    "loop": "{% for i in (1..101) %}a{% endfor %}",
    "endless loop": "{% for i in (1..99999999999999999999) %}a{% endfor %}",
    "backward loop": "{% for i in (1..300000000) reversed %}a{% endfor %}",
    "late loop": "{% for i in (1..300000000) offset: 299999999 %}a{% endfor %}",
    "counted search": "{% if (1..300000000) contains 'a' %}a{% endif %}b",
    "counted name": "{% for i in (1..name.size) %}a{% endfor %}",
    "counted backwards": "{% for i in (-300000000..1) reversed %}a{% endfor %}",
    "counted in a filter": "{{ name | append: (1..300000000) }}",
    "loops in loops": "{% for i in (1..11) %}{% for j in (1..10) %}a{% endfor %}{% endfor %}",
    "doubling": "{% assign a = name %}" + "{% assign a = a | append: a %}" * 40 + "{{ a | size }}",
    "multiplying": "{{ 'aaaa'" + " | replace: 'a', 'aaaaaaaaaaaa'" * 12 + " | size }}",
    "joining": "{{ 'aaaa'" + " | split: '' | join: 'aaaaaaaaa'" * 12 + " | size }}",
    "powers": "{{ 9" + " | times: 99999999999999999999" * 99 + " }}",
    "nesting": "{% if true %}" * 31 + "a" + "{% endif %}" * 31,
    "nested names": "{{ " + "name[" * 1000 + "0" + "]" * 1000 + " }}",
    "long condition": "{% if " + "true and " * 700 + "true %}a{% endif %}",
    "capture": "{% capture a %}{% for i in (1..99) %}" + "x" * 99 + "{% endfor %}{% endcapture %}b",
    "output": "{% for i in (1..100) %}" + "x" * 99 + "{% endfor %}",
}


@pytest.mark.timeout(5)
@pytest.mark.parametrize("source", (BROKEN | RUNAWAYS).values(), ids=BROKEN | RUNAWAYS)
def test_what_cannot_be_written_is_refused_with_one_sentence(source: str) -> None:
    with pytest.raises(BadContent, match=r"^The message [^\n]+\.$") as refused:
        content.render(source, ADA)
    with pytest.raises(BadContent):
        content.check(source)

    assert len(str(refused.value)) < 300


def test_the_sentence_names_the_line() -> None:
    with pytest.raises(BadContent, match=r"cannot be read: unexpected tag 'shout' \(line 3\)\.$"):
        content.render("Hi\n{{ first_name }}\n{% shout %}\nBye\n", ADA)
    with pytest.raises(BadContent, match=r"cannot be written: .* \(line 2\)\.$"):
        content.render("\n{{ first_name.given }}\nBye\n", ADA)
    with pytest.raises(BadContent, match=r"cannot be read: .* \(line 1\)\.$"):
        content.render("{{ first_name\nBye\n", ADA)


def test_the_sentence_names_what_may_be_mentioned() -> None:
    with pytest.raises(BadContent, match=r"'frist_name'.*first_name, last_name, name, brand\.$"):
        content.render("Hi {{ frist_name }}", ADA)


@pytest.mark.parametrize(
    "source",
    [
        "{% for i in (1..100) %}a{% endfor %}",
        "{% for i in (0..99) %}a{% endfor %}",
        "{% for i in (1..10) %}{% for j in (1..10) %}a{% endfor %}{% endfor %}",
        "{% if true %}" * 29 + "a" + "{% endif %}" * 29,
    ],
)
def test_what_stays_within_the_limits_is_written(source: str) -> None:
    assert set(content.render(source, ADA)) == {"a"}


@pytest.mark.parametrize("letter", ["a", "\u00e9", "\u4e2d", EMOJI])
def test_the_longest_body_is_written_and_one_character_more_is_not(letter: str) -> None:
    assert content.render(letter * LIMIT, ADA) == letter * LIMIT
    with pytest.raises(BadContent):
        content.render(letter * LIMIT + "!", ADA)


def test_a_long_source_is_read_up_to_its_limit() -> None:
    comment = "{% comment %}{% endcomment %}Hi"
    longest = comment.replace("}{", "}" + "x" * (4 * LIMIT - len(comment)) + "{")

    assert content.render(longest, ADA) == "Hi"
    with pytest.raises(BadContent, match=r"written with more than 6400 characters\.$"):
        content.render(longest + "!", ADA)


@pytest.mark.parametrize("name", ["x" * 1_000_000, "Ada\x00", "Ada\ud83d", "\x00", EMOJI * 2000])
def test_a_name_that_no_text_can_carry_fails_for_its_person_alone(name: str) -> None:
    with pytest.raises(BadContent):
        content.render("Hi {{ first_name }}", ADA | {"first_name": name})
    assert content.render("Hi {{ first_name }}", ADA) == "Hi Ada"


def test_a_long_name_may_be_shortened() -> None:
    endless = ADA | {"first_name": "x" * 1_000_000}

    assert content.render("Hi {{ first_name | truncate: 5, '' }}", endless) == "Hi xxxxx"


def test_a_message_that_was_read_in_the_shallows_fails_politely_in_the_deep() -> None:
    source = "{% if " + "true and " * 150 + "true %}a{% endif %}"
    assert content.render(source, ADA) == "a"

    def dive(depth: int) -> str:
        return dive(depth - 1) if depth else content.render(source, ADA)

    outcomes = set()
    for depth in range(0, 960, 40):
        try:
            outcomes.add(dive(depth))
        except BadContent as refused:
            outcomes.add(str(refused))
        except RecursionError:  # of `dive` itself, before anything is written
            break
    assert outcomes == {"a", "The message cannot be written: it is nested too deeply."}


@pytest.mark.parametrize(
    "source",
    [
        "{{ brand }}: Hi {{ first_name | default: 'friend' }}, come and see. STOP to end",
        "{{ name | split: ' ' | first | default: 'friend' }}, hello",
        "Hi{% if first_name != '' %} {{ first_name }}{% endif %}",
        "{{ brand }}",
        "a" * LIMIT,
    ],
)
def test_a_message_that_everybody_can_get_passes_the_check(source: str) -> None:
    content.check(source)


@pytest.mark.parametrize(
    "source",
    [
        "{{ first_name }}",  # empty for who has no name
        "Hi {{ first_name }}",
        "Hi {{ first_name | append: '' }}",
        "Hi {% if last_name != '' %}{{ first_name }}{% endif %}",  # who has the one only
        "{% if name != '' %}Hi{% endif %}",
        "{% if first_name == '' %}Hi{% endif %}",
        "Hi {% if last_name == '' %}{{ last_name.given }}{% endif %}",
        "a" * (LIMIT - 50) + "{{ name }}",  # too long with a long name
        "{{ name }}" * 10,
    ],
)
def test_a_message_that_somebody_could_not_get_fails_the_check(source: str) -> None:
    with pytest.raises(BadContent):
        content.check(source)


@pytest.mark.parametrize("name", ["", " ", "\t\n"])
def test_a_field_is_never_silently_empty(name: str) -> None:
    with pytest.raises(NoFallback, match=r"first_name.*give a fallback") as refused:
        content.render("Hi {{ first_name }}!", ADA | {"first_name": name})

    assert refused.value.position == 3


PIECES = st.sampled_from(
    [
        *(
            "Hi ",
            "{{ name }}",
            "{{ first_name | default: 'x' }}",
            "{{",
            "}}",
            "{%",
            "%}",
            "\n",
            EMOJI,
        ),
        *("{% if name %}", "{% endif %}", "{% else %}", "{% for i in name %}", "{% endfor %}"),
        *("{{ i }}", "{{ (1..3) }}", "{{ name | split: '' | last }}", "{% assign i = name %}"),
        *("{{ name | slice: 1, 2 }}", "{{ nil | size }}", "{{ true | upcase }}", "{{ 1 | first }}"),
        *("{% case name %}", "{% when 1 %}", "{% endcase %}", "{% break %}", "{% capture i %}"),
        *("{% endcapture %}", "{{ name | remove: nil }}", "{% unless i %}", "{% endunless %}", "'"),
    ]
)


@given(st.lists(PIECES | st.text(max_size=5), max_size=12).map("".join), st.text(max_size=30))
def test_whatever_is_written_a_body_that_can_be_sent_comes_out_or_a_sentence(
    source: str, name: str
) -> None:
    fields = dict.fromkeys(content.FIELDS, name)
    try:
        body = content.render(source, fields)
    except BadContent:
        return
    assert body == body.strip() != ""
    assert len(body) <= LIMIT
    assert "\x00" not in body
    assert measure(body).segments >= 1


OUTPUTS = st.sampled_from(
    [
        *("Hi ", "{{ name }}", "{{ first_name }}", "{{name|default:'x'}}", "\n", EMOJI, " "),
        *("{{ name | default: '' }}", "{{ name | default: brand }}", "{{ nil }}", "{{- name -}}"),
        *("{{ name | default: 'x', allow_false: true }}", "{{ name | upcase }}", "{{ 'a' }}"),
        *("{{ name | default: 'x' | upcase }}", "{{ name['first'] }}", "{{ i }}", "{{ name }"),
    ]
)


@given(
    st.lists(OUTPUTS | st.text(max_size=3), max_size=8).map("".join),
    st.text(st.characters(), max_size=9) | st.sampled_from(["", " ", "x" * 900, "\ud83d", "\x00"]),
)
def test_fields_and_fallbacks_are_written_as_liquid_writes_them(source: str, name: str) -> None:
    def told(source: str) -> str:
        try:
            return content.render(source, dict.fromkeys(content.FIELDS, name))
        except BadContent as refused:
            return f"refused: {refused}"

    # A tag is nothing that may be filled in without Liquid.
    assert told(source) == told("{% comment %}{% endcomment %}" + source)
