"""`manage.py sync_subscribers --brand wswd [--file PATH]`."""

from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser

from subscribers import clock, tenancy
from subscribers.models import Brand, ContactList
from subscribers.secrets import CredentialsUnreadable
from subscribers.sync import lime_xml, load, source

FILE_CLOCK = "America/New_York"


class Command(BaseCommand):
    help = "Read a brand's contact lists (or a file in Lime's XML) and update its subscribers."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--brand", required=True, help="slug, or workspace/slug")
        parser.add_argument("--file", type=Path, help="a list in a file instead of the provider's")

    def handle(self, *args: Any, brand: str, file: Path | None, **options: Any) -> None:
        try:
            found = tenancy.brand_named(brand)
        except LookupError as error:
            raise CommandError(str(error)) from None
        if file:
            with _sentence(), source.from_file(file) as stream:
                self._load(stream, found, file.name, FILE_CLOCK)
            return
        with _sentence():
            lists = list(ContactList.objects.filter(brand=found).select_related("brand"))
        if not lists:
            raise CommandError(f"{found} has no contact list; add one in the admin, or use --file.")
        for contacts in lists:
            with _sentence(), source.from_provider(contacts) as stream:
                self._load(stream, found, contacts.list_id, contacts.clock)
            ContactList.objects.filter(pk=contacts.pk).update(last_synced_at=clock.now())

    def _load(self, stream: Any, brand: Brand, list_id: str, list_clock: str) -> None:
        report = load.load(lime_xml.records(stream), brand, list_id=list_id, list_clock=list_clock)
        self.stdout.write(
            f"list {list_id}: read {report.read}, new {report.new}, changed {report.changed},"
            f" unchanged {report.unchanged}, refused {report.refused.total()}"
        )
        for reason, count in sorted(report.refused.items()):
            self.stdout.write(f"  refused, {reason}: {count}")
        if report.cut:
            raise CommandError(f"{report.cut} What was read is kept; run this again to go on.")
        if report.read == 0:
            raise CommandError(f"List {list_id} is empty: nobody was changed; check the list's id.")


class _sentence:  # noqa: N801 - reads as what it does at its two uses
    """Turn what can go wrong with a list into one sentence and exit 1."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, lime_xml.ListError | ImproperlyConfigured | CredentialsUnreadable):
            raise CommandError(str(error)) from None
