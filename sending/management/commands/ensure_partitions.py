"""`manage.py ensure_partitions`: the months ahead that the ticker makes too, for who runs no ticker."""

from typing import Any

from django.core.management.base import BaseCommand

from sending import partitions


class Command(BaseCommand):
    help = "Make the monthly partitions from last month to three months ahead."

    def handle(self, *args: Any, **options: Any) -> None:
        made = partitions.ensure_ahead()
        for name in made:
            self.stdout.write(f"made {name}")
        self.stdout.write(f"{len(made)} partitions were missing.")
