"""`manage.py check_reassigned_numbers --brand wswd [--older-than DAYS]`."""

import datetime as dt
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from subscribers import reassigned, tenancy


class Command(BaseCommand):
    help = "Ask whether a brand's numbers were given to somebody else; those are suppressed."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--brand", required=True, help="slug, or workspace/slug")
        parser.add_argument(
            "--older-than",
            type=int,
            default=30,
            metavar="DAYS",
            help="numbers that were checked longer ago, or never (default: 30)",
        )

    def handle(self, *args: Any, brand: str, older_than: int, **options: Any) -> None:
        if older_than < 0:
            raise CommandError("--older-than is a number of days, 0 or more.")
        try:
            found = tenancy.brand_named(brand)
            check = reassigned.configured()
        except (LookupError, reassigned.NoCheck) as error:
            raise CommandError(str(error)) from None
        asked, gone = reassigned.check_brand(
            found, older_than=dt.timedelta(days=older_than), check=check
        )
        self.stdout.write(f"Asked about {asked:,} numbers, {gone:,} were reassigned.")
