"""`manage.py explain PHONE CAMPAIGN`: why somebody does or does not get a campaign."""

from collections.abc import Sequence
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from campaigns.models import Campaign
from sending import explanation, explanation_words
from subscribers import phones


class Command(BaseCommand):
    help = "Show every rule with its facts and verdict now, and what was decided before."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("phone", help="the person's number, in any usual writing")
        parser.add_argument("campaign", type=int, help="the campaign's id")

    def handle(self, *args: Any, phone: str, campaign: int, **options: Any) -> None:
        campaigns = Campaign.objects.select_related("brand__workspace", "segment")
        found = campaigns.filter(pk=campaign).first()
        if found is None:
            raise CommandError(f"There is no campaign {campaign}.")
        try:
            told = explanation.explain(explanation.find(found, phone), found)
        except explanation.NotFound as error:
            raise CommandError(str(error)) from None
        words = explanation_words
        self.stdout.write(f"{phones.mask(told.person.phone)} and {found.name} ({found.brand.name})")
        self.stdout.write(f"{explanation_words.when(told.now)}: {words.verdict(told)}\n")
        for line in words.lines(told):
            self.stdout.write(f"{line.verdict:<16}{line.title}")
            self.stdout.write(f"{'':<16}  {line.facts}")
            if line.follows:
                self.stdout.write(f"{'':<16}  -> {line.follows}.")
        decided = [words.earlier(one) for one in told.earlier] or [told.untold]
        self._list("What was decided before", decided)
        self._list("Consent", words.consents(told) or ["There is no evidence of any."])
        self._list("Suppression", words.suppressions(told) or ["None."])

    def _list(self, title: str, sentences: Sequence[str]) -> None:
        self.stdout.write(f"\n{title}")
        for sentence in sentences:
            self.stdout.write(f"  {sentence}")
