"""The rule builder's form: what it shows of a filter is what it saves again."""

from typing import Any

import pytest
from django.http import QueryDict
from hypothesis import given, settings

from subscribers import segment_form
from subscribers.segments import draft, tree
from tests.subscribers.segments.test_against_python import trees


def typed(part: draft.Group | draft.Row, at: str = draft.ROOT) -> dict[str, str]:
    """The inputs of a form that shows this."""
    if isinstance(part, draft.Row):
        names = ("what", "op", "value", "upper", "key", "kind")
        return {f"{at}-{name}": getattr(part, name) for name in names}
    inputs = {f"{at}-join": part.join}
    for place, one in enumerate(part.parts):
        inputs |= typed(one, f"{at}-{place}")
    return inputs


def plain(rule: Any) -> Any:
    """A filter with its groups in one of several ways to say the same."""
    if "all" in rule or "any" in rule:
        join = "all" if "all" in rule else "any"
        inner = [plain(one) for one in rule[join]]
        return inner[0] if len(inner) == 1 else {join: inner}
    if "not" in rule:
        return {"not": plain(rule["not"])}
    return rule


def lines_survive(rule: Any) -> bool:
    """A list of words is written one a line, so its words have no line breaks or bare spaces."""
    if isinstance(rule, dict) and rule.get("op") in ("in", "not_in"):
        return all(word == word.strip() != "" for word in rule["value"])
    if isinstance(rule, dict):
        return all(lines_survive(one) for one in rule.values())
    return not isinstance(rule, list) or all(lines_survive(one) for one in rule)


@settings(max_examples=200, deadline=None)
@given(trees().filter(lines_survive))
def test_a_filter_goes_through_the_form_unchanged(rule: dict[str, Any]) -> None:
    shown = draft.of_tree(rule)

    read = draft.read(typed(shown))

    assert tree.parse(plain(draft.tree_of(read))) == tree.parse(plain(rule))


def names(group: draft.Group) -> list[Any]:
    return [names(part) if isinstance(part, draft.Group) else part.what for part in group.parts]


@pytest.mark.parametrize(
    ("wish", "then"),
    [
        ("row:rule", ["name", ["email", "phone"], "has_clicked"]),
        ("row:rule-1", ["name", ["email", "phone", "has_clicked"]]),
        ("group:rule", ["name", ["email", "phone"], ["has_clicked"]]),
        ("remove:rule-0", [["email", "phone"]]),
        ("remove:rule-1-0", ["name", ["phone"]]),
        ("remove:rule-1", ["name"]),
        *((wish, ["name", ["email", "phone"]]) for wish in ("", "remove:rule", "row:rule-0")),
        *(
            (wish, ["name", ["email", "phone"]])
            for wish in ("remove:rule-9", "row:rule-7-7", "x:y")
        ),
    ],
)
def test_a_button_changes_one_place(wish: str, then: list[Any]) -> None:
    rows = [draft.Row("name"), draft.Group("any", [draft.Row("email"), draft.Row("phone")])]

    assert names(draft.change(draft.Group("all", rows), wish)) == then


def test_a_form_never_grows_without_end() -> None:
    group = draft.Group()
    for _ in range(300):
        draft.change(group, "row:rule")
    assert draft.rows(group) == draft.MOST_ROWS
    at = draft.ROOT
    deep = draft.Group()
    for _ in range(20):
        draft.change(deep, f"group:{at}")
        at += "-0" if at == draft.ROOT else "-1"
    tree.parse(draft.tree_of(deep))


def test_each_wrong_row_says_what_is_wrong() -> None:
    inputs = {
        "rule-join": "all",
        "rule-0-what": "total_clicks",
        "rule-0-op": "at_least",
        "rule-0-value": "many",
        "rule-1-what": "has_clicked",
        "rule-1-value": "true",
        "rule-2-what": "passwords",
        "rule-2-value": "x",
    }
    data = QueryDict(mutable=True)
    data.update(inputs)
    group = draft.read(data)

    assert segment_form.mark_errors(group)

    errors = [part.error for part in group.parts]
    assert errors[0] == '"many" is not a number that can be compared; give a number.'
    assert errors[1] == ""
    assert "not known" in errors[2]
