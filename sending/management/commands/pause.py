"""`manage.py pause --brand wswd --reason "..."`: send nothing more, from the next batch on."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from campaigns import history
from campaigns.lifecycle import NotAllowed
from sending import switching


class Command(BaseCommand):
    help = "Pause a brand, a campaign, a sender or all sending. Nothing is lost: see resume."

    def add_arguments(self, parser: CommandParser) -> None:
        add_target(parser)
        parser.add_argument("--reason", default="", help="for the others: shown in the admin")

    def handle(self, *args: Any, reason: str, **options: Any) -> None:
        try:
            what = switching.named(**{name: options[name] for name in TARGETS})
            with history.by("manage.py pause"):
                self.stdout.write(switching.pause(what, reason=reason))
        except (LookupError, NotAllowed) as error:
            raise CommandError(str(error)) from None


TARGETS = ("brand", "campaign", "sender")


def add_target(parser: CommandParser) -> None:
    """Exactly one of what can be paused and resumed."""
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--brand", help="slug, or workspace/slug")
    target.add_argument("--campaign", type=int, help="the campaign's id")
    target.add_argument("--sender", type=int, help="the sender's id")
    target.add_argument("--platform", action="store_true", help="the whole installation")
