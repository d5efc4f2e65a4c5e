"""`manage.py enter_safe_mode --since T`: after a restore from a backup, before workers start."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from sending import moments, safe_mode


class Command(BaseCommand):
    help = "After a restore: make what may have been sent since unknown, and switch sending off."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--since",
            required=True,
            metavar="T",
            help="the moment of the backup, with its time zone: 2026-11-22T09:30:00Z",
        )

    def handle(self, *args: Any, since: str, **options: Any) -> None:
        try:
            done = safe_mode.enter(moments.aware(since))
        except ValueError as error:
            raise CommandError(str(error)) from None
        if done.earlier:
            self.stdout.write(
                f"Safe mode was entered already, at {done.earlier.isoformat()}: nothing was changed."
            )
            return
        for line in (
            f"{done.waiting:,} planned texts may have been sent: unknown.",
            f"{done.departed:,} texts were on their way: unknown.",
            f"{done.audience:,} texts of audiences that were being planned: unknown.",
            f"{done.turns:,} evergreen turns moved on by their gap.",
            f"{len(done.held):,} campaigns wait for a person. {', '.join(done.held)}".rstrip(),
            "Sending is switched off until somebody switches it on: Admin, Platform policy.",
        ):
            self.stdout.write(line)
