"""Characters that make a text UCS-2, and the GSM-7 ones that look the same to a reader.

One curly quote cuts a segment from 160 characters to 70. Only what a reader does not miss is
replaced: quotes, dashes, spaces, marks, and letters of other alphabets with the same shape. An
accent changes a word, so accented letters stay.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence

from campaigns.content import GSM

_SHAPES = {
    "'": "\u2018\u2019\u201a\u201b\u2032\u2035\u02bc\u02bb\u02b9\u00b4\u0060\uff07",
    '"': "\u201c\u201d\u201e\u201f\u2033\u2036\u00ab\u00bb\uff02",
    "-": "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u2043\ufe58\ufe63\uff0d\u00ad",
    " ": "\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000\t",
    "": "\u200b\u200c\u200d\u2060\ufeff",
    "\n": "\u2028\u2029\u0085",
    "...": "\u2026",
    "..": "\u2025",
    "*": "\u2022\u2023\u25cf\u00b7\u2217",
    "/": "\u2044\u2215",
    "<": "\u2039",
    ">": "\u203a",
    "!": "\u01c3",
    "TM": "\u2122",
    "(R)": "\u00ae",
    "(C)": "\u00a9",
}
# Cyrillic and Greek letters with the shape of a Latin one.
_LETTERS = {
    "\u0410\u0412\u0415\u041a\u041c\u041d\u041e\u0420\u0421\u0422\u0425\u0406\u0408\u0405": "ABEKMHOPCTXIJS",
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458\u0455": "aeopcyxijs",
    "\u0391\u0392\u0395\u0396\u0397\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a5\u03a7": "ABEZHIKMNOPTYX",
    "\u03bf\u03bd": "ov",
}


def _table() -> dict[str, str]:
    table = {char: shape for shape, chars in _SHAPES.items() for char in chars}
    for theirs, ours in _LETTERS.items():
        table |= dict(zip(theirs, ours, strict=True))
    for code in range(0xFF01, 0xFF5F):  # full-width forms
        table.setdefault(chr(code), unicodedata.normalize("NFKC", chr(code)))
    return {
        char: shape for char, shape in table.items() if char not in GSM and GSM.issuperset(shape)
    }


TABLE = _table()
_REPLACE = str.maketrans(TABLE)


def outside_gsm(body: str) -> Counter[str]:
    """The characters that force UCS-2, with how often each occurs, in the order of the text."""
    return Counter(char for char in body if char not in GSM)


def replace(body: str) -> str:
    """The body with look-alikes of GSM-7, where that makes all of it GSM-7; else as it is.

    A body in another alphabet stays as it is: half of its letters in Latin would save nothing.
    """
    return replace_in([body])[0]


def replace_in(parts: Sequence[str]) -> list[str]:
    """The same for a body in parts, between which stands what must not be touched (in GSM-7)."""
    plain = [part.translate(_REPLACE) for part in parts]
    return plain if all(map(GSM.issuperset, plain)) else list(parts)


def name(char: str) -> str:
    """How a marketer finds it: '\u2019 (right single quotation mark)', or its code for a space."""
    called = unicodedata.name(char, "").lower()
    shown = f"{char} " if char.isprintable() and not char.isspace() else ""
    return f"{shown}({called or f'U+{ord(char):04X}'})"
