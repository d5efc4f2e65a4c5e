"""`manage.py load_send_windows`: add the rows of send_windows.csv that the database lacks."""

from typing import Any

from django.core.management.base import BaseCommand

from campaigns import history, policy


class Command(BaseCommand):
    help = "Add the rows of send_windows.csv that the database lacks; edited rows stay as they are."

    def handle(self, *args: Any, **options: Any) -> None:
        with history.by("manage.py load_send_windows"):
            added = policy.load_send_windows()
        self.stdout.write(f"{added} rows were added; what operators edited stays as it is.")
