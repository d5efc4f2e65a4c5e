"""The JSON schema of a filter tree, for integrators and their editors; made from `fields`.

It says what `tree.parse` says, except for what JSON schema cannot say: the size of the whole tree,
that dates exist, and that what is referred to is there.
"""

from typing import Any

from subscribers.segments.fields import (
    COMPARISONS,
    FIELDS,
    SINCE,
    SUBSCRIBED_SINCE,
    TRAITS,
    Comparison,
    Kind,
    Operand,
)
from subscribers.segments.tree import (
    LARGEST,
    LONGEST_PATH,
    LONGEST_WORD,
    MOST_CONDITIONS,
    MOST_DAYS,
    MOST_WORDS,
)

_TEXT = {"type": "string", "maxLength": LONGEST_WORD}
_WORD = {**_TEXT, "minLength": 1}
_NUMBER = {"type": "number", "minimum": -LARGEST, "maximum": LARGEST}
_ID = {"type": "integer", "minimum": 1, "maximum": 2**63 - 1}
_VALUES: dict[Operand, dict[str, Any]] = {
    Operand.TEXT: _TEXT,
    Operand.WORD: _WORD,
    Operand.WORDS: {"type": "array", "minItems": 1, "maxItems": MOST_WORDS, "items": _TEXT},
    Operand.NUMBER: _NUMBER,
    Operand.RANGE: {"type": "array", "minItems": 2, "maxItems": 2, "items": _NUMBER},
    Operand.BOOLEAN: {"type": "boolean"},
    Operand.DAYS: {"type": "integer", "minimum": 1, "maximum": MOST_DAYS},
    Operand.MOMENT: {"type": "string", "description": "2026-11-28 or 2026-11-28T09:00:00Z"},
}


def of_trees() -> dict[str, Any]:
    """The schema (draft 2020-12)."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Segment filter",
        "$ref": "#/$defs/condition",
        "$defs": {"condition": {"oneOf": [*_groups(), *_leaves()]}},
    }


def _object(required: dict[str, Any], **optional: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {**required, **optional},
        "required": list(required),
        "additionalProperties": False,
    }


def _groups() -> list[dict[str, Any]]:
    one = {"$ref": "#/$defs/condition"}
    several = {"type": "array", "minItems": 1, "maxItems": MOST_CONDITIONS, "items": one}
    return [_object({"all": several}), _object({"any": several}), _object({"not": one})]


def _leaves() -> list[dict[str, Any]]:
    found = []
    for kind, comparisons in COMPARISONS.items():
        names = [name for name, field in FIELDS.items() if field.kind is kind]
        found += _compared({"field": {"enum": names}}, comparisons)
    keys = {"type": "array", "minItems": 1, "maxItems": LONGEST_PATH, "items": _WORD}
    for kind, comparisons in TRAITS.items():
        found += _compared({"trait": keys, "as": {"const": kind.value}}, comparisons)
    found += _compared({"trait": keys}, TRAITS[Kind.TEXT])  # "as" is text where it is left out
    statuses = [name for name in SUBSCRIBED_SINCE if name != "none"]
    found.append(_object({"subscription": _WORD, "is": {"enum": list(SUBSCRIBED_SINCE)}}))
    dates = {name: COMPARISONS[Kind.DATE][name] for name in SINCE}
    found += _compared({"subscription": _WORD, "is": {"enum": statuses}}, dates)
    return [*found, _object({"list": _ID}), _object({"segment": _ID})]


def _compared(about: dict[str, Any], comparisons: dict[str, Comparison]) -> list[dict[str, Any]]:
    """One shape for each kind of value that these comparisons take."""
    shapes = []
    for operand in dict.fromkeys(one.operand for one in comparisons.values()):
        ops = [name for name, one in comparisons.items() if one.operand is operand]
        value = {} if operand is Operand.NONE else {"value": _VALUES[operand]}
        shapes.append(_object({**about, "op": {"enum": ops}, **value}))
    return shapes
