"""The table of laws in docs/compliance.md, written from send_windows.csv so that the two cannot differ."""

import csv
from pathlib import Path

from campaigns.policy import SEND_WINDOWS

DOCUMENT = Path(__file__).parent.parent / "docs" / "compliance.md"
BEGIN = "<!-- The table of laws: written by manage.py write_law_table -->"
END = "<!-- End of the table of laws -->"
_HEAD = ("Where", "Weekdays", "Saturday", "Sunday", "Holidays", "Cap in 24 h", "In force", "Sure?")


def render(path: Path = SEND_WINDOWS) -> str:
    """The rows of the file as a Markdown table, in the file's order, with each row's basis."""
    with path.open(newline="") as lines:
        rows = [_cells(row) for row in csv.DictReader(lines)]
    head = (*_HEAD, "Basis")
    return "\n".join(_line(cells) for cells in (head, ["---"] * len(head), *rows)) + "\n"


def replaced(document: str) -> str:
    """The document with the table as it should be. Raises ValueError without the two marks."""
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"The document lacks the marks around its table: {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{render()}\n{END}{after}"


def _cells(row: dict[str, str]) -> list[str]:
    cap = f"{row['cap_per_24h']} per {row['cap_scope']}" if row["cap_per_24h"] else ""
    hours = [row[day] for day in ("weekdays", "saturday", "sunday")]
    holidays = "as the day" if row["public_holidays"] == "same" else row["public_holidays"]
    since = row["effective_from"] or "ever"
    return [row["jurisdiction"], *hours, holidays, cap, since, row["confidence"], row["basis"]]


def _line(cells: list[str] | tuple[str, ...]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"
