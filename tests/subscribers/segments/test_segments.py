"""Filters that are refused, each with a sentence; what they may refer to; and what they say in words."""

import datetime as dt
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from subscribers import segments
from subscribers.models import Brand, Subscriber, Workspace
from subscribers.segment_models import ManualList, ManualListMember, Segment
from subscribers.segments import people, references, tree
from tests.subscribers.conftest import make_brand, make_person

NOW = dt.datetime(2026, 11, 28, 9, 30, tzinfo=dt.UTC)
CLICKED = {"field": "has_clicked", "op": "is", "value": True}


def deep(levels: int) -> dict[str, Any]:
    rule: dict[str, Any] = CLICKED
    for _ in range(levels):
        rule = {"not": rule}
    return rule


@pytest.mark.parametrize(
    ("rule", "path", "words"),
    [
        ([], "the top", "give an object"),
        (None, "the top", "give an object"),
        ({}, "the top", "exactly one of"),
        ({"all": [], "any": []}, "the top", "exactly one of"),
        ({"all": []}, "all", "at least one"),
        ({"any": {}}, "any", "at least one"),
        ({"all": [CLICKED, {"not": 3}]}, "all[1].not", "give an object"),
        ({"field": "passwd", "op": "is", "value": 1}, "field", '"passwd" is not known'),
        ({"field": ["x"], "op": "is", "value": 1}, "field", "this is not known"),
        ({"field": "workspace_id", "op": "is", "value": 1}, "field", "not known"),
        ({"field": "name", "op": "matches", "value": "x"}, "op", '"matches" is not known'),
        ({"field": "name", "op": "is"}, "value", "needs a value"),
        ({"field": "name", "op": "known", "value": "x"}, "value", "takes no value"),
        ({"field": "name", "op": "is", "value": 3}, "value", "not a text"),
        ({"field": "name", "op": "contains", "value": ""}, "value", "empty"),
        ({"field": "name", "op": "is", "value": "x" * 201}, "value", "longer than 200"),
        ({"field": "name", "op": "is", "value": "a\0"}, "value", "character"),
        ({"field": "name", "op": "is", "value": "\ud800"}, "value", "character"),
        ({"field": "name", "op": "in", "value": []}, "value", "list of 1 to"),
        ({"field": "name", "op": "in", "value": ["a", 1]}, "value[1]", "not a text"),
        ({"field": "total_clicks", "op": "is", "value": "3"}, "value", "give a number"),
        ({"field": "total_clicks", "op": "is", "value": True}, "value", "give a number"),
        ({"field": "total_clicks", "op": "is", "value": float("nan")}, "value", "give a number"),
        ({"field": "total_clicks", "op": "is", "value": 10**400}, "value", "give a number"),
        ({"field": "total_clicks", "op": "between", "value": [2, 1]}, "value", "swap them"),
        ({"field": "has_clicked", "op": "is", "value": 1}, "value", "neither true nor false"),
        ({"field": "created_at", "op": "within_days", "value": 0}, "value", "days, 1 to"),
        ({"field": "created_at", "op": "within_days", "value": 10**9}, "value", "days, 1 to"),
        ({"field": "created_at", "op": "before", "value": "soon"}, "value", "not a date"),
        ({"field": "created_at", "op": "before", "value": "2026-02-30"}, "value", "not a date"),
        (
            {"field": "created_at", "op": "before", "value": "2026-02-03T10:00"},
            "value",
            "no time zone",
        ),
        ({"field": "created_at", "op": "before", "value": "0001-01-01"}, "value", "year"),
        ({"trait": "state", "op": "is", "value": "FL"}, "trait", "list of 1 to"),
        ({"trait": ["a"], "as": "date", "op": "is", "value": "x"}, "as", "not known"),
        ({"trait": ["a", ""], "op": "is", "value": "x"}, "trait[1]", "empty"),
        ({"subscription": "wswd"}, "is", "not known"),
        ({"subscription": "wswd", "is": "opted_in", "value": 3}, "value", "needs an op"),
        ({"subscription": "wswd", "is": "none", "op": "before", "value": "x"}, "op", "no date"),
        ({"list": "1"}, "list", "not an id"),
        ({"segment": True}, "segment", "not an id"),
        ({"segment": 2**63}, "segment", "not an id"),
        ({"list": 1, "sql": "x"}, "the top", '"sql" does not belong here'),
        (deep(8), "not.not.not.not.not.not.not.not", "8 deep"),
    ],
    ids=str,
)
def test_a_filter_is_refused_with_the_place_and_what_to_do(
    rule: object, path: str, words: str
) -> None:
    with pytest.raises(segments.Invalid) as refused:
        tree.parse(rule)

    assert refused.value.path == path
    assert words in str(refused.value)
    assert str(refused.value).startswith(f"At {path}: ")


