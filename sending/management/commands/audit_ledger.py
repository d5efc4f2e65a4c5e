"""`manage.py audit_ledger [--campaign ID] [--brand SLUG] [--since T]`: do the books balance?"""

import datetime as dt
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.module_loading import import_string

from campaigns.models import Campaign
from sending import books, moments, reconciliation
from sending.books import Books, Scope
from sending.models import Sender
from subscribers import tenancy
from subscribers.models import Brand


class Command(BaseCommand):
    help = "Compare every total with the rows, and the rows with each other; exit 1 if any differs."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--campaign", type=int, help="only this campaign's texts")
        parser.add_argument("--brand", help="only this brand's texts: slug, or workspace/slug")
        parser.add_argument(
            "--since", metavar="T", help="only texts planned since then: 2026-11-22T09:30:00Z"
        )

    def handle(
        self,
        *args: Any,
        campaign: int | None,
        brand: str | None,
        since: str | None,
        **options: Any,
    ) -> None:
        scope = _scope(campaign, brand, since)
        found = self._audit(scope)
        for check in settings.AUDIT_CHECKS:
            found.differences += import_string(check)(scope)
        self.stdout.write(f"{found.texts:,} texts were compared with what counts them.")
        if found.accepted is not None:
            self.stdout.write(f"The carrier's own log has {found.accepted:,}, {found.twice} twice.")
        for difference in found.differences:
            self.stdout.write(f"DIFFERENCE: {difference}")
        if found.differences:
            raise CommandError(f"The books do not balance: {len(found.differences)} differences.")
        self.stdout.write("The books balance.")

    def _audit(self, scope: Scope) -> Books:
        if not _sandbox_senders(scope):
            return books.audit(scope)
        carrier = reconciliation.over_http(settings.FAKE_CARRIER_URL)
        try:
            return books.audit(scope, carrier)
        except reconciliation.CarrierAway as away:
            self.stdout.write(f"{away} Its log was not compared.")
            return books.audit(scope)


def _scope(campaign_id: int | None, brand: str | None, since: str | None) -> Scope:
    campaign: Campaign | None = None
    found: Brand | None = None
    moment: dt.datetime | None = None
    if campaign_id is not None:
        campaign = Campaign.objects.filter(pk=campaign_id).first()
        if campaign is None:
            raise CommandError(f"There is no campaign {campaign_id}.")
    try:
        found = tenancy.brand_named(brand) if brand else None
        moment = moments.aware(since) if since else None
    except (LookupError, ValueError) as error:
        raise CommandError(str(error)) from None
    if campaign and found and campaign.brand_id != found.pk:
        raise CommandError(f"Campaign {campaign_id} is not of {brand}.")
    return Scope(campaign, found, moment)


def _sandbox_senders(scope: Scope) -> bool:
    """Whether the fake carrier's list has anything to say: only sandbox brands send through it."""
    senders = Sender.objects.filter(brand__sandbox=True)
    brand_id = scope.values["brand"]
    return senders.filter(brand=brand_id).exists() if brand_id else senders.exists()
