"""A campaign pauses by itself where too many of its latest texts fail, or do not arrive."""

import datetime as dt
from collections.abc import Sequence

import pytest
from django.db import ProgrammingError, connection
from django.test.utils import CaptureQueriesContext

from campaigns import lifecycle, policy
from campaigns.models import AutomaticPause, Campaign
from sending import strain
from sending.models import QueuedText, Sender, SentLog, State
from subscribers import clock
from subscribers.models import Brand
from tests import sending_world as world

HOUR = dt.timedelta(hours=1)


def ended(
    texts: Sequence[SentLog], *states: str, ago: dt.timedelta = dt.timedelta(0), reason: str = ""
) -> None:
    """Texts that departed `ago` and ended like this, in turn; a failed one has no time of sending."""
    moment = clock.now() - ago
    for place, text in enumerate(texts):
        state = states[place % len(states)]
        SentLog.objects.filter(pk=text.pk).update(
            state=state,
            reason=reason,
            changed_at=moment,
            sent_at=None if state == State.FAILED else moment,
        )
    QueuedText.objects.filter(pk__in=[text.pk for text in texts]).delete()


def limits(brand: Brand, **values: object) -> None:
    own = policy.of_brand(brand)
    for name, value in values.items():
        setattr(own, name, value)
    own.save()


@pytest.fixture
def texts(brand: Brand, sender: Sender) -> list[SentLog]:
    limits(brand, pause_sample=20)
    return world.planned_texts(brand, 40)


def status(texts: Sequence[SentLog]) -> str:
    return Campaign.objects.get(pk=texts[0].campaign_id).status


@pytest.mark.parametrize("bad", [State.FAILED, State.UNKNOWN])
def test_too_many_errors_pause_the_campaign_with_the_figures(
    texts: list[SentLog], bad: str
) -> None:
    ended(texts[:20], bad, State.ACCEPTED, State.SENT, State.DELIVERED)

    assert strain.brake() == 1

    campaign = Campaign.objects.get(pk=texts[0].campaign_id)
    assert campaign.status == Campaign.Status.PAUSED
    assert campaign.status_reason.startswith(
        "Paused by itself: 5 of 20 (25.0 %) of the texts failed or have no known end,"
        " the limit is 20 %."
    )
    assert "then resume or cancel" in campaign.status_reason
    pause = AutomaticPause.objects.get()
    assert (pause.campaign_id, pause.cause, pause.bad, pause.of, pause.limit) == (
        campaign.pk, "errors", 5, 20, 20,
    )  # fmt: skip


def test_below_the_limit_or_of_too_few_texts_nothing_is_paused(texts: list[SentLog]) -> None:
    ended(texts[:19], State.FAILED)
    assert strain.brake() == 0

    ended(texts[:30], State.FAILED, *[State.DELIVERED] * 5)  # 16.7 %
    assert strain.brake() == 0
    assert status(texts) == Campaign.Status.RUNNING


def test_undelivered_texts_count_among_those_with_a_final_receipt(texts: list[SentLog]) -> None:
    ended(texts[:30], State.UNDELIVERED, State.DELIVERED, State.ACCEPTED)

    assert strain.brake() == 1
    assert AutomaticPause.objects.get().cause == "undelivered"
    assert "10 of 20 (50.0 %)" in Campaign.objects.get().status_reason


@pytest.mark.parametrize(
    ("fields", "paused"),
    [({}, 1), ({"pause_at_errors": None}, 0), ({"pause_at_errors": "50.5"}, 0)],
)
def test_a_limit_is_the_brands_and_may_be_off(
    brand: Brand, texts: list[SentLog], fields: dict[str, object], paused: int
) -> None:
    limits(brand, **fields)
    ended(texts[:20], State.FAILED, State.SENT)

    assert strain.brake() == paused


def test_what_was_sent_before_the_window_does_not_count(brand: Brand, texts: list[SentLog]) -> None:
    ended(texts[:30], State.FAILED, ago=2 * HOUR)
    assert strain.brake() == 0

    limits(brand, pause_window=3 * HOUR)
    assert strain.brake() == 1


def test_a_resumed_campaign_counts_from_there_on(texts: list[SentLog]) -> None:
    ended(texts[:20], State.FAILED)
    assert strain.brake() == 1
    campaign = Campaign.objects.get()

    lifecycle.resume(campaign, now=clock.now())
    assert strain.brake() == 0
    assert status(texts) == Campaign.Status.RUNNING

    ended(texts[20:], State.UNKNOWN)
    assert strain.brake() == 1
    assert list(AutomaticPause.objects.order_by("pk").values_list("bad", flat=True)) == [20, 20]


def test_a_person_who_resumes_meanwhile_is_not_overruled(texts: list[SentLog]) -> None:
    ended(texts[:20], State.FAILED)
    (some,) = strain.brakes.watched(clock.now())
    share = strain.count(strain.stretches(some))[some[0].campaign_id].shares()[0]
    campaign = Campaign.objects.get()
    lifecycle.pause(campaign)
    lifecycle.resume(campaign, now=clock.now())

    assert not strain.brakes.pull(some[0], share)

    assert status(texts) == Campaign.Status.RUNNING
    assert not AutomaticPause.objects.exists()


def test_one_campaigns_errors_pause_no_other(brand: Brand, texts: list[SentLog]) -> None:
    other = world.make_brand("ta", workspace=brand.workspace, pause_sample=20)
    its = world.planned_texts(other, 30)
    ended(its, State.FAILED)
    ended(texts, State.DELIVERED)

    assert strain.brake() == 1

    assert (status(texts), status(its)) == (Campaign.Status.RUNNING, Campaign.Status.PAUSED)


def test_tests_and_texts_that_still_wait_do_not_count(texts: list[SentLog]) -> None:
    ended(texts[:20], State.FAILED)
    SentLog.objects.filter(pk__in=[text.pk for text in texts[:10]]).update(purpose="test")

    assert strain.brake() == 0


def test_of_a_large_run_a_fair_sample_is_counted(
    texts: list[SentLog], monkeypatch: pytest.MonkeyPatch
) -> None:
    ended(texts, State.FAILED)
    (some,) = strain.brakes.watched(clock.now())
    monkeypatch.setattr(strain, "MOST_ROWS", 20)  # of 40: half of the ids

    (stretch,) = strain.stretches(some)
    counted = strain.count([stretch])[some[0].campaign_id]

    within = [text for text in texts if stretch.first <= text.id < stretch.end]
    assert counted.failed == len(within)
    assert 5 <= counted.failed <= 35  # a fair half of 40, with a chance of 1 in a million to fail
    assert stretch.end.int - stretch.first.int == strain.PARTS // 2 * strain.ONE_PART


def test_looking_costs_the_same_however_many_campaigns_run(brand: Brand, sender: Sender) -> None:
    def cost() -> int:
        with CaptureQueriesContext(
            connection,
        ) as queries:
            strain.brake()
        return len(queries)

    world.planned_texts(brand, 1)
    one = cost()
    for number in range(5):
        world.planned_texts(world.make_brand(f"b{number}", workspace=brand.workspace), 1)

    assert cost() == one


def test_a_pause_on_record_can_be_neither_changed_nor_deleted(texts: list[SentLog]) -> None:
    ended(texts[:20], State.FAILED)
    strain.brake()

    with pytest.raises(ProgrammingError, match="Cannot update or delete"):
        AutomaticPause.objects.update(bad=0)
    with pytest.raises(ProgrammingError, match="Cannot update or delete"):
        AutomaticPause.objects.all().delete()
