"""`manage.py queue_state [--brand wswd]`: what is due, how old, how fast, and what holds it back."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from sending import queue_state
from subscribers import tenancy
from subscribers.models import Brand

HEADER = f"{'brand':<24}{'high':>8}{'normal':>8}{'bulk':>9}{'later':>9}{'on way':>8}{'oldest':>9}{'rate':>9}"


class Command(BaseCommand):
    help = "Show the queues that have anything in them, the longest waiting brand first."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--brand", help="slug, or workspace/slug")

    def handle(self, *args: Any, brand: str | None, **options: Any) -> None:
        try:
            states = (
                [queue_state.of_brand(tenancy.brand_named(brand))]
                if brand
                else queue_state.of_all(list(Brand.objects.all()))
            )
        except LookupError as error:
            raise CommandError(str(error)) from None
        if not states:
            self.stdout.write("Every queue is empty.")
            return
        self.stdout.write(HEADER)
        for state in states:
            self.stdout.write(
                f"{state.brand:<24}{state.due['high']:>8}{state.due['normal']:>8}"
                f"{state.due['bulk']:>9}{state.later:>9}{state.on_the_way:>8}"
                f"{state.oldest_due_seconds:>7.0f} s{state.rate:>7.1f}/s"
            )
            for reason in state.held_back_by:
                self.stdout.write(f"    {reason}")
