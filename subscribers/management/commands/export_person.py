"""`manage.py export_person PHONE --workspace W`: JSON on the standard output."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.serializers.json import DjangoJSONEncoder

from subscribers import erasure, person_export, phones, tenancy


class Command(BaseCommand):
    help = "Write all that is kept of a person as JSON."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("phone")
        parser.add_argument("--workspace", required=True, help="slug")

    def handle(self, *args: Any, phone: str, workspace: str, **options: Any) -> None:
        try:
            home = tenancy.workspace_named(workspace)
            found = person_export.collect(home, phones.parse(phone).e164)
        except (LookupError, phones.InvalidPhone, erasure.Nobody) as error:
            raise CommandError(str(error)) from None
        self.stdout.write(json.dumps(found, cls=DjangoJSONEncoder, ensure_ascii=False, indent=2))
