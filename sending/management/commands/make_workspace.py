"""`manage.py make_workspace SLUG --brand SLUG`: a tenant to begin with, and an API key for it."""

import secrets
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from campaigns import policy
from sending.gateways import registry
from sending.models import Sender, TestNumber
from subscribers import phones
from subscribers.models import ApiKey, Brand, Workspace

SANDBOX_GATEWAY, SANDBOX_ADDRESS = "twilio", "+12125550123"


class Command(BaseCommand):
    help = "Make a workspace with a brand, and an API key that is shown once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug", help="Of the workspace, e.g. acme.")
        parser.add_argument("--name", help="As people know it. Without it: the slug.")
        parser.add_argument("--brand", required=True, help="The brand's slug, e.g. shop.")
        parser.add_argument("--brand-name", help="As its subscribers know it.")
        parser.add_argument(
            "--sandbox",
            action="store_true",
            help="Its texts go to the fake carrier; a sender for it is made too.",
        )
        parser.add_argument(
            "--test-number", default="", help="A number of yours: tests reach it at any hour."
        )

    def handle(
        self, *, slug: str, brand: str, sandbox: bool, test_number: str, **options: Any
    ) -> None:
        try:
            with transaction.atomic():
                workspace = _saved(Workspace(slug=slug, name=options["name"] or slug))
                made = _saved(
                    Brand(
                        workspace=workspace,
                        slug=brand,
                        name=options["brand_name"] or brand.title(),
                        sandbox=sandbox,
                    )
                )
                policy.of_brand(made)
                if sandbox:
                    _sandbox_sender(made)
                if test_number:
                    own = phones.parse(test_number).e164
                    TestNumber.objects.create(workspace=workspace, phone=own)
                _, key = ApiKey.objects.create_key(name=slug, workspace=workspace)
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from None
        except phones.InvalidPhone as error:
            raise CommandError(str(error)) from None
        self.stdout.write(key)
        self.stderr.write("This is its API key: keep it, it is not shown again.")
        if not sandbox:
            self.stderr.write("Add a sender before anything can be sent: Admin, Sending, Senders.")


def _saved(row: Any) -> Any:
    row.full_clean()
    row.save()
    return row


def _sandbox_sender(brand: Brand) -> None:
    names = registry.get(SANDBOX_GATEWAY).credential_names
    Sender.objects.create(
        brand=brand,
        gateway=SANDBOX_GATEWAY,
        address=SANDBOX_ADDRESS,
        credentials={name: secrets.token_hex(16) for name in names},
    )
