"""`manage.py rotate_api_key PREFIX`: a new API key in place of an old one, both valid for a day."""

import datetime as dt
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from subscribers import clock, keys
from subscribers.models import ApiKey


class Command(BaseCommand):
    help = "Make a key that may do what another one may, and let that one expire."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("prefix", help="What stands before the dot of the old key.")
        parser.add_argument(
            "--overlap-hours", type=float, default=24, help="How long both are valid (24)."
        )

    def handle(self, *, prefix: str, overlap_hours: float, **options: Any) -> None:
        key = ApiKey.objects.filter(prefix=prefix.partition(".")[0]).first()
        if key is None:
            raise CommandError("There is no key with this prefix: the admin lists them.")
        if not 0 <= overlap_hours <= 24 * 90:
            raise CommandError("--overlap-hours goes from 0 to 2160.")
        try:
            successor, secret = keys.rotate(
                key, now=clock.now(), overlap=dt.timedelta(hours=overlap_hours)
            )
        except keys.NotRotatable as error:
            raise CommandError(str(error)) from None
        self.stdout.write(
            f"{successor.name}: {secret}\nKeep it now, it is not shown again."
            f" The old key works for {overlap_hours:g} more hours."
        )
