"""A filter in plain words: "opted in to WSWD and total clicks ..., but not on the list 'staff'"."""

import datetime as dt
from decimal import Decimal

from subscribers.segments.fields import COMPARISONS, FIELDS, TRAITS, Comparison, Kind, Operand
from subscribers.segments.references import References
from subscribers.segments.tree import (
    All,
    AnyOf,
    FieldRule,
    ListRule,
    Node,
    Not,
    SegmentRule,
    SubscriptionRule,
    TraitRule,
    Value,
)

MOST_NAMED = 5  # of a long list of values
_STATUS = {
    "opted_in": "opted in to {}",
    "opted_out": "opted out of {}",
    "pending": "asked for {} and not yet confirmed",
    "none": "never subscribed to {}",
}


def describe(node: Node, references: References) -> str:
    """One sentence without its full stop, for who cannot read JSON."""
    return _say(node, references, inner=False)


def _say(  # noqa: PLR0911 - one case a kind of node
    node: Node, references: References, *, inner: bool
) -> str:
    match node:
        case All(nodes):
            said = _say_all(nodes, references)
            return f"({said})" if inner and len(nodes) > 1 else said
        case AnyOf(nodes):
            said = " or ".join(_say(one, references, inner=True) for one in nodes)
            return f"({said})" if inner and len(nodes) > 1 else said
        case Not(one):
            return f"not {_say(one, references, inner=True)}"
        case FieldRule(name, op, value):
            return _field(name, op, value)
        case TraitRule(keys, kind, op, value):
            return f"trait {' > '.join(keys)} {_compared(TRAITS[kind][op], value)}"
        case SubscriptionRule(brand, status, op, value):
            said = _STATUS[status].format(references.brands[brand][1])
            return f"{said} {_since(op, value)}" if op else said
        case ListRule(pk):
            return f"on the list {references.lists[pk]!r}"
        case SegmentRule(pk):
            return f"in the segment {references.segments[pk][0]!r}"


def _say_all(nodes: tuple[Node, ...], references: References) -> str:
    """What holds, then what must not."""
    yes = [_say(one, references, inner=True) for one in nodes if not isinstance(one, Not)]
    no = [_say(one.node, references, inner=True) for one in nodes if isinstance(one, Not)]
    if not no:
        return " and ".join(yes)
    excluded = "not " + " and not ".join(no)
    return f"{' and '.join(yes)}, but {excluded}" if yes else excluded


def _field(name: str, op: str, value: Value) -> str:
    field = FIELDS[name]
    if field.kind is Kind.BOOLEAN:
        return field.yes if value else field.no
    return f"{field.label} {_compared(COMPARISONS[field.kind][op], value)}"


def _since(op: str, value: Value) -> str:
    return _compared(COMPARISONS[Kind.DATE][op], value).removeprefix("was ")


def _compared(comparison: Comparison, value: Value) -> str:
    return comparison.words.format(_shown(value, comparison.operand))


def _shown(value: Value, operand: Operand) -> str:  # noqa: PLR0911 - one case a kind of value
    if operand is Operand.DAYS:
        return "1 day" if value == 1 else f"{value} days"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return f"{value:,f}"
    if isinstance(value, dt.datetime):
        moment = value.astimezone(dt.UTC)
        return (
            f"{moment:%Y-%m-%d}" if moment.time() == dt.time() else f"{moment:%Y-%m-%d %H:%M} UTC"
        )
    if isinstance(value, tuple) and operand is Operand.RANGE:
        return " and ".join(f"{one:,f}" for one in value)
    if isinstance(value, tuple):
        named = ", ".join(repr(one) for one in value[:MOST_NAMED])
        more = len(value) - MOST_NAMED
        return f"{named} or {more} more" if more > 0 else named
    return repr(value)
