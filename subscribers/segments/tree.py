"""A filter tree: JSON read into values, or refused with one sentence that names the place.

Every limit here keeps a filter that anybody may send cheap to read, to store and to run.
"""

import datetime as dt
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
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

MOST_CONDITIONS = 200  # of one tree, groups included
DEEPEST = 8  # groups within groups
MOST_WORDS = 500
LONGEST_WORD = 200
LONGEST_PATH = 5  # keys of a trait
MOST_DAYS = 3650
LARGEST = 10**15

type Value = str | bool | Decimal | int | dt.datetime | tuple[str, ...] | tuple[Decimal, ...] | None
type Node = All | AnyOf | Not | FieldRule | TraitRule | SubscriptionRule | ListRule | SegmentRule


class Invalid(ValueError):
    """The tree is refused; `path` says where ('all[1].value'), `sentence` what to do."""

    def __init__(self, path: str, sentence: str) -> None:
        """`sentence` completes "At <path>: "."""
        self.path, self.sentence = path, sentence
        super().__init__(f"At {path}: {sentence}" if path else sentence)


@dataclass(frozen=True, slots=True)
class All:
    """Every one of these holds."""

    nodes: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one of these holds."""

    nodes: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """This does not hold."""

    node: Node


@dataclass(frozen=True, slots=True)
class FieldRule:
    """A field of the subscriber, compared."""

    field: str
    op: str
    value: Value = None


@dataclass(frozen=True, slots=True)
class TraitRule:
    """A value within the traits, found by the keys of nested objects; another kind never matches."""

    keys: tuple[str, ...]
    kind: Kind
    op: str
    value: Value = None


@dataclass(frozen=True, slots=True)
class SubscriptionRule:
    """How the subscription to a brand (by its slug) stands, and since when."""

    brand: str
    status: str
    op: str = ""
    value: Value = None


@dataclass(frozen=True, slots=True)
class ListRule:
    """Is on a manual list."""

    id: int


@dataclass(frozen=True, slots=True)
class SegmentRule:
    """Is in another segment."""

    id: int


def parse(tree: object) -> Node:
    """Read a tree of JSON values. Raises Invalid."""
    return _Reader().node(tree, "", 1)


def walk(node: Node) -> Iterator[Node]:
    """The node and everything below it."""
    yield node
    match node:
        case All(nodes) | AnyOf(nodes):
            for one in nodes:
                yield from walk(one)
        case Not(one):
            yield from walk(one)
        case _:
            pass


class _Reader:
    def __init__(self) -> None:
        self.conditions = 0
        self.readers: dict[str, Callable[[dict[str, Any], str], Node]] = {
            "field": self._field,
            "trait": self._trait,
            "subscription": self._subscription,
            "list": self._list,
            "segment": self._segment,
        }

    def node(self, tree: object, path: str, depth: int) -> Node:
        where = path or "the top"
        if not isinstance(tree, dict):
            raise Invalid(where, "give an object such as {'field': 'has_clicked', ...}.")
        self.conditions += 1
        if self.conditions > MOST_CONDITIONS:
            raise Invalid("", f"A filter may have {MOST_CONDITIONS} conditions; use fewer.")
        if depth > DEEPEST:
            raise Invalid(path, f"groups may be nested {DEEPEST} deep; flatten them.")
        kinds = [name for name in (*self.readers, "all", "any", "not") if name in tree]
        if len(kinds) != 1:
            raise Invalid(
                where,
                "give exactly one of all, any, not, field, trait, subscription, list or segment.",
            )
        name = kinds[0]
        at = f"{path}.{name}" if path else name
        if name in self.readers:
            return self.readers[name](tree, path)
        _only(tree, path, name)
        if name == "not":
            return Not(self.node(tree["not"], at, depth + 1))
        given = tree[name]
        if not isinstance(given, list) or not given:
            raise Invalid(at, "give a list of at least one condition.")
        nodes = tuple(
            self.node(one, f"{at}[{place}]", depth + 1) for place, one in enumerate(given)
        )
        return All(nodes) if name == "all" else AnyOf(nodes)

    def _field(self, tree: dict[str, Any], path: str) -> Node:
        _only(tree, path, "field", "op", "value")
        field = _choice(tree["field"], FIELDS, _at(path, "field"))
        op = _op(tree, COMPARISONS[FIELDS[field].kind], path)
        return FieldRule(field, op, _value(tree, COMPARISONS[FIELDS[field].kind][op], path))

    def _trait(self, tree: dict[str, Any], path: str) -> Node:
        _only(tree, path, "trait", "as", "op", "value")
        at, keys = _at(path, "trait"), tree["trait"]
        if not isinstance(keys, list) or not 1 <= len(keys) <= LONGEST_PATH:
            raise Invalid(at, f"give a list of 1 to {LONGEST_PATH} keys, such as ['state'].")
        words = tuple(_word(key, f"{at}[{place}]") for place, key in enumerate(keys))
        kind = Kind(_choice(tree.get("as", "text"), TRAITS, _at(path, "as")))
        op = _op(tree, TRAITS[kind], path)
        return TraitRule(words, kind, op, _value(tree, TRAITS[kind][op], path))

    def _subscription(self, tree: dict[str, Any], path: str) -> Node:
        _only(tree, path, "subscription", "is", "op", "value")
        brand = _word(tree["subscription"], _at(path, "subscription"))
        status = _choice(tree.get("is"), SUBSCRIBED_SINCE, _at(path, "is"))
        if "op" not in tree:
            if "value" in tree:
                raise Invalid(_at(path, "value"), "a value needs an op; leave it out.")
            return SubscriptionRule(brand, status)
        if status == "none":
            raise Invalid(_at(path, "op"), "what never was has no date; leave op out.")
        dates = {name: COMPARISONS[Kind.DATE][name] for name in SINCE}
        op = _op(tree, dates, path)
        return SubscriptionRule(brand, status, op, _value(tree, dates[op], path))

    def _list(self, tree: dict[str, Any], path: str) -> Node:
        _only(tree, path, "list")
        return ListRule(_id(tree["list"], _at(path, "list")))

    def _segment(self, tree: dict[str, Any], path: str) -> Node:
        _only(tree, path, "segment")
        return SegmentRule(_id(tree["segment"], _at(path, "segment")))


def _at(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _shown(value: object) -> str:
    """A value as the sentence repeats it: short, whatever was sent."""
    if isinstance(value, dict | list):
        return "this"
    text = json.dumps(value, default=str)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _only(tree: dict[str, Any], path: str, *names: str) -> None:
    for name in tree:
        if name not in names:
            known = ", ".join(names)
            raise Invalid(path or "the top", f"{_shown(name)} does not belong here; use {known}.")


def _choice(value: object, known: Any, at: str) -> str:
    if not isinstance(value, str) or value not in known:
        raise Invalid(at, f"{_shown(value)} is not known; use one of {', '.join(known)}.")
    return str(value)


def _op(tree: dict[str, Any], known: dict[str, Comparison], path: str) -> str:
    return _choice(tree.get("op"), known, _at(path, "op"))


def _id(value: object, at: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 2**63:
        raise Invalid(at, f"{_shown(value)} is not an id; give a whole number.")
    return value


_UNSTORABLE = re.compile(r"[\x00\ud800-\udfff]")


def _text(value: object, at: str) -> str:
    if not isinstance(value, str):
        raise Invalid(at, f"{_shown(value)} is not a text; put it in quotes.")
    if len(value) > LONGEST_WORD:
        raise Invalid(at, f"this text is longer than {LONGEST_WORD} characters; shorten it.")
    if _UNSTORABLE.search(value):
        raise Invalid(at, "this text holds a character that no field can hold; remove it.")
    return value


def _word(value: object, at: str) -> str:
    if not _text(value, at):
        raise Invalid(at, "this text is empty; fill it in.")
    return str(value)


def _words(value: object, at: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not 1 <= len(value) <= MOST_WORDS:
        raise Invalid(at, f"give a list of 1 to {MOST_WORDS} texts.")
    return tuple(_text(one, f"{at}[{place}]") for place, one in enumerate(value))


def _number(value: object, at: str) -> Decimal:
    ordinary = isinstance(value, int | float) and not isinstance(value, bool)
    if not ordinary or not abs(value) <= LARGEST:  # type: ignore[arg-type] - NaN compares false
        raise Invalid(at, f"{_shown(value)} is not a number that can be compared; give a number.")
    return Decimal(str(value))


def _range(value: object, at: str) -> tuple[Decimal, ...]:
    if not isinstance(value, list) or len(value) != 2:
        raise Invalid(at, "give two numbers, [from, to].")
    low, high = _number(value[0], f"{at}[0]"), _number(value[1], f"{at}[1]")
    if low > high:
        raise Invalid(at, "the first number is the larger one; swap them.")
    return low, high


def _boolean(value: object, at: str) -> bool:
    if not isinstance(value, bool):
        raise Invalid(at, f"{_shown(value)} is neither true nor false; give one of them.")
    return value


def _days(value: object, at: str) -> int:
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole or not 1 <= value <= MOST_DAYS:  # type: ignore[operator]
        raise Invalid(at, f"give a whole number of days, 1 to {MOST_DAYS}.")
    return int(value)  # type: ignore[call-overload]


def _moment(value: object, at: str) -> dt.datetime:
    try:
        moment = dt.datetime.fromisoformat(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise Invalid(
            at, f"{_shown(value)} is not a date; write it as 2026-11-28 or 2026-11-28T09:00:00Z."
        ) from None
    if len(str(value)) > 10 and moment.tzinfo is None:
        raise Invalid(at, f"{_shown(value)} has no time zone; end it with Z or an offset.")
    moment = moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment
    if not 1900 <= moment.year <= 2200:
        raise Invalid(at, "give a year between 1900 and 2200.")
    return moment


_READ: dict[Operand, Callable[[object, str], Value]] = {
    Operand.TEXT: _text,
    Operand.WORD: _word,
    Operand.WORDS: _words,
    Operand.NUMBER: _number,
    Operand.RANGE: _range,
    Operand.BOOLEAN: _boolean,
    Operand.DAYS: _days,
    Operand.MOMENT: _moment,
}


def _value(tree: dict[str, Any], comparison: Comparison, path: str) -> Value:
    at = _at(path, "value")
    if comparison.operand is Operand.NONE:
        if "value" in tree:
            raise Invalid(at, f"{tree['op']} takes no value; leave it out.")
        return None
    if "value" not in tree:
        raise Invalid(at, f"{tree['op']} needs a value.")
    return _READ[comparison.operand](tree["value"], at)
