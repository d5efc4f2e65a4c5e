"""F17 and F18: planners that die and are two, and texts that nobody can send."""

from collections.abc import Callable

import pytest

from campaigns import lifecycle
from campaigns.models import BrandPolicy
from sending import planning
from sending.models import SentLog, State
from subscribers import clock
from subscribers.models import Subscriber
from tests import sending_world as world
from tests.chaos.conftest import LONG
from tests.chaos.nursery import Process
from tests.chaos.proxy import On
from tests.chaos.scene import Scene

PLANNED = b"INSERT INTO sending_sentlog"


def kill_all(processes: list[Process]) -> None:
    for process in processes:
        process.kill()


@pytest.mark.long
def test_f17_planners_die_mid_audience(scene: Callable[..., Scene]) -> None:
    """Two tickers at a time, killed before and after a part is committed; launched twice."""
    with scene("F17 planners killed, two tickers") as it:
        brand = it.brand("mitto", people=6 * planning.CHUNK, rate=4000)
        campaign = it.launch(brand)
        lifecycle.launch(campaign, now=clock.now())  # the second click
        planned = SentLog.objects.filter(brand=brand)
        for on in (On.REQUEST, On.ANSWER, On.REQUEST, On.ANSWER):
            tickers: list[Process] = []
            trap = it.installation.database.trap(
                b"COMMIT", on, after=PLANNED, act=lambda doomed=tickers: kill_all(doomed)
            )
            tickers += [it.start("ticker"), it.start("ticker")]
            it.wait_for(trap.sprung.is_set, "planner to kill")
            it.verdict.kills += 2
            it.processes = [one for one in it.processes if one.lives()]
        assert 0 < planned.count() < it.verdict.texts

        it.staff(2, tickers=2)
        it.settle()
        it.judge()

        assert planned.values("subscriber_id").distinct().count() == it.verdict.texts


def test_f18_poison_fails_alone(scene: Callable[..., Scene]) -> None:
    """A text too long for one person, a megabyte, emoji, a number that nobody has."""
    with scene("F18 poison") as it:
        brand = it.brand("lime", "twilio", people=60 if not LONG else 300, rate=200)
        huge = it.brand("twilio", people=20)
        poison = dict(zip(("long", "emoji", "number"), it.people[brand.pk], strict=False))
        for what, name in (("long", "x" * 200), ("emoji", "👩‍👩‍👧‍👦 {{ brand }} {% if")):
            Subscriber.objects.filter(pk=poison[what].pk).update(name=name)
        Subscriber.objects.filter(pk=poison["number"].pk).update(phone=world.number("0400"))
        BrandPolicy.objects.filter(brand=brand).update(most_segments=10)
        it.launch(brand, "{{ name | default: 'you' }}" * 10)
        it.launch(huge, "x" * 1_000_000)
        it.staff(2)
        it.settle()
        it.judge()

        ends = {
            what: SentLog.objects.get(brand=brand, subscriber_id=person.pk).state
            for what, person in poison.items()
        }
        assert ends == {
            "long": State.SKIPPED,  # its ten repetitions are more than a text may hold
            "emoji": State.ACCEPTED,
            "number": State.FAILED,
        }
        others = SentLog.objects.filter(brand=brand).exclude(
            subscriber_id__in=[one.pk for one in poison.values()]
        )
        assert set(others.values_list("state", flat=True)) == {State.ACCEPTED}
        assert world.states(brand=huge).keys() <= {State.SKIPPED, State.FAILED}