def test_a_filter_of_too_many_conditions_is_refused() -> None:
    tree.parse({"all": [CLICKED] * 199})
    with pytest.raises(segments.Invalid, match="200 conditions"):
        tree.parse({"all": [CLICKED] * 200})


def find(rule: object, workspace: Workspace) -> list[int]:
    found = people.sample(tree.parse(rule), workspace.pk, now=NOW, at_most=100)
    return [one.subscriber_id for one in found]


INJECTIONS = [
    "'; DROP TABLE subscribers_subscriber; --",
    "') OR true --",
    "%s",
    "%(workspace)s",
    "{0}",
    '" OR ""="',
    "\\'; --",
    "$$ OR true $$",
]


@pytest.mark.parametrize("evil", INJECTIONS)
def test_values_are_only_ever_values(evil: str, workspace: Workspace) -> None:
    named = make_person(workspace, 1, name=evil, traits={evil: {evil: evil}})
    make_person(workspace, 2, name="Ada")
    for op in ("is", "contains", "starts_with", "ends_with"):
        assert find({"field": "name", "op": op, "value": evil}, workspace) == [named.pk]
    assert find({"field": "name", "op": "in", "value": [evil]}, workspace) == [named.pk]
    assert find({"trait": [evil, evil], "op": "is", "value": evil}, workspace) == [named.pk]
    for rule in (
        {"field": evil, "op": "is", "value": "x"},
        {"field": "name", "op": evil, "value": "x"},
        {"trait": ["x"], "as": evil, "op": "is", "value": "x"},
        {"subscription": "wswd", "is": evil},
        {"list": evil},
    ):
        with pytest.raises(segments.Invalid):
            find(rule, workspace)
    with pytest.raises(segments.Invalid, match="not in this workspace"):
        find({"subscription": evil, "is": "opted_in"}, workspace)
    assert Subscriber.objects.count() == 2


def segment(workspace: Workspace, name: str, rule: object) -> Segment:
    return Segment.objects.create(workspace=workspace, name=name, tree=rule)


def test_nothing_of_another_workspace_is_found_or_referred_to(
    workspace: Workspace, other_workspace: Workspace
) -> None:
    ours = make_person(workspace, 1, has_clicked=True)
    theirs = make_person(other_workspace, 2, has_clicked=True)
    make_brand(other_workspace, "ta")
    their_list = ManualList.objects.create(workspace=other_workspace, name="staff")
    ManualListMember.objects.create(manual_list=their_list, subscriber=theirs)
    their_segment = segment(other_workspace, "clicked", CLICKED)

    assert find(CLICKED, workspace) == [ours.pk]
    assert find({"not": {"not": CLICKED}}, workspace) == [ours.pk]
    assert find({"any": [CLICKED, {"not": CLICKED}]}, workspace) == [ours.pk]
    for rule in (
        {"list": their_list.pk},
        {"segment": their_segment.pk},
        {"subscription": "ta", "is": "opted_in"},
    ):
        with pytest.raises(segments.Invalid, match="not in this workspace"):
            find(rule, workspace)
        with pytest.raises(segments.Invalid, match="not in this workspace"):
            segments.validate({"not": {"any": [CLICKED, rule]}}, workspace)


