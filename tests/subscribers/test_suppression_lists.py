"""Suppression lists: every row is answered, reading twice adds nothing, memory stays flat."""

import csv
import io
import tracemalloc
from collections.abc import Iterable, Iterator
from itertools import batched

import pytest

from subscribers import clock, consent, suppression_lists
from subscribers.models import (
    Brand,
    ConsentEvent,
    ConsentSource,
    Subscriber,
    Suppression,
    Workspace,
)
from subscribers.suppression_lists import Verdict
from tests.subscribers.conftest import (
    JANUARY,
    make_brand,
    make_person,
    make_workspace,
    phone,
    status,
    together,
)


def load(
    lines: Iterable[str], workspace: Workspace, brand: Brand | None = None, reason: str = ""
) -> list[tuple[int, str]]:
    answers = suppression_lists.load(
        lines, workspace, brand=brand, reason=reason, actor="ada", name="list.csv"
    )
    return [(answer.line, answer.verdict) for answer in answers]


def exported(workspace: Workspace) -> str:
    stream = io.StringIO()
    rows = suppression_lists.export(Suppression.objects.filter(workspace=workspace))
    csv.writer(stream).writerows(rows)
    return stream.getvalue()


def test_every_row_is_answered_with_its_line(workspace: Workspace, brand: Brand) -> None:
    told = load(
        [
            "phone,reason\r\n",
            f"{phone(0)},litigator\n",
            "\n",
            "not a number,\n",
            f'"{phone(1)}","two\nlines"\n',
            f"{phone(0)},again\n",
        ],
        workspace,
        brand,
    )

    assert told == [(2, "added"), (4, "invalid"), (5, "added"), (6, "known")]
    assert consent.is_suppressed(workspace, phone(0), brand)


def test_a_list_without_a_header_is_read_too(workspace: Workspace) -> None:
    assert load(["(212) 555-1000\n", "1-212-555-1001"], workspace) == [(1, "added"), (2, "added")]

    assert consent.is_suppressed(workspace, phone(0), None)


def test_a_reason_of_the_row_wins_over_the_lists(workspace: Workspace) -> None:
    load(["phone,reason\n", f"{phone(0)},litigator\n", f"{phone(1)},\n"], workspace, reason="DNC")

    reasons = dict(Suppression.objects.values_list("phone", "reason"))
    assert reasons == {phone(0): "litigator", phone(1): "DNC"}
    event = ConsentEvent.objects.get(evidence__reason="DNC")
    assert event.evidence == {"list": "list.csv", "actor": "ada", "reason": "DNC"}


def test_reading_a_list_again_adds_nothing(workspace: Workspace, brand: Brand) -> None:
    lines = [f"{phone(number)}\n" for number in range(1200)]
    load(lines, workspace, brand)

    told = load(lines, workspace, brand)

    assert {verdict for _, verdict in told} == {Verdict.KNOWN}
    assert Suppression.objects.count() == ConsentEvent.objects.count() == 1200


def test_an_imported_number_leaves_and_does_not_come_back_by_start(
    workspace: Workspace, brand: Brand
) -> None:
    person = make_person(workspace)
    consent.opt_in(person, brand, at=JANUARY, source=ConsentSource.API, evidence={})

    load([f"{phone()}\n"], workspace)
    consent.opt_in(person, brand, at=clock.now(), source=ConsentSource.KEYWORD, evidence={})

    person.refresh_from_db()
    assert person.status == Subscriber.Status.OPTOUT
    assert consent.is_suppressed(workspace, phone(), brand)


def test_an_import_makes_the_persons_own_stop_last(workspace: Workspace, brand: Brand) -> None:
    person = make_person(workspace)
    consent.opt_out(
        workspace,
        phone(),
        brand=brand,
        at=JANUARY,
        source=ConsentSource.KEYWORD,
        reason="STOP",
    )

    assert load([phone()], workspace, brand) == [(1, "known")]

    assert Suppression.objects.get().source == ConsentSource.IMPORT
    assert status(person, brand) == "opted_out"


def test_an_import_of_one_brand_or_tenant_says_nothing_of_another(
    workspace: Workspace, brand: Brand, other_workspace: Workspace
) -> None:
    other = make_brand(workspace, "ta")

    load([phone()], workspace, brand)

    assert not consent.is_suppressed(workspace, phone(), other)
    assert not consent.is_suppressed(other_workspace, phone(), None)


@pytest.mark.parametrize(
    "lines", [["x" * 20_000], ['"' + "x" * 200_000 + '"'], [f"{phone()}\n", "\x00" * 11_000]]
)
def test_what_is_no_list_is_refused_with_the_line(workspace: Workspace, lines: list[str]) -> None:
    with pytest.raises(suppression_lists.ListUnreadable, match=r"Line \d+ cannot be read"):
        load(lines, workspace)


def test_an_export_can_be_imported_and_holds_no_formula(
    workspace: Workspace, brand: Brand, other_workspace: Workspace
) -> None:
    load(["phone,reason\n", f'{phone(0)},"=cmd|calc"\n', f"{phone(1)},-1\n"], workspace, brand)

    text = exported(workspace)

    cells = [cell for row in csv.reader(io.StringIO(text)) for cell in row]
    assert not any(cell.startswith(("=", "+", "-", "@")) for cell in cells)
    told = load(io.StringIO(text), other_workspace)
    assert [verdict for _, verdict in told] == ["added", "added"]
    theirs = Suppression.objects.filter(workspace=other_workspace)
    assert dict(theirs.values_list("phone", "reason")) == {phone(0): "=cmd|calc", phone(1): "-1"}


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@x", "\t=1", "\r=1"])
def test_a_formula_is_marked_as_text(text: str) -> None:
    assert suppression_lists.safe_cell(text) == f"'{text}"


def test_a_long_list_is_read_in_flat_memory(workspace: Workspace) -> None:
    def lines() -> Iterator[str]:
        for number in range(8000):
            yield f"+1212{2000000 + number}\n"

    answers = suppression_lists.load(
        lines(), workspace, brand=None, reason="", actor="ada", name="list.csv"
    )
    next(batched(answers, 2000))
    tracemalloc.start()
    count = sum(1 for _ in answers)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert count == 6000
    assert peak < 5_000_000


@pytest.mark.django_db(transaction=True)
def test_an_import_that_races_opt_ins_of_the_same_people_always_wins() -> None:
    brand = make_brand(make_workspace())
    people = [make_person(brand.workspace, number) for number in range(60)]

    def join() -> None:
        for person in reversed(people):
            consent.opt_in(person, brand, at=clock.now(), source=ConsentSource.KEYWORD, evidence={})

    together(join, lambda: load([f"{phone(n)}\n" for n in range(60)], brand.workspace, brand), join)

    assert all(consent.is_suppressed(brand.workspace, one.phone, brand) for one in people)
