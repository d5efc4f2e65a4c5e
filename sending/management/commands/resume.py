"""`manage.py resume --brand wswd`: go on sending, and say what still holds it back."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from campaigns import history
from campaigns.lifecycle import NotAllowed
from sending import switching
from sending.management.commands.pause import TARGETS, add_target


class Command(BaseCommand):
    help = "Resume a brand, a campaign, a sender or all sending after a pause."

    def add_arguments(self, parser: CommandParser) -> None:
        add_target(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            what = switching.named(**{name: options[name] for name in TARGETS})
            with history.by("manage.py resume"):
                self.stdout.write(switching.resume(what))
        except (LookupError, NotAllowed) as error:
            raise CommandError(str(error)) from None
