"""A filter as somebody writes it in a form: rows and groups of texts, whole or not, and back to JSON.

The inputs are named by place: `rule-join` is the outermost group, `rule-0-what` its first row,
`rule-1-join` a group within it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from subscribers.segments.fields import (
    COMPARISONS,
    FIELDS,
    SINCE,
    TRAITS,
    Comparison,
    Kind,
    Operand,
)
from subscribers.segments.tree import DEEPEST

ROOT = "rule"
MOST_ROWS = 100  # of one form: Django takes 1,000 inputs
FIRST_ROW = "has_clicked"
JOINS = {
    "all": "All of these",
    "any": "At least one of these",
    "none": "None of these",
    "not_all": "Not all of these",
}
STATUSES = {
    "opted_in": "is opted in",
    "opted_out": "has opted out",
    "pending": "has not confirmed yet",
    "none": "never subscribed",
}


@dataclass(slots=True)
class Row:
    """One condition. What `key` and `kind` hold depends on `what`, a field's name or one of
    `trait` (its keys; how it is compared), `subscription` (brand; status), `list` and `segment` (id).
    """

    what: str = FIRST_ROW
    op: str = ""
    value: str = ""
    upper: str = ""  # of a range
    key: str = ""
    kind: str = ""
    error: str = ""


@dataclass(slots=True)
class Group:
    """Rows and groups, joined by one of JOINS."""

    join: str = "all"
    parts: list["Row | Group"] = field(default_factory=list)


def of_tree(tree: Any) -> Group:
    """The form of a valid tree."""
    part = _part(tree)
    return part if isinstance(part, Group) else Group("all", [part])


def read(data: Mapping[str, Any], at: str = ROOT, depth: int = 0) -> Group:
    """What was typed. Unknown choices become the first one; nothing is checked yet."""
    join = data.get(f"{at}-join", "all")
    group = Group(join if join in JOINS else "all")
    for place in range(MOST_ROWS):
        name = f"{at}-{place}"
        if f"{name}-join" in data and depth < DEEPEST:
            group.parts.append(read(data, name, depth + 1))
        elif f"{name}-what" in data:
            names = ("what", "op", "value", "upper", "key", "kind")
            row = Row(**{one: str(data.get(f"{name}-{one}", "")) for one in names})
            group.parts.append(row)
        else:
            break
    return group


def change(group: Group, wish: str) -> Group:
    """Do what a button says: `row`, `group` or `remove`, a colon, and the place."""
    action, _, at = wish.partition(":")
    places = [int(part) for part in at.removeprefix(ROOT).split("-") if part.isdecimal()]
    within = places[:-1] if action == "remove" else places
    target = group
    for place in within:
        if place >= len(target.parts) or not isinstance(target.parts[place], Group):
            return group
        target = target.parts[place]  # type: ignore[assignment]
    if action == "remove" and places and places[-1] < len(target.parts):
        del target.parts[places[-1]]
    elif action == "row" and rows(group) < MOST_ROWS:
        target.parts.append(Row())
    elif action == "group" and rows(group) < MOST_ROWS and len(places) < DEEPEST - 3:
        target.parts.append(Group("any", [Row()]))
    return group


def rows(group: Group) -> int:
    """How many conditions it has."""
    return sum(rows(part) if isinstance(part, Group) else 1 for part in group.parts)


def tree_of(part: Row | Group) -> dict[str, Any]:
    """The JSON of what was typed; what is wrong with it is `tree.parse`'s to say."""
    if isinstance(part, Row):
        return _row_tree(part)
    several = [tree_of(one) for one in part.parts]
    if part.join in ("all", "any"):
        return {part.join: several}
    return {"not": {"any" if part.join == "none" else "all": several}}


def comparisons(row: Row) -> dict[str, Comparison]:
    """What a row may be compared by."""
    if row.what in FIELDS:
        return COMPARISONS[FIELDS[row.what].kind]
    if row.what == "trait":
        return TRAITS[Kind(row.kind)] if row.kind in TRAITS else TRAITS[Kind.TEXT]
    if row.what == "subscription" and row.kind != "none":
        return {name: COMPARISONS[Kind.DATE][name] for name in SINCE}
    return {}


def _row_tree(row: Row) -> dict[str, Any]:
    if row.what in ("list", "segment"):
        leaf = {row.what: int(row.key) if row.key.isdecimal() else row.key}
        return {"not": leaf} if row.op == "not" else leaf
    known = comparisons(row)
    if row.what == "subscription":
        tree: dict[str, Any] = {"subscription": row.key, "is": row.kind or "opted_in"}
        if row.op not in known:
            return tree
    elif row.what == "trait":
        tree = {"trait": _keys(row.key), "as": row.kind if row.kind in TRAITS else "text"}
    else:
        tree = {"field": row.what}
    op = row.op if row.op in known else next(iter(known), "")
    tree["op"] = op
    if op in known and known[op].operand is not Operand.NONE:
        tree["value"] = _typed(row, known[op].operand)
    return tree


def _typed(row: Row, operand: Operand) -> Any:
    if operand is Operand.BOOLEAN:
        return row.value != "false"
    if operand is Operand.WORDS:
        return [line.strip() for line in row.value.splitlines() if line.strip()]
    if operand is Operand.RANGE:
        return [_number(row.value), _number(row.upper)]
    if operand in (Operand.NUMBER, Operand.DAYS):
        return _number(row.value)
    return row.value


def _number(text: str) -> Any:
    text = text.strip().replace(",", "")
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _keys(text: str) -> list[str]:
    """Keys with dots between them; keys that have dots themselves as a JSON list."""
    if text.startswith("["):
        try:
            return list(json.loads(text))
        except ValueError:
            return [text]
    return [key.strip() for key in text.split(".")]


def _part(tree: dict[str, Any]) -> Row | Group:
    if "all" in tree or "any" in tree:
        join = "all" if "all" in tree else "any"
        return Group(join, [_part(one) for one in tree[join]])
    if "not" not in tree:
        return _row(tree)
    inner = tree["not"]
    if "all" in inner:
        return Group("not_all", [_part(one) for one in inner["all"]])
    if "any" in inner:
        return Group("none", [_part(one) for one in inner["any"]])
    if "list" in inner or "segment" in inner:
        row = _row(inner)
        row.op = "not"
        return row
    return Group("none", [_part(inner)])


def _row(tree: dict[str, Any]) -> Row:
    op, value = tree.get("op", ""), tree.get("value")
    for what in ("list", "segment"):
        if what in tree:
            return Row(what, "is", key=str(tree[what]))
    upper = ""
    if isinstance(value, list) and op == "between":
        value, upper = value
    shown = "\n".join(value) if isinstance(value, list) else _text(value)
    if "subscription" in tree:
        return Row("subscription", op, shown, key=tree["subscription"], kind=tree["is"])
    if "trait" in tree:
        keys = tree["trait"]
        plain = not any("." in key or key.startswith("[") or key != key.strip() for key in keys)
        key = ".".join(keys) if plain else json.dumps(keys)
        return Row("trait", op, shown, str(upper), key, tree.get("as", "text"))
    return Row(tree["field"], op, shown, str(upper))


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)
