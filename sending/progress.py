"""How far a campaign is: its texts by state and reason, counted from the rows."""

from dataclasses import dataclass, field

from django.db.models import Count

from campaigns.models import Campaign
from sending.parking import texts_of


@dataclass(slots=True)
class Totals:
    """Texts of a campaign's runs. `audience` is the sum of `by_state`."""

    audience: int = 0
    by_state: dict[str, int] = field(default_factory=dict)
    by_state_and_reason: dict[tuple[str, str], int] = field(default_factory=dict)

    @property
    def by_reason(self) -> dict[str, int]:
        """Why texts were put off or not sent."""
        found: dict[str, int] = {}
        for (_, reason), count in self.by_state_and_reason.items():
            if reason:
                found[reason] = found.get(reason, 0) + count
        return found

    def add(self, state: str, reason: str, count: int) -> None:
        self.audience += count
        self.by_state[state] = self.by_state.get(state, 0) + count
        key = (state, reason)
        self.by_state_and_reason[key] = self.by_state_and_reason.get(key, 0) + count


def of_campaign(campaign: Campaign, *, last_runs: int = 100) -> Totals:
    """Count the texts of a campaign's latest runs, one range of ids each."""
    totals = Totals()
    for run in campaign.runs.order_by("-started_at")[:last_runs]:
        counts = texts_of(run).values_list("state", "reason").annotate(Count("id")).order_by()
        for state, reason, count in counts:
            totals.add(state, reason, count)
    return totals
