"""Reassigned numbers: asked about in batches, suppressed for everybody, checked again when old."""

import datetime as dt
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from subscribers import clock, consent, reassigned
from subscribers.models import Brand, ConsentSource, Subscriber, Suppression, Workspace
from tests.subscribers.conftest import DAY, JANUARY, make_brand, make_person, phone, status

ASKED: list[list[tuple[str, dt.datetime]]] = []


def first_person_moved(pairs: list[tuple[str, dt.datetime]]) -> set[str]:
    """A check: it knows of one reassigned number, and of a stranger's."""
    ASKED.append(list(pairs))
    return {phone(0), phone(99)}


@pytest.fixture
def people(workspace: Workspace, brand: Brand) -> list[Subscriber]:
    ASKED.clear()
    people = [make_person(workspace, number) for number in range(3)]
    for person in people:
        consent.opt_in(person, brand, at=JANUARY, source=ConsentSource.API, evidence={})
    return people


def check(brand: Brand, older_than: dt.timedelta = 30 * DAY) -> tuple[int, int]:
    return reassigned.check_brand(brand, older_than=older_than, check=first_person_moved)


def test_a_reassigned_number_is_suppressed_in_the_whole_workspace(
    people: list[Subscriber], brand: Brand
) -> None:
    assert check(brand) == (3, 1)

    assert [[(phone(number), JANUARY) for number in range(3)]] == ASKED
    assert Suppression.objects.get().reason == "number reassigned"
    assert consent.is_suppressed(brand.workspace, phone(0), make_brand(brand.workspace, "ta"))
    assert [status(one, brand) for one in people] == ["opted_out", "opted_in", "opted_in"]
    assert set(Subscriber.objects.values_list("reassigned_checked_at", flat=True)) != {None}


def test_only_numbers_whose_check_is_old_are_asked_about_again(
    people: list[Subscriber], brand: Brand
) -> None:
    check(brand)
    assert check(brand) == (0, 0)
    Subscriber.objects.filter(pk=people[1].pk).update(reassigned_checked_at=clock.now() - 31 * DAY)

    assert check(brand) == (1, 0)


def test_a_long_audience_is_asked_about_in_batches(
    people: list[Subscriber], brand: Brand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reassigned, "BATCH", 2)

    assert check(brand) == (3, 1)
    assert [len(batch) for batch in ASKED] == [2, 1]


def test_a_check_that_fails_leaves_the_rest_to_the_next_run(
    people: list[Subscriber], brand: Brand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reassigned, "BATCH", 1)

    def fails_the_second_time(pairs: Any) -> set[str]:
        if ASKED:
            raise ConnectionError("away")
        return first_person_moved(pairs)

    with pytest.raises(ConnectionError):
        reassigned.check_brand(brand, older_than=DAY, check=fails_the_second_time)

    assert Subscriber.objects.filter(reassigned_checked_at=None).count() == 2
    assert check(brand) == (2, 0)


def test_the_command_says_what_it_did_and_what_it_lacks(
    people: list[Subscriber],
    brand: Brand,
    settings: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(CommandError, match="set REASSIGNED_NUMBER_CHECK"):
        call_command("check_reassigned_numbers", brand="wswd")
    settings.REASSIGNED_NUMBER_CHECK = "tests.no.such"
    with pytest.raises(CommandError, match="cannot be used"):
        call_command("check_reassigned_numbers", brand="wswd")
    settings.REASSIGNED_NUMBER_CHECK = f"{__name__}.first_person_moved"

    call_command("check_reassigned_numbers", brand="wswd", older_than=0)

    assert capsys.readouterr().out == "Asked about 3 numbers, 1 were reassigned.\n"
