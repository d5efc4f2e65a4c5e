"""`manage.py archive [--dry-run] [--folder DIR]`: old months into files, and out of the database."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from sending import archive
from subscribers import clock

MEGABYTE = 1024 * 1024


class Command(BaseCommand):
    help = "Write months that ended longer ago than KEEP_TEXTS_DAYS to files and drop them."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only tell what would go")
        parser.add_argument("--folder", type=Path, help="instead of ARCHIVE_DIR")

    def handle(self, *args: Any, dry_run: bool, folder: Path | None, **options: Any) -> None:
        folder = folder or settings.ARCHIVE_DIR
        months = 0
        for month in archive.old_months(clock.now()):
            holds = (
                f"{month.texts:,} texts, {month.events:,} events, {month.bytes / MEGABYTE:,.1f} MB"
            )
            try:
                if dry_run:
                    archive.check(month)
                    self.stdout.write(f"{month} would go: {holds}")
                else:
                    archive.archive(month, folder)
                    self.stdout.write(f"{month} is archived: {holds}")
            except archive.Kept as kept:
                raise CommandError(f"{kept} {self._sum(months, dry_run=dry_run)}") from None
            except OSError as error:
                raise CommandError(f"{month} stays: it cannot be written ({error}).") from None
            months += 1
        self.stdout.write(self._sum(months, dry_run=dry_run))

    def _sum(self, months: int, *, dry_run: bool) -> str:
        verb = "would be archived" if dry_run else "were archived"
        return f"{months} months {verb}; texts are kept for {settings.KEEP_TEXTS_DAYS} days."
