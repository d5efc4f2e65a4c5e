"""The part of an audience that waits for the winner of a test, in a forecast."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from campaigns.models import Run
from campaigns.variants import Part
from sending.models import State

type Cost = tuple[str, int, int]  # of a text: its state, segments and message


@dataclass(slots=True)
class Waiting:
    """Counts are people."""

    people: int = 0
    texts: int = 0  # would get one, were it chosen at the moment of the forecast
    least_credits: int = 0  # with the message that is cheapest for them on the average
    most_credits: int = 0


def there_is(run: Run) -> bool:
    """Whether a part of the audience is not planned by this run, but by that of the winner."""
    return run.campaign.test_share is not None and run.winner_id is None


def of_run(run: Run, subscriber_ids: Sequence[int], chosen: Mapping[int, Part]) -> dict[int, Part]:
    """Those of the people who wait for the winner; `chosen`: those whom the run plans."""
    if not there_is(run):
        return {}
    return {pk: Part.REST for pk in subscriber_ids if pk not in chosen}


def sum_up(rest: Mapping[Cost, int], step: int) -> Waiting:
    """What it comes to; one person in `step` was counted. Each person's message is a draw: the costs
    are those of the cheapest and of the dearest for all."""
    found = Waiting(people=sum(rest.values()) * step)
    credits: Counter[int] = Counter()
    texts: Counter[int] = Counter()
    for (state, size, message), count in rest.items():
        if state == State.PLANNED:
            texts[message] += count * step
            credits[message] += count * size * step
    found.texts = texts.total()
    each = [credits[message] / count for message, count in texts.items()]
    if each:
        found.least_credits = round(min(each) * found.texts)
        found.most_credits = round(max(each) * found.texts)
    return found
