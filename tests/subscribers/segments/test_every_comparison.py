"""Every comparison with every value near its edge, over people who stand on both sides of it.

Random trees meet a given edge only now and then; here each is met.
"""

import datetime as dt
from collections.abc import Iterator
from itertools import batched
from typing import Any

import pytest

from subscribers.models import Subscriber
from subscribers.segments import people, tree
from subscribers.segments.fields import COMPARISONS, SINCE, TRAITS, Kind, Operand
from tests.subscribers.segments.test_against_python import (
    BRANDS,
    DAY,
    NOW,
    Naive,
    Person,
    World,
    world,
)

__all__ = ["world"]  # the fixture

SECOND = dt.timedelta(seconds=1)
WORDS = ["", "a", "A", "ab", "Ba", "aba", "Bä", "bÄ", "%", "a%b", "_", "a'b", '"', "\\", "%s", " a"]
NUMBERS = [0, 1, 2, 2.5, 3]
MOMENTS = [
    NOW + days * DAY + shift for days in (0, -1, -30) for shift in (-SECOND, 0 * DAY, SECOND)
]
TRAITS_OF = [*WORDS, *NUMBERS, True, False, None, [], ["a"], {"y": "a"}, {"y": 2}]
STATUSES = ["opted_in", "opted_out", "pending"]


def cast() -> list[Person]:
    """People who between them have each value of each field."""
    found = []
    for place in range(max(len(TRAITS_OF), len(MOMENTS) * len(STATUSES))):
        moment = MOMENTS[place % len(MOMENTS)] if place % 10 else None
        columns = {
            "name": WORDS[place % len(WORDS)],
            "total_revenue": NUMBERS[place % len(NUMBERS)],
            "last_engagement": moment,
            "has_clicked": place % 2 == 0,
            "jurisdictions": [[], ["US-FL"], ["US-FL", "CA"]][place % 3],
            "traits": {"x": TRAITS_OF[place]} if place < len(TRAITS_OF) else {},
        }
        status = STATUSES[place // len(MOMENTS) % 3]
        subscriptions = {BRANDS[0]: (status, MOMENTS[place % len(MOMENTS)])}
        found.append(Person(columns, subscriptions if place < 27 else {}))
    return found


VALUES: dict[Operand, list[Any]] = {
    Operand.TEXT: WORDS,
    Operand.WORD: [word for word in WORDS if word],
    Operand.WORDS: [[word] for word in WORDS] + [["a", "%", ""], ["BA", "ab"]],
    Operand.NUMBER: NUMBERS,
    Operand.RANGE: [[low, high] for low in NUMBERS for high in NUMBERS if low <= high],
    Operand.BOOLEAN: [True, False],
    Operand.DAYS: [1, 30],
    Operand.MOMENT: [moment.isoformat() for moment in MOMENTS] + ["2026-11-28", "2026-10-29"],
}


def compared(about: dict[str, Any], comparisons: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for op, comparison in comparisons.items():
        if comparison.operand is Operand.NONE:
            yield {**about, "op": op}
        else:
            for value in VALUES[comparison.operand]:
                yield {**about, "op": op, "value": value}


def every_leaf() -> Iterator[dict[str, Any]]:
    fields = {
        Kind.TEXT: "name",
        Kind.NUMBER: "total_revenue",
        Kind.BOOLEAN: "has_clicked",
        Kind.DATE: "last_engagement",
    }
    for kind, name in fields.items():
        yield from compared({"field": name}, COMPARISONS[kind])
    for op in COMPARISONS[Kind.PLACES]:
        for place in ("US-FL", "CA", "US"):
            yield {"field": "jurisdictions", "op": op, "value": place}
    for kind, comparisons in TRAITS.items():
        for keys in (["x"], ["x", "y"], ["x", "0"], ["z"]):
            yield from compared({"trait": keys, "as": kind.value}, comparisons)
    dates = {name: COMPARISONS[Kind.DATE][name] for name in SINCE}
    for status in (*STATUSES, "none"):
        yield {"subscription": BRANDS[0], "is": status}
        if status != "none":
            yield from compared({"subscription": BRANDS[0], "is": status}, dates)


@pytest.mark.parametrize("negated", [False, True])
def test_each_comparison_draws_the_line_where_the_documentation_does(
    negated: bool, world: World
) -> None:
    stored = world.store(cast(), [])
    naive = Naive({})
    ids = list(Subscriber.objects.values_list("pk", flat=True))
    leaves = list(every_leaf())
    empty_or_full = 0
    for some in batched(leaves, 100, strict=False):
        rules = [{"not": one} if negated else one for one in some]
        nodes = {place: tree.parse(rule) for place, rule in enumerate(rules)}
        found = people.within(people.conditions(nodes, world.workspace.pk, now=NOW), ids)
        for place, rule in enumerate(rules):
            expected = {pk for pk, person in stored.items() if naive.holds(rule, person)}
            assert found[place] == expected, rule
            empty_or_full += expected in (set(), set(stored))

    assert empty_or_full < len(leaves) * 0.6  # traits that nobody has part nobody
