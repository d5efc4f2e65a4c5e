"""`manage.py requeue_failed --campaign ID [--code CODE]`: send again what was certainly not sent."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from campaigns.models import Campaign
from sending import requeue


class Command(BaseCommand):
    help = "Queue a campaign's failed and expired texts again. What is unknown is never sent again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--campaign", type=int, required=True, help="the campaign's id")
        parser.add_argument("--code", default="", help="only texts with this code of the provider")

    def handle(self, *args: Any, campaign: int, code: str, **options: Any) -> None:
        found = Campaign.objects.filter(pk=campaign).first()
        if found is None:
            raise CommandError(f"There is no campaign {campaign}.")
        queued = requeue.campaign(found, code=code)
        self.stdout.write(
            f"Queued again: {queued:,} texts of {found}. They pass the gate like any other."
        )
