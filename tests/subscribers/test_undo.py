"""Undoing: an operator's own act or a guess, never what the person said."""

import datetime as dt
import itertools

import pytest

from subscribers import consent, undo
from subscribers.models import (
    Brand,
    ConsentEvent,
    ConsentSource,
    Subscriber,
    Subscription,
    Suppression,
    Workspace,
)
from tests.subscribers.conftest import DAY, JANUARY, make_brand, make_person, phone, status

OPERATOR, FREE_TEXT = ConsentSource.OPERATOR, ConsentSource.FREE_TEXT
OPTED_IN, OPTED_OUT = Subscription.Status.OPTED_IN, Subscription.Status.OPTED_OUT


@pytest.fixture
def person(workspace: Workspace, brand: Brand) -> Subscriber:
    """Somebody who opted in on the first day."""
    person = make_person(workspace)
    opt_in(person, brand, JANUARY, ConsentSource.API)
    return person


def opt_in(person: Subscriber, brand: Brand, at: dt.datetime, source: str = "keyword") -> None:
    consent.opt_in(person, brand, at=at, source=source, evidence={})


def opt_out(workspace: Workspace, brand: Brand | None, at: dt.datetime, source: str) -> None:
    consent.opt_out(workspace, phone(), brand=brand, at=at, source=source, reason="r")


def take_back(
    workspace: Workspace, brand: Brand | None, at: dt.datetime, of: str = OPERATOR
) -> list[int]:
    evidence = {"actor": "ada", "reason": "a mistake"}
    return undo.undo(workspace, phone(), brand=brand, at=at, of=of, evidence=evidence)


@pytest.mark.parametrize("of", undo.UNDOABLE)
def test_an_undone_opt_out_leaves_the_person_as_they_were_and_is_kept(
    person: Subscriber, workspace: Workspace, brand: Brand, of: str
) -> None:
    opt_out(workspace, brand, JANUARY + DAY, of)

    assert take_back(workspace, brand, JANUARY + 2 * DAY, of) == [brand.pk]

    assert status(person, brand) == OPTED_IN
    assert not consent.is_suppressed(workspace, phone(), brand)
    event = ConsentEvent.objects.get(kind="undo")
    assert event.evidence == {"actor": "ada", "reason": "a mistake"}
    assert ConsentEvent.objects.filter(kind="opt_out").count() == 1


@pytest.mark.parametrize("said", sorted(set(ConsentSource) - {OPERATOR}))
@pytest.mark.parametrize("first", [True, False])
def test_what_anybody_else_said_is_never_undone(
    person: Subscriber, workspace: Workspace, brand: Brand, said: str, first: bool
) -> None:
    days = (1, 2) if first else (2, 1)
    opt_out(workspace, brand, JANUARY + days[0] * DAY, said)
    opt_out(workspace, brand, JANUARY + days[1] * DAY, OPERATOR)

    with pytest.raises(undo.CannotUndo, match="START"):
        take_back(workspace, brand, JANUARY + 3 * DAY)

    assert consent.is_suppressed(workspace, phone(), brand)
    assert status(person, brand) == OPTED_OUT
    assert undo.undoable(person) == []


def test_a_stop_that_the_person_took_back_does_not_stand(
    person: Subscriber, workspace: Workspace, brand: Brand
) -> None:
    opt_out(workspace, brand, JANUARY + DAY, ConsentSource.KEYWORD)
    opt_in(person, brand, JANUARY + 2 * DAY)
    opt_out(workspace, brand, JANUARY + 3 * DAY, OPERATOR)
    assert undo.undoable(person) == [brand]

    take_back(workspace, brand, JANUARY + 4 * DAY)

    assert status(person, brand) == OPTED_IN


def test_a_stop_of_one_brand_survives_the_undo_of_the_workspaces(
    person: Subscriber, workspace: Workspace, brand: Brand
) -> None:
    other = make_brand(workspace, "ta")
    opt_in(person, other, JANUARY)
    opt_out(workspace, brand, JANUARY + DAY, ConsentSource.KEYWORD)
    opt_out(workspace, None, JANUARY + 2 * DAY, OPERATOR)

    assert take_back(workspace, None, JANUARY + 3 * DAY) == [other.pk]

    person.refresh_from_db()
    assert person.status == Subscriber.Status.ACTIVE
    assert status(person, brand) == OPTED_OUT
    assert consent.is_suppressed(workspace, phone(), brand)
    assert not consent.is_suppressed(workspace, phone(), other)


def test_a_stop_of_the_whole_workspace_survives_a_return_to_one_brand_and_an_undo(
    person: Subscriber, workspace: Workspace, brand: Brand
) -> None:
    other = make_brand(workspace, "ta")
    opt_in(person, other, JANUARY)
    opt_out(workspace, None, JANUARY + DAY, ConsentSource.KEYWORD)
    opt_in(person, brand, JANUARY + 2 * DAY)
    assert not consent.is_suppressed(workspace, phone(), brand)
    assert consent.is_suppressed(workspace, phone(), other)
    opt_out(workspace, other, JANUARY + 3 * DAY, OPERATOR)

    with pytest.raises(undo.CannotUndo):
        take_back(workspace, other, JANUARY + 4 * DAY)

    assert consent.is_suppressed(workspace, phone(), other)


def test_who_had_never_opted_in_is_not_subscribed_by_an_undo(
    workspace: Workspace, brand: Brand
) -> None:
    person = make_person(workspace)
    opt_out(workspace, brand, JANUARY + DAY, OPERATOR)

    assert take_back(workspace, brand, JANUARY + 2 * DAY) == []

    assert status(person, brand) == ""
    assert not Suppression.objects.exists()


def test_nothing_is_undone_twice(person: Subscriber, workspace: Workspace, brand: Brand) -> None:
    opt_out(workspace, brand, JANUARY + DAY, OPERATOR)
    take_back(workspace, brand, JANUARY + 2 * DAY)

    with pytest.raises(undo.CannotUndo, match="no such opt-out"):
        take_back(workspace, brand, JANUARY + 3 * DAY)


def test_a_stop_is_not_an_operators_to_undo(
    person: Subscriber, workspace: Workspace, brand: Brand
) -> None:
    opt_out(workspace, brand, JANUARY + DAY, ConsentSource.KEYWORD)

    with pytest.raises(undo.CannotUndo):
        take_back(workspace, brand, JANUARY + 2 * DAY, ConsentSource.KEYWORD)


SOURCES = [ConsentSource.KEYWORD, OPERATOR, FREE_TEXT]


@pytest.mark.parametrize("said", list(itertools.product([None, "brand"], SOURCES, SOURCES)))
def test_after_any_two_opt_outs_an_undo_frees_only_who_nobody_else_barred(
    person: Subscriber, workspace: Workspace, brand: Brand, said: tuple[str | None, str, str]
) -> None:
    scope, first, second = said
    where = brand if scope else None
    opt_out(workspace, where, JANUARY + DAY, first)
    opt_out(workspace, brand, JANUARY + 2 * DAY, second)

    for of in undo.UNDOABLE:
        for place in (where, brand):
            try:
                take_back(workspace, place, JANUARY + 3 * DAY, of)
            except undo.CannotUndo:
                continue

    own_word = ConsentSource.KEYWORD in (first, second)
    mixed = where == brand and first != second  # each stands in the way of the other
    assert consent.is_suppressed(workspace, phone(), brand) == (own_word or mixed)
