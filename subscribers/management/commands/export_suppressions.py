"""`manage.py export_suppressions (--brand B | --workspace W) [--file FILE.csv]`."""

import csv
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from subscribers import suppression_lists, tenancy
from subscribers.models import Suppression


class Command(BaseCommand):
    help = "Write suppressed numbers and why as CSV; --brand: with those of its whole workspace."

    def add_arguments(self, parser: CommandParser) -> None:
        scope = parser.add_mutually_exclusive_group(required=True)
        scope.add_argument("--brand", help="slug, or workspace/slug")
        scope.add_argument("--workspace", help="slug")
        parser.add_argument("--file", type=Path, help="default: the standard output")

    def handle(
        self,
        *args: Any,
        brand: str | None,
        workspace: str | None,
        file: Path | None,
        **options: Any,
    ) -> None:
        try:
            if brand:
                rows = suppression_lists.of_brand(tenancy.brand_named(brand))
            else:
                home = tenancy.workspace_named(workspace or "")
                rows = Suppression.objects.filter(workspace=home)
            opened = file.open("w", encoding="utf-8", newline="") if file else nullcontext(None)
        except (LookupError, OSError) as error:
            raise CommandError(str(error)) from None
        with opened as stream:
            written = csv.writer(stream or self.stdout or sys.stdout)
            count = sum(1 for row in suppression_lists.export(rows) if written.writerow(row))
        if file:
            self.stdout.write(f"{file}: {count - 1:,} numbers.")
