"""Any filter over any people: what the SQL finds is what a plain reading of the JSON finds.

`Naive` reads the JSON itself, from docs/segments.md, and shares no code with what it checks.
"""

import datetime as dt
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from subscribers.models import Brand, Subscriber, Subscription, Workspace
from subscribers.secrets import phone_hash
from subscribers.segment_models import ManualList, ManualListMember, Segment
from subscribers.segments import people, schema, tree
from tests.subscribers.conftest import make_brand, make_workspace

NOW = dt.datetime(2026, 11, 28, 9, 30, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
BRANDS = ("wswd", "ta")
LISTS, SEGMENTS = (1, 2), (1, 2)  # places: the real ids are known when the rows are there

# Few values, so that filters meet people; letters whose case PostgreSQL and Python see alike.
WORDS = st.sampled_from(
    ["", "a", "A", "ab", "Bä", "bÄ", "%", "_", "a'b", '"', "\\", "b%s", "-- ", "é"]
)
FULL_WORDS = WORDS.filter(bool)
TEXT_FIELDS = ("name", "first_name", "email", "acq_source", "acq_term", "form_title", "postcode")
NUMBER_FIELDS = ("total_clicks", "total_purchases", "total_revenue")
DATE_FIELDS = ("first_click_at", "last_purchase_at", "last_engagement")
PLACES = st.sampled_from(["US-FL", "US", "CA"])
MOMENTS = st.sampled_from(
    [NOW + shift for days in (0, 1, 2, 30) for shift in (-days * DAY, -days * DAY - DAY / 86_400)]
)
NUMBERS = st.sampled_from([0, 1, 2, 3, 2.5, -1])
KEYS = st.lists(st.sampled_from(["x", "y", "0", "a b"]), min_size=1, max_size=3)
SCALARS = st.none() | st.booleans() | NUMBERS | WORDS
TRAITS = st.dictionaries(
    st.sampled_from(["x", "y", "0", "a b"]),
    SCALARS
    | st.lists(SCALARS, max_size=2)
    | st.dictionaries(st.sampled_from(["x", "y", "0"]), SCALARS, max_size=2),
    max_size=3,
)


@dataclass(frozen=True)
class Person:
    columns: dict[str, Any]
    subscriptions: dict[str, tuple[str, dt.datetime]]  # by brand: status, and since when
    lists: frozenset[int] = field(default=frozenset())


def columns() -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            **dict.fromkeys(TEXT_FIELDS, WORDS),
            **dict.fromkeys(DATE_FIELDS, st.none() | MOMENTS),
            "total_clicks": st.integers(0, 3),
            "total_purchases": st.integers(0, 3),
            "total_revenue": st.sampled_from([0, 1, 2.5, 3]),
            "has_clicked": st.booleans(),
            "jurisdictions": st.lists(PLACES, max_size=2),
            "traits": TRAITS,
        }
    )


STATUSES = st.sampled_from(["opted_in", "opted_out", "pending"])
PEOPLE = st.builds(
    Person,
    columns(),
    st.dictionaries(st.sampled_from(BRANDS), st.tuples(STATUSES, MOMENTS)),
    st.frozensets(st.sampled_from(LISTS)),
)


def moments() -> st.SearchStrategy[str]:
    midnights = st.sampled_from([f"{NOW - DAY:%Y-%m-%d}", "2026-11-28T00:00:00+05:00"])
    return midnights | MOMENTS.map(dt.datetime.isoformat)


def dated() -> st.SearchStrategy[dict[str, Any]]:
    days = st.fixed_dictionaries(
        {
            "op": st.sampled_from(["within_days", "older_than_days"]),
            "value": st.sampled_from([1, 2, 30]),
        }
    )
    fixed = st.fixed_dictionaries(
        {"op": st.sampled_from(["on_or_after", "before"]), "value": moments()}
    )
    return days | fixed


PRESENCE = st.fixed_dictionaries({"op": st.sampled_from(["known", "unknown"])})
COMPARED_TEXT = (
    st.fixed_dictionaries({"op": st.sampled_from(["is", "is_not"]), "value": WORDS})
    | st.fixed_dictionaries(
        {
            "op": st.sampled_from(["contains", "not_contains", "starts_with", "ends_with"]),
            "value": FULL_WORDS,
        }
    )
    | st.fixed_dictionaries(
        {
            "op": st.sampled_from(["in", "not_in"]),
            "value": st.lists(WORDS, min_size=1, max_size=3),
        }
    )
)
COMPARED_NUMBER = st.fixed_dictionaries(
    {
        "op": st.sampled_from(["is", "is_not", "more_than", "at_least", "less_than", "at_most"]),
        "value": NUMBERS,
    }
) | st.fixed_dictionaries(
    {"op": st.just("between"), "value": st.tuples(NUMBERS, NUMBERS).map(sorted)}
)
COMPARED_BOOLEAN = st.fixed_dictionaries({"op": st.just("is"), "value": st.booleans()})


