"""`manage.py import_suppressions FILE.csv (--brand B | --workspace W) [--reason ...]`."""

import csv
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from subscribers import suppression_lists, tenancy
from subscribers.suppression_lists import Summary, Verdict


class Command(BaseCommand):
    help = "Suppress the numbers of a CSV file (phone[,reason]) in a brand or a workspace."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)
        scope = parser.add_mutually_exclusive_group(required=True)
        scope.add_argument("--brand", help="slug, or workspace/slug")
        scope.add_argument("--workspace", help="slug: every brand of it")
        parser.add_argument("--reason", default="", help="for rows that give none")
        parser.add_argument("--answers", type=Path, help="write every row's answer to this file")

    def handle(
        self,
        *args: Any,
        file: Path,
        brand: str | None,
        workspace: str | None,
        reason: str,
        answers: Path | None,
        **options: Any,
    ) -> None:
        summary = Summary()
        try:
            found = tenancy.brand_named(brand) if brand else None
            home = found.workspace if found else tenancy.workspace_named(workspace or "")
            with file.open(encoding="utf-8-sig", newline="") as lines:
                told = suppression_lists.load(
                    lines, home, brand=found, reason=reason, actor="command", name=file.name
                )
                self._tell(summary.of(told), answers)
        except (LookupError, OSError, suppression_lists.ListUnreadable) as error:
            kept = f" {summary} until then." if summary.counts else ""
            raise CommandError(f"{error}{kept}") from None
        self.stdout.write(f"{file.name}: {summary}.")

    def _tell(self, told: Any, answers: Path | None) -> None:
        if answers is None:
            for answer in told:
                if answer.verdict is Verdict.INVALID:
                    self.stderr.write(f"line {answer.line}: {answer.detail}")
            return
        with answers.open("w", encoding="utf-8", newline="") as file:
            written = csv.writer(file)
            written.writerow(["line", "answer", "detail"])
            for answer in told:
                detail = suppression_lists.safe_cell(answer.detail)
                written.writerow([answer.line, answer.verdict, detail])
