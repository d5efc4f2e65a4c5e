"""What the parsers of outsiders' words are fed: 10,000 cases each, of bytes and of damaged truth.

A case is built from one seed that Hypothesis draws: drawing each of its words would take ten times
as long. A failure shows the case.
"""

import json
from collections.abc import Callable
from random import Random
from xml.sax.saxutils import escape

from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st

THOROUGH = settings(
    max_examples=10_000, deadline=None, suppress_health_check=list(HealthCheck), database=None
)
seeds = st.integers(0, 2**64 - 1).map(Random)
# Numbers, words and characters that have broken a parser somewhere.
WORDS = (
    "", " ", "\0", "\0\0", "a\0b", "\ud800", "a\udfffb", "\u202e", "é", "日本語", "🎉", "x" * 5000, "null",
    "NaN", "Infinity", "-0", "1e999", "0x10", "٣٤٥", "9" * 400, "1" + "0" * 4000, "9" * 5000, "True",
    "+1 212 555 0100", "12125550100", "+12125550100", "2125550100", "71441", "+71441", "00442079460000",
    "+٤٤٢٠٧٩٤٦٠٠٠٠", "+1" + "0" * 50, "tel:+12125550100;phone-context=x", "+", "++1", "%2B12125550100",
    "'; DROP TABLE x; --", "<!DOCTYPE x>", "&amp;", "&", "=", ";", "\r\n", "%", "%00", "%ff", "%ED%A0%80",
    "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-02-30", "0E-999999999", "0E+999999",
)  # fmt: skip
DEEP = (1, 40, 500, 900, 995, 1200, 4000, 9990, 50_000)


def nested(kind: str, depth: int) -> str:
    """JSON so deep, as lists or as objects."""
    opening, closing = {"list": ("[", "]"), "object": ('{"a":', "}")}[kind]
    return opening * depth + "1" + closing * depth


# JSON as it may be spelt, which no encoder would write.
SPELT = (
    "null", "true", "0", "-1", "1.5", "1e999", "-1e999", "NaN", "Infinity", "9" * 400, "9" * 5000,
    "[]", "{}", "[null]", '{"a": {"b": []}}', '"\\ud800"', '"\\u0000"', '""',
    *(nested(kind, depth) for kind in ("list", "object") for depth in DEEP),
)  # fmt: skip


def word(random: Random) -> str:
    """One of those, or some characters of any kind."""
    if random.random() < 0.7:
        return random.choice(WORDS)
    return "".join(chr(random.randrange(0x110000)) for _ in range(random.randrange(12)))


def pairs(random: Random, valid: dict[str, str]) -> list[tuple[str, str]]:
    """What is valid, with up to three fields changed, added, told twice or taken away."""
    told = list(valid.items())
    for _ in range(random.randrange(4)):
        if told and random.random() < 0.3:
            told.pop(random.randrange(len(told)))
        else:
            name = random.choice((*valid, "more", ""))
            told.insert(random.randrange(len(told) + 1), (name, word(random)))
    return told


def damaged(random: Random, whole: bytes) -> bytes:
    """Mostly as it is; else with a few bytes replaced, cut out or put in, or cut off."""
    if random.random() < 0.7:
        return whole
    place = random.randrange(len(whole) + 1)
    damage = random.randbytes(random.randrange(1, 7))
    return random.choice(
        [
            whole[:place],
            whole[:place] + damage + whole[place:],
            whole[:place] + damage + whole[place + len(damage) :],
            whole[:place] + whole[place + len(damage) :],
        ]
    )


def body(random: Random, build: Callable[[Random], bytes]) -> bytes:
    """What `build` makes, damaged perhaps, or bytes of no kind."""
    told = random.randbytes(random.randrange(60))
    if random.random() < 0.85:
        told = damaged(random, build(random))
    note(ascii(told[:2000]))
    return told


def latin(random: Random) -> str:
    """A header or a query as a WSGI server hands it on."""
    return random.randbytes(random.randrange(12)).decode("latin-1")


def spelt(fields: list[tuple[str, str]], random: Random) -> str:
    """A JSON object, by hand: a name may stand twice, a value may be none that an encoder writes."""
    values = (
        random.choice(SPELT) if random.random() < 0.03 else json.dumps(value) for _, value in fields
    )
    told = zip((name for name, _ in fields), values, strict=True)
    return "{" + ",".join(f"{json.dumps(name)}:{value}" for name, value in told) + "}"


PROLOGUES = (
    "", '<?xml version="1.0" encoding="UTF-8"?>', '<?xml version="1.0" encoding="none-such"?>', "\ufeff",
    '<?xml version="1.0" encoding="utf-16"?>', "<!DOCTYPE a>", "<!-- x -->", "<?php ?>", " \n",
    '<!DOCTYPE a SYSTEM "file:///etc/passwd">', '<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]>',
    '<!DOCTYPE a [<!ENTITY e "1212"><!ENTITY f "&e;&e;&e;&e;&e;"><!ENTITY g "&f;&f;&f;&f;&f;">]>',
)  # fmt: skip
INSIDE = (
    "&e;", "&g;", "&#0;", "&#x1F600;", "&#xD800;", "&amp;", "<![CDATA[<]]>", "<!-- y -->", "<x:y/>", "<a",
    "</a>", "<a>" * 300, "<b/>" * 600, "<c x='&g;'/>", "<d xmlns='urn:x'>1</d>", "]]>", "\0", "\x0b",
)  # fmt: skip


def xml(random: Random, root: str, record: str, valid: dict[str, str]) -> bytes:
    """Up to three records of a list, with a prologue and words that no list has."""
    records = []
    for _ in range(random.randrange(4)):
        fields = (
            f"<{name or 'x'}>{_escaped(random, value)}</{name or 'x'}>"
            for name, value in pairs(random, valid)
        )
        records.append(f"<{record}>{''.join(fields)}</{record}>")
    told = f"<{root}>{''.join(records)}</{root}>"
    if random.random() < 0.3:
        told = random.choice(PROLOGUES) + told
    encoding = "utf-16" if random.random() < 0.05 else "utf-8"
    return told.encode(encoding, "surrogatepass")


def _escaped(random: Random, value: str) -> str:
    if random.random() < 0.1:
        return random.choice(INSIDE)
    return value if random.random() < 0.1 else escape(value)