def joined(*parts: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.tuples(*parts).map(lambda found: {k: v for one in found for k, v in one.items()})


def named(key: str, values: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({key: values})


def leaves(*, segments: bool = True) -> st.SearchStrategy[dict[str, Any]]:
    kinds = [
        joined(named("field", st.sampled_from(TEXT_FIELDS)), COMPARED_TEXT | PRESENCE),
        joined(named("field", st.sampled_from(NUMBER_FIELDS)), COMPARED_NUMBER),
        joined(named("field", st.just("has_clicked")), COMPARED_BOOLEAN),
        joined(named("field", st.sampled_from(DATE_FIELDS)), dated() | PRESENCE),
        joined(
            named("field", st.just("jurisdictions")),
            named("op", st.sampled_from(["has", "has_not"])),
            named("value", PLACES),
        ),
        joined(named("trait", KEYS), named("as", st.just("text")), COMPARED_TEXT | PRESENCE),
        joined(named("trait", KEYS), named("as", st.just("number")), COMPARED_NUMBER | PRESENCE),
        joined(named("trait", KEYS), named("as", st.just("boolean")), COMPARED_BOOLEAN | PRESENCE),
        joined(named("subscription", st.sampled_from(BRANDS)), named("is", STATUSES)),
        joined(named("subscription", st.sampled_from(BRANDS)), named("is", st.just("none"))),
        joined(named("subscription", st.sampled_from(BRANDS)), named("is", STATUSES), dated()),
        named("list", st.sampled_from(LISTS)),
    ]
    if segments:
        kinds.append(named("segment", st.sampled_from(SEGMENTS)))
    return st.one_of(kinds)


def trees(*, segments: bool = True) -> st.SearchStrategy[dict[str, Any]]:
    def groups(inner: Any) -> Any:
        several = st.lists(inner, min_size=1, max_size=3)
        return named("all", several) | named("any", several) | named("not", inner)

    return st.recursive(leaves(segments=segments), groups, max_leaves=6)


class Naive:
    """One person at a time, from the words of the documentation."""

    def __init__(self, segments: dict[int, dict[str, Any]]) -> None:
        self.segments = segments

    def holds(self, rule: dict[str, Any], person: Person) -> bool:  # noqa: PLR0911 - one case a kind
        if "all" in rule:
            return all(self.holds(one, person) for one in rule["all"])
        if "any" in rule:
            return any(self.holds(one, person) for one in rule["any"])
        if "not" in rule:
            return not self.holds(rule["not"], person)
        if "segment" in rule:
            return self.holds(self.segments[rule["segment"]], person)
        if "list" in rule:
            return rule["list"] in person.lists
        if "subscription" in rule:
            return self.subscribed(rule, person)
        if "trait" in rule:
            return self.trait(rule, person.columns["traits"])
        value = person.columns[rule["field"]]
        if rule["op"] in ("has", "has_not"):
            return (rule["value"] in value) is (rule["op"] == "has")
        if rule["op"] in ("known", "unknown"):
            return (value not in ("", None)) is (rule["op"] == "known")
        return compare(value, rule["op"], rule["value"])

    def subscribed(self, rule: dict[str, Any], person: Person) -> bool:
        status, since = person.subscriptions.get(rule["subscription"], ("none", None))
        if status != rule["is"]:
            return False
        return "op" not in rule or compare(since, rule["op"], rule["value"])

    def trait(self, rule: dict[str, Any], value: Any) -> bool:
        for key in rule["trait"]:
            value = value.get(key) if isinstance(value, dict) else None
        op = rule["op"]
        if op in ("known", "unknown"):
            return (value is not None) is (op == "known")
        kinds = {"text": str, "number": (int, float), "boolean": bool}
        fits = isinstance(value, kinds[rule["as"]])
        if rule["as"] == "number" and isinstance(value, bool):
            fits = False
        opposite = op in ("is_not", "not_in", "not_contains")
        if not fits:
            # "is not 3" is true of who has no such number at all, as it is the opposite of "is 3";
            return opposite
        return compare(value, op, rule["value"])


def moment(text: str) -> dt.datetime:
    found = dt.datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=dt.UTC)


def compare(value: Any, op: str, given_value: Any) -> bool:
    if op in ("within_days", "older_than_days", "on_or_after", "before"):
        if value is None:
            return False
        ago = op.endswith("days")
        edge = NOW - dt.timedelta(days=given_value) if ago else moment(given_value)
        return value >= edge if op in ("within_days", "on_or_after") else value < edge
    if isinstance(value, str):
        value = value.lower()
        many = isinstance(given_value, list)
        given_value = [one.lower() for one in given_value] if many else given_value.lower()
    answers = {
        "is": lambda: value == given_value,
        "is_not": lambda: value != given_value,
        "contains": lambda: given_value in value,
        "not_contains": lambda: given_value not in value,
        "starts_with": lambda: value.startswith(given_value),
        "ends_with": lambda: value.endswith(given_value),
        "in": lambda: value in given_value,
        "not_in": lambda: value not in given_value,
        "more_than": lambda: value > given_value,
        "at_least": lambda: value >= given_value,
        "less_than": lambda: value < given_value,
        "at_most": lambda: value <= given_value,
        "between": lambda: given_value[0] <= value <= given_value[1],
    }
    return answers[op]()


class World:
    """The same people in the database, with everything that filters refer to."""

    def __init__(self, workspace: Workspace, brands: dict[str, Brand], lists: list[int]) -> None:
        self.workspace, self.brands, self.lists = workspace, brands, lists
        self.segments: list[int] = []

    def store(self, persons: list[Person], segments: list[dict[str, Any]]) -> dict[int, Person]:
        Segment.objects.filter(workspace=self.workspace).delete()
        Subscriber.objects.filter(workspace=self.workspace).delete()
        phones = [f"+1212555{1000 + place}" for place in range(len(persons))]
        rows = Subscriber.objects.bulk_create(
            Subscriber(
                workspace=self.workspace,
                phone=phone,
                phone_hash=phone_hash(self.workspace.pk, phone),
                **person.columns,
            )
            for phone, person in zip(phones, persons, strict=True)
        )
        stored = {row.pk: person for row, person in zip(rows, persons, strict=True)}
        dates = {"opted_in": "opted_in_at", "opted_out": "opted_out_at"}
        Subscription.objects.bulk_create(
            Subscription(
                subscriber_id=pk,
                brand=self.brands[slug],
                status=status,
                **{"updated_at": NOW, dates.get(status, "updated_at"): since},
            )
            for pk, person in stored.items()
            for slug, (status, since) in person.subscriptions.items()
        )
        ManualListMember.objects.bulk_create(
            ManualListMember(manual_list_id=self.lists[one - 1], subscriber_id=pk)
            for pk, person in stored.items()
            for one in person.lists
        )
        self.segments = [
            Segment.objects.create(
                workspace=self.workspace, name=str(place), tree=self.real(one)
            ).pk
            for place, one in enumerate(segments)
        ]
        return stored

    def real(self, rule: Any) -> Any:
        """The tree with the ids of rows instead of places."""
        if isinstance(rule, list):
            return [self.real(one) for one in rule]
        if not isinstance(rule, dict):
            return rule
        if "list" in rule:
            return {"list": self.lists[rule["list"] - 1]}
        if "segment" in rule:
            return {"segment": self.segments[rule["segment"] - 1]}
        return {key: self.real(value) for key, value in rule.items()}


@pytest.fixture
def world(db: None) -> World:
    workspace, other = make_workspace(), make_workspace("zenith")
    # The same slugs, and people who would match, elsewhere: they are never found.
    for slug in BRANDS:
        make_brand(other, slug)
    Subscriber.objects.create(
        workspace=other, phone="+12125559999", phone_hash=b"x", first_name="a"
    )
    brands = {slug: make_brand(workspace, slug) for slug in BRANDS}
    lists = [ManualList.objects.create(workspace=workspace, name=str(one)).pk for one in LISTS]
    return World(workspace, brands, lists)


@settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    filters=st.lists(trees(), min_size=1, max_size=8),
    segments=st.lists(trees(segments=False), min_size=2, max_size=2),
    persons=st.lists(PEOPLE, min_size=1, max_size=5),
)
def test_the_query_finds_exactly_whom_a_plain_filter_finds(
    filters: list[dict[str, Any]],
    segments: list[dict[str, Any]],
    persons: list[Person],
    world: World,
) -> None:
    stored = world.store(persons, segments)
    naive = Naive(dict(zip(SEGMENTS, segments, strict=True)))
    nodes = {place: tree.parse(world.real(rule)) for place, rule in enumerate(filters)}
    conditions = people.conditions(nodes, world.workspace.pk, now=NOW)
    everybody = Subscriber.objects.values_list("pk", flat=True)

    found = people.within(conditions, list(everybody))

    for place, rule in enumerate(filters):
        expected = {pk for pk, person in stored.items() if naive.holds(rule, person)}
        assert found[place] == expected, rule
    first = len(found[0])
    assert people.count(nodes[0], world.workspace.pk, now=NOW) == first
    assert len(people.sample(nodes[0], world.workspace.pk, now=NOW)) == first


@settings(max_examples=200, deadline=None)
@given(trees())
def test_every_filter_that_is_read_fits_the_published_schema(rule: dict[str, Any]) -> None:
    tree.parse(rule)

    Draft202012Validator(schema.of_trees()).validate(rule)
