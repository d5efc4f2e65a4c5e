"""How far a campaign is: its texts by state and reason."""

from dataclasses import dataclass, field

from django.db.models import Count

from campaigns.models import Campaign
from sending import counts
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


def of_campaign(campaign: Campaign) -> Totals:
    """The totals of all its runs, from the counters: it costs the same for ten texts and a million.

    Right to the last committed change of a text; `recount` and the audit do not believe it.
    """
    totals = Totals()
    for state, reason, count in counts.of_campaign(campaign):
        totals.add(state, reason, count)
    return totals


def recount(campaign: Campaign) -> Totals:
    """The same from the rows of the log, one range of ids for each run: for checks."""
    totals = Totals()
    for run in campaign.runs.order_by("-started_at"):
        rows = texts_of(run).values_list("state", "reason").annotate(Count("id")).order_by()
        for state, reason, count in rows:
            totals.add(state, reason, count)
    return totals
