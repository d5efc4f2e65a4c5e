"""Claims about docs/compliance.md: its table is the data, row by row."""

from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from campaigns import law_table
from tests.campaigns import wall_clock


def test_the_document_shows_the_table_that_decides() -> None:
    document = law_table.DOCUMENT.read_text(encoding="utf-8")

    assert law_table.replaced(document) == document, "run manage.py write_law_table"


@pytest.mark.parametrize("row", wall_clock.law().values(), ids=wall_clock.law())
def test_each_rule_is_there_with_its_basis_confidence_and_date(row: dict[str, str]) -> None:
    (line,) = [
        line
        for line in law_table.DOCUMENT.read_text(encoding="utf-8").splitlines()
        if line.startswith(f"| {row['jurisdiction']} |")
    ]

    assert f"| {row['effective_from'] or 'ever'} | {row['confidence']} | {row['basis']} |" in line


def test_a_table_that_drifted_is_found_and_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = law_table.DOCUMENT.read_text(encoding="utf-8")
    copy = tmp_path / "compliance.md"
    copy.write_text(right.replace("| US-FL | 08:00", "| US-FL | 07:00"), encoding="utf-8")
    monkeypatch.setattr(law_table, "DOCUMENT", copy)

    with pytest.raises(CommandError, match="out of date"):
        call_command("write_law_table", "--check")
    call_command("write_law_table", stdout=StringIO())

    assert copy.read_text(encoding="utf-8") == right


def test_a_document_without_the_marks_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "compliance.md"
    copy.write_text("# Nothing", encoding="utf-8")
    monkeypatch.setattr(law_table, "DOCUMENT", copy)

    with pytest.raises(CommandError, match="lacks the marks"):
        call_command("write_law_table")
    assert copy.read_text(encoding="utf-8") == "# Nothing"
