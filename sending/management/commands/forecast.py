"""`manage.py forecast CAMPAIGN`: what a campaign would do, before anything is sent."""

from collections.abc import Sequence
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from campaigns.models import Campaign
from sending import forecast, forecast_words, funnel, pool_forecast
from sending.forecast import Forecast
from sending.forecast_words import Line
from sending.pool_forecast import PoolForecast

WIDTH = 58


class Command(BaseCommand):
    help = "Show who would get a campaign's text, when, and at what cost. Sends and stores nothing."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("campaign", type=int, help="the campaign's id")

    def handle(self, *args: Any, campaign: int, **options: Any) -> None:
        found = Campaign.objects.select_related("brand").filter(pk=campaign).first()
        if found is None:
            raise CommandError(f"There is no campaign {campaign}.")
        pool = found.kind == Campaign.Kind.EVERGREEN
        try:
            seen = pool_forecast.of_pool(found) if pool else forecast.of_campaign(found)
        except forecast.NothingToForecast as nothing:
            raise CommandError(str(nothing)) from None
        self.stdout.write(f"{found.name} ({found.brand.name})")
        self.stdout.write(forecast_words.basis(seen))
        if isinstance(seen, PoolForecast):
            self._pool(seen)
        else:
            self._broadcast(seen)

    def _broadcast(self, seen: Forecast) -> None:
        words = forecast_words
        self._numbers(
            ("People in the audience", seen.totals.audience),
            ("get a text", seen.texts),
            ("  at once", seen.now),
            ("  later", seen.later),
            ("  when somebody switches sending on", seen.parked),
            ("get none", seen.totals.audience - seen.texts),
            ("Credits", seen.credits),
        )
        if words.takes(seen):
            rate = f"at {seen.rate:,} segments a second"
            self.stdout.write(
                f"{'The last text leaves after':<{WIDTH}}{words.takes(seen):>12}  {rate}"
            )
        for sentence in words.warnings(seen):
            self.stdout.write(f"! {sentence}")
        self._table("The parts of the audience", words.divided(seen), ("texts", "credits"))
        self._table("Who gets none, and why", words.skipped(seen))
        self._table("Who waits, and why", words.waiting(seen))
        self._table("When (texts that may go from this hour on)", words.hours(seen), ("leave",))
        columns = ("at once", "later", "none", "first, local")
        self._table("Where (people)", words.places(seen), columns)
        self._table("What a text costs", words.sizes(seen))

    def _pool(self, seen: PoolForecast) -> None:
        self._numbers(
            ("People whose turn has come", seen.due),
            ("get a text of this pool", seen.texts),
            ("get one of another pool of the brand", seen.others),
            ("get none yet", seen.nothing.total()),
            ("People whose turn is later", seen.resting),
            ("Credits", seen.credits),
        )
        lines = [
            Line(funnel.words(reason), count, forecast_words.share(count, seen.due))
            for reason, count in seen.nothing.most_common()
        ]
        self._table("Who gets none yet, and why", lines)
        self._table("What a text costs", forecast_words.sizes(seen))

    def _numbers(self, *numbers: tuple[str, int]) -> None:
        self.stdout.write("")
        for title, number in numbers:
            self.stdout.write(f"{title:<{WIDTH}}{number:>12,}")

    def _table(self, title: str, lines: Sequence[Line], columns: Sequence[str] = ()) -> None:
        if not lines:
            return
        self.stdout.write("")
        self.stdout.write(f"{title:<{WIDTH + 22}}" + "".join(f"{name:>14}" for name in columns))
        for line in lines:
            more = "".join(f"{cell:>14}" for cell in line.more)
            self.stdout.write(
                f"  {line.title[: WIDTH - 4]:<{WIDTH - 2}}{line.count:>12,}{line.share:>8} %{more}"
            )
