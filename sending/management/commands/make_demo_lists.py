"""`manage.py make_demo_lists`: write the opted-in lists of the fake carrier anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from sending.carrier import demo_lists, server


class Command(BaseCommand):
    """The same seed writes the same bytes."""

    help = "Write the fake carrier's opted-in lists: invented people with numbers of nobody."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """Where to, and from which seed."""
        parser.add_argument("--folder", type=Path, default=server.LISTS)
        parser.add_argument("--seed", type=int, default=1)

    def handle(self, *args: Any, **options: Any) -> None:
        """Print each file that was written."""
        for path in demo_lists.write(options["folder"], seed=options["seed"]):
            self.stdout.write(f"{path.name}: {path.stat().st_size:,} bytes")
