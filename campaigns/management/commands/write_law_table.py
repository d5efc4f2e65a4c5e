"""`manage.py write_law_table [--check]`: the table of laws in docs/compliance.md, from the data."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from campaigns import law_table


class Command(BaseCommand):
    help = "Write the table of laws in docs/compliance.md from send_windows.csv."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--check", action="store_true", help="only say whether it is up to date"
        )

    def handle(self, *args: Any, check: bool, **options: Any) -> None:
        document = law_table.DOCUMENT.read_text(encoding="utf-8")
        try:
            new = law_table.replaced(document)
        except ValueError as error:
            raise CommandError(str(error)) from None
        if new == document:
            self.stdout.write("The table of laws is up to date.")
            return
        if check:
            raise CommandError("The table of laws is out of date: run manage.py write_law_table")
        law_table.DOCUMENT.write_text(new, encoding="utf-8")
        self.stdout.write("The table of laws was written anew.")
