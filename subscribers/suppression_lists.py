"""Suppression lists as files: read row by row with an answer for each, and written as a stream.

CSV in UTF-8. A header names `phone` and, if there is one, `reason`; without a header the first
column is the phone. Memory is bounded by a batch, whatever the length.
"""

import csv
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import batched

from django.db.models import Q, QuerySet

from subscribers import clock, phones, suppressions
from subscribers.models import Brand, ConsentSource, Suppression, Workspace
from subscribers.suppressions import Unwanted

BATCH = 500
LONGEST_LINE = 10_000  # a line of a list has some dozens of characters
HEADER = ("phone", "scope", "source", "reason", "since")
# A spreadsheet takes a cell that begins so for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class ListUnreadable(Exception):
    """The file is no list of numbers. The text is a sentence that says what to do."""


class Verdict(StrEnum):
    """What became of one row."""

    ADDED = "added"
    KNOWN = "known"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True)
class Answer:
    """One row's verdict; `line` counts from 1 as editors do. `detail` shows no whole number."""

    line: int
    verdict: Verdict
    detail: str = ""


@dataclass(slots=True)
class Summary:
    """How many rows became what."""

    counts: Counter[Verdict] = field(default_factory=Counter)

    def of(self, answers: Iterable[Answer]) -> Iterator[Answer]:
        """Pass answers on and count them."""
        for answer in answers:
            self.counts[answer.verdict] += 1
            yield answer

    def __str__(self) -> str:
        return ", ".join(f"{self.counts[verdict]:,} {verdict}" for verdict in Verdict)


def load(
    lines: Iterable[str],
    workspace: Workspace,
    *,
    brand: Brand | None,
    reason: str,
    actor: str,
    name: str,
) -> Iterator[Answer]:
    """Suppress the numbers of a list in a brand, or the workspace where it is None.

    Answers row by row, in the order of the lines, as batches are committed: it must be read to its
    end. Reading a list again adds nothing. `reason` is for rows that give none, `name` the file's.
    Raises ListUnreadable where the file is no CSV; what was answered by then is kept.
    """
    evidence = {"list": name[:200], "actor": actor}
    for batch in batched(_rows(lines), BATCH):
        at = clock.now()
        unwanted = {
            row.phone: Unwanted(row.phone, row.reason or reason) for row in batch if row.phone
        }
        new = suppressions.suppress_many(
            workspace,
            list(unwanted.values()),
            brand=brand,
            at=at,
            source=ConsentSource.IMPORT,
            evidence=evidence,
        )
        for row in batch:
            if not row.phone:
                yield Answer(row.line, Verdict.INVALID, row.refused)
                continue
            added = row.phone in new
            new.discard(row.phone)  # the second row of a number is known
            verdict = Verdict.ADDED if added else Verdict.KNOWN
            yield Answer(row.line, verdict, phones.mask(row.phone))


@dataclass(frozen=True, slots=True)
class _Row:
    line: int
    phone: str  # E.164, '' where it is none
    reason: str
    refused: str = ""


def _rows(lines: Iterable[str]) -> Iterator[_Row]:
    reader = csv.reader(_short(lines))
    columns = {"phone": 0}
    try:
        for number, given in enumerate(reader):
            cells = [_plain(cell) for cell in given]
            if number == 0 and "phone" in [cell.lower() for cell in cells]:
                columns = {cell.lower(): place for place, cell in enumerate(cells)}
            elif any(cells):
                yield _read(reader.line_num, cells, columns)
    except (csv.Error, UnicodeDecodeError) as error:
        raise ListUnreadable(
            f"Line {reader.line_num + 1} cannot be read ({error}): save the list as CSV in UTF-8."
        ) from None


def _short(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        if len(line) > LONGEST_LINE:
            raise csv.Error(f"more than {LONGEST_LINE:,} characters")
        yield line


def _read(line: int, cells: list[str], columns: dict[str, int]) -> _Row:
    def cell(name: str) -> str:
        place = columns.get(name, len(cells))
        return cells[place] if place < len(cells) else ""

    try:
        return _Row(line, phones.parse(cell("phone")).e164, cell("reason")[:200])
    except phones.InvalidPhone as error:
        return _Row(line, "", "", str(error))


def _plain(cell: str) -> str:
    """A cell without the apostrophe that keeps a spreadsheet from calculating it."""
    cell = cell.strip().lstrip("\ufeff").replace("\x00", "")
    return cell[1:] if cell[:1] == "'" and cell[1:2] in _FORMULA else cell


def safe_cell(text: str) -> str:
    """The text, marked as text where a spreadsheet would take it for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def of_brand(brand: Brand) -> QuerySet[Suppression]:
    """What bars a number from a brand's texts: its own suppressions and the whole workspace's."""
    everywhere = Q(workspace=brand.workspace_id, brand=None)
    return Suppression.objects.filter(everywhere | Q(brand=brand))


def export(rows: QuerySet[Suppression]) -> Iterator[list[str]]:
    """Header and rows of a list, streamed by id. The numbers of erased people are not known."""
    yield list(HEADER)
    listed = rows.exclude(phone="").order_by("pk").select_related("brand")
    for row in listed.iterator(chunk_size=2000):
        cells = (
            row.phone,
            row.brand.slug if row.brand else "workspace",
            row.get_source_display(),
            row.reason,
            row.created_at.isoformat(timespec="seconds"),
        )
        yield [safe_cell(cell) for cell in cells]
