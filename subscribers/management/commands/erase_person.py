"""`manage.py erase_person PHONE --workspace W --reason R`."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from subscribers import erasure, phones, tenancy


class Command(BaseCommand):
    help = "Erase all that is kept of a person but a hash of the number, which stays suppressed."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("phone")
        parser.add_argument("--workspace", required=True, help="slug")
        parser.add_argument("--reason", required=True, help="who asked for it, and when")

    def handle(self, *args: Any, phone: str, workspace: str, reason: str, **options: Any) -> None:
        try:
            home = tenancy.workspace_named(workspace)
            number = phones.parse(phone).e164
        except (LookupError, phones.InvalidPhone) as error:
            raise CommandError(str(error)) from None
        if not reason.strip():
            raise CommandError("--reason is empty: say who asked for it, and when.")
        erased = erasure.erase(home, number, actor="command", reason=reason)
        masked = phones.mask(number)
        if erased.finished_at:
            self.stdout.write(f"Erased {masked}. The number stays suppressed in {home.name}.")
        else:
            self.stdout.write(
                f"{masked} is suppressed. A text is on its way: the ticker erases the rest once its"
                " fate is known, or run this again."
            )
