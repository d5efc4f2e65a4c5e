"""How far a campaign is: its texts by state and reason, counted from the rows."""

from dataclasses import dataclass, field

from django.db.models import Count

from campaigns.models import Campaign
from sending.models import SentLog
from sending.parking import texts_of


@dataclass(slots=True)
class Totals:
    """Texts of a campaign's runs. `audience` is the sum of `by_state`."""

    audience: int = 0
    by_state: dict[str, int] = field(default_factory=dict)
    by_reason: dict[str, int] = field(default_factory=dict)  # of those that were not sent

    def add(self, state: str, reason: str, count: int) -> None:
        self.audience += count
        self.by_state[state] = self.by_state.get(state, 0) + count
        if reason:
            self.by_reason[reason] = self.by_reason.get(reason, 0) + count


def of_campaign(campaign: Campaign, *, last_runs: int = 100) -> Totals:
    """Count the texts of a campaign's latest runs, one range of ids each."""
    totals = Totals()
    for run in campaign.runs.order_by("-started_at")[:last_runs]:
        counts = texts_of(run).values_list("state", "reason").annotate(Count("id")).order_by()
        for state, reason, count in counts:
            totals.add(state, reason, count)
    return totals


def of_brand(brand_id: int) -> Totals:
    """Count everything that the log holds of a brand: for the demo and for small brands."""
    totals = Totals()
    counts = SentLog.objects.filter(brand_id=brand_id).values_list("state", "reason")
    for state, reason, count in counts.annotate(Count("id")).order_by():
        totals.add(state, reason, count)
    return totals
