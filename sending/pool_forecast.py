"""What the next tick would do for an evergreen pool: it has no end, so no more is foreseen."""

import datetime as dt
from collections import Counter
from dataclasses import dataclass, field

from campaigns import policy
from campaigns.eligibility import Reason
from campaigns.models import Campaign, Run
from campaigns.runs import whole_milliseconds
from sending import evergreen
from sending.forecast import NothingToForecast, reading_only
from sending.models import EvergreenTurn, QueuedText, State
from sending.planning import Sheet, plan_text
from sending.progress import Totals
from sending.writing import Sketch
from subscribers import clock


@dataclass(slots=True)
class PoolForecast:
    """The next tick. Counts are people; `at` is real time."""

    campaign: Campaign
    at: dt.datetime
    due: int = 0  # their turn has come
    resting: int = 0  # their next turn is later
    totals: Totals = field(
        default_factory=Totals
    )  # texts of this pool, as the log would count them
    others: int = 0  # get a message of another pool of the brand
    nothing: Counter[str] = field(default_factory=Counter)  # get none yet, by this pool's reason
    sizes: Counter[int] = field(default_factory=Counter)  # texts by their segments

    @property
    def texts(self) -> int:
        return sum(self.sizes.values())

    @property
    def credits(self) -> int:
        return sum(size * texts for size, texts in self.sizes.items())


def of_pool(campaign: Campaign) -> PoolForecast:
    """Foresee the tick that would come now. It cannot write. Raises NothingToForecast."""
    if campaign.status in (Campaign.Status.COMPLETED, Campaign.Status.CANCELLED):
        raise NothingToForecast(f"This campaign is {campaign.get_status_display().lower()}.")
    if not campaign.messages.filter(weight__gt=0).exists():
        raise NothingToForecast("This campaign has no message; add one first.")
    policy.platform()  # made with its defaults where it is missing
    policy.of_brand(campaign.brand)
    with reading_only():
        now = whole_milliseconds(clock.now())
        found = PoolForecast(campaign, now)
        run = Run(campaign=campaign, brand=campaign.brand, started_at=now)
        writer = Sketch(policy.of_brand(campaign.brand), list(campaign.messages.all()))
        sheet = Sheet.of(run, now=now, lane=QueuedText.Lane.NORMAL, writer=writer)
        for person, message, decisions in evergreen.foresee(campaign, now=now):
            found.due += 1
            own = decisions.get(campaign.pk)
            if message is None:
                found.nothing[own.reason if own else Reason.ERROR] += 1
            elif message.campaign_id != campaign.pk:
                found.others += 1
            elif own:
                text = plan_text(sheet, person, message, own)
                found.totals.add(text.state, text.reason, 1)
                if text.state == State.PLANNED:
                    found.sizes[text.segments] += 1
        later = EvergreenTurn.objects.filter(brand=campaign.brand, next_at__gt=now)
        found.resting = later.count()
    return found