def test_a_segment_cannot_use_itself_not_even_through_others(workspace: Workspace) -> None:
    first = segment(workspace, "first", CLICKED)
    second = segment(workspace, "second", {"not": {"segment": first.pk}})
    third = segment(workspace, "third", {"segment": second.pk})

    with pytest.raises(segments.Invalid, match="first > first"):
        segments.validate({"segment": first.pk}, workspace, segment_id=first.pk)
    with pytest.raises(segments.Invalid, match="first > third > second > first"):
        segments.validate({"all": [{"segment": third.pk}]}, workspace, segment_id=first.pk)
    segments.validate({"segment": third.pk}, workspace)

    # Written behind the checks' back: nobody is found, and nothing loops.
    first.tree = {"segment": third.pk}
    first.save()
    with pytest.raises(segments.Invalid, match="cannot use itself"):
        segments.count(third, now=NOW)


def test_segments_use_segments_only_so_deep(workspace: Workspace) -> None:
    bottom = last = segment(workspace, "0", CLICKED)
    for level in range(1, 6):
        rule = {"segment": last.pk}
        segments.validate(rule, workspace)
        last = segment(workspace, str(level), rule)

    with pytest.raises(segments.Invalid, match="5 deep"):
        segments.validate({"segment": last.pk}, workspace)
    below = segment(workspace, "below", CLICKED)
    with pytest.raises(segments.Invalid, match="5 deep"):
        segments.validate({"segment": below.pk}, workspace, segment_id=bottom.pk)


def test_a_segment_that_others_use_cannot_make_them_too_large(workspace: Workspace) -> None:
    small = segment(workspace, "small", CLICKED)
    segment(workspace, "large", {"any": [{"segment": small.pk}] * 100})

    segments.validate({"all": [CLICKED] * 2}, workspace, segment_id=small.pk)
    with pytest.raises(segments.Invalid, match="large has too many conditions"):
        segments.validate({"all": [CLICKED] * 10}, workspace, segment_id=small.pk)


def test_what_a_filter_refers_to_costs_the_same_however_much_it_is(workspace: Workspace) -> None:
    make_brand(workspace, "wswd")
    lists = [ManualList.objects.create(workspace=workspace, name=str(n)) for n in range(20)]
    used = [segment(workspace, str(n), {"list": one.pk}) for n, one in enumerate(lists)]
    rule = [{"segment": one.pk} for one in used] + [{"subscription": "wswd", "is": "opted_in"}]

    with CaptureQueriesContext(connection) as queries:
        references.load([tree.parse({"any": rule})], workspace.pk)

    assert len(queries) == 3


def test_a_filter_is_told_in_plain_words(workspace: Workspace, brand: Brand) -> None:
    staff = ManualList.objects.create(workspace=workspace, name="staff")
    vip = segment(workspace, "VIP", CLICKED)
    rule = {
        "all": [
            {"subscription": "wswd", "is": "opted_in", "op": "within_days", "value": 30},
            {
                "any": [
                    {"field": "total_revenue", "op": "at_least", "value": 1000},
                    {"field": "last_purchase_at", "op": "before", "value": "2026-01-01"},
                    {"trait": ["address", "city"], "op": "in", "value": ["Rome", "Oslo"]},
                ]
            },
            {"segment": vip.pk},
            {"not": {"list": staff.pk}},
            {"not": {"field": "has_purchased", "op": "is", "value": True}},
        ]
    }

    assert segments.describe(segment(workspace, "all of it", rule)) == (
        "opted in to WSWD within the last 30 days and (revenue is at least 1,000 or last purchase"
        " was before 2026-01-01 or trait address > city is one of 'Rome', 'Oslo') and in the"
        " segment 'VIP', but not on the list 'staff' and not has bought"
    )
