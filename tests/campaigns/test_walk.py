"""Claims about the walk through the rules: it says of every rule what the decision would have said."""

import itertools

import pytest
from hypothesis import given

from campaigns.eligibility import RULES, Action, Facts, Policy, Reason, decide, walk
from sending import judge
from sending.facts import Person
from tests.campaigns.people import NOW, NOWS, PERSONS, POLICIES, facts, policy
from tests.campaigns.test_eligibility import RULES as BROKEN


@given(PERSONS, POLICIES, NOWS)
def test_the_first_step_that_decides_is_the_decision(
    person: Facts, rules: Policy, now: object
) -> None:
    steps = walk(person, rules, now)

    deciding = next(step for step in steps if step.decision)
    assert deciding.decision == decide(person, rules, now)
    assert deciding.reached
    assert [step.rule for step in steps] == list(RULES[rules.purpose])


@given(PERSONS, POLICIES, NOWS)
def test_only_what_comes_before_the_decision_was_reached(
    person: Facts, rules: Policy, now: object
) -> None:
    steps = walk(person, rules, now)

    reached = [step.reached for step in steps]
    decided = next(number for number, step in enumerate(steps) if step.decision)
    assert reached == [number <= decided for number in range(len(steps))]


@given(PERSONS, POLICIES, NOWS)
def test_a_text_goes_exactly_where_every_rule_lets_it(
    person: Facts, rules: Policy, now: object
) -> None:
    reached = [step for step in walk(person, rules, now) if step.reached]

    assert all(step.passes for step in reached) == (
        decide(person, rules, now).action is Action.SEND
    )


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pair
        for pair in itertools.combinations(BROKEN, 2)
        # The hours give one answer: there are none, or they are later.
        if {pair[0][0], pair[1][0]} != {Reason.NO_HOURS, Reason.OUTSIDE_HOURS}
        if {pair[0][0], pair[1][0]} != {Reason.OPTED_OUT, Reason.NOT_OPTED_IN}
    ],
)
def test_what_would_stop_her_next_is_told_too(first: tuple, second: tuple) -> None:
    person, rules = facts(**second[1] | first[1]), policy(**second[2] | first[2])

    stops = [step.decision.reason for step in walk(person, rules, NOW) if not step.passes]

    assert first[0] in stops
    assert second[0] in stops


@pytest.mark.parametrize("broken", [{"zones": ("No/Where",)}, {"brand_sent": ("yesterday",)}])
def test_a_rule_that_fails_stops_as_it_does_at_planning(broken: dict[str, object]) -> None:
    person = facts(**broken)

    stopping = next(step for step in walk(person, policy(), NOW) if not step.passes)

    planned = judge.decide_safely(Person(1, "+12125550100", {}, person, {}), 1, policy(), NOW)
    assert stopping.decision == planned
    assert planned.reason is Reason.ERROR


def test_every_rule_says_in_words_what_it_asks_for() -> None:
    for rules in RULES.values():
        titles = [rule.title for rule in rules]
        assert len(set(titles)) == len(titles)
        assert all(title[0].isupper() and not title.endswith(".") for title in titles)
