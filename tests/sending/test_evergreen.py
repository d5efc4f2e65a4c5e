"""Evergreen pools: one text per person and gap, drawn from what the pools hold."""

import datetime as dt
import itertools
from collections import Counter

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from campaigns import lifecycle
from campaigns.models import BrandPolicy, Campaign, PlatformPolicy
from sending import evergreen, planning
from sending.models import EvergreenTurn, QueuedText, Sender, SentLog, State
from subscribers import clock
from subscribers.models import Brand, Subscriber
from tests import sending_world as world

GAP = dt.timedelta(days=2)
TEAS = ("Assam", "Sencha", "Rooibos", "Earl Grey")


def pool(brand: Brand, *bodies: str, weekly_cap: int = 7) -> Campaign:
    """A running pool."""
    campaign = world.make_campaign(
        brand, *(bodies or TEAS), kind=Campaign.Kind.EVERGREEN, weekly_cap=weekly_cap
    )
    planning.start_due()
    return campaign


def tick() -> int:
    """One look of the ticker at who is due, without its pause between two admissions."""
    evergreen._admitted_at.clear()
    return evergreen.tick_due(budget=30)


def gap_passes(brand: Brand) -> None:
    """Two days later: everybody's turn has come again, and texts are as much older."""
    EvergreenTurn.objects.filter(brand=brand).update(next_at=clock.now())
    for text in SentLog.objects.exclude(sent_at=None):
        SentLog.objects.filter(pk=text.pk).update(sent_at=text.sent_at - GAP)


def send(brand: Brand, sender: Sender) -> int:
    return len(world.pass_gate(brand, sender)[1])


def history(person: Subscriber) -> list[str]:
    """The bodies of a person's texts, oldest first."""
    return list(
        SentLog.objects.filter(subscriber=person).order_by("id").values_list("body", flat=True)
    )


def test_everybody_gets_one_text_in_each_gap(brand: Brand) -> None:
    people = world.make_people(brand, 20)
    pool(brand)

    planned = [tick() for _ in range(3)]

    assert planned == [20, 0, 0]
    assert Counter(SentLog.objects.values_list("phone", flat=True)) == Counter(
        one.phone for one in people
    )
    turn = EvergreenTurn.objects.first()
    assert turn is not None
    assert abs(turn.next_at - clock.now() - GAP) < dt.timedelta(minutes=1)


def test_several_pools_of_a_brand_share_a_persons_gap(brand: Brand) -> None:
    world.make_people(brand, 40)
    pool(brand, "A1", "A2")
    pool(brand, "B1", "B2")

    assert tick() == 40
    assert Counter(SentLog.objects.values_list("phone", flat=True)).most_common(1)[0][1] == 1
    assert SentLog.objects.values("campaign_id").distinct().count() == 2


def test_nobody_gets_the_same_message_twice_in_a_row(brand: Brand, sender: Sender) -> None:
    people = world.make_people(brand, 10)
    pool(brand)

    for _ in range(8):
        assert tick() == send(brand, sender) == 10
        gap_passes(brand)

    for person in people:
        bodies = history(person)
        assert len(bodies) == 8
        assert all(one != other for one, other in itertools.pairwise(bodies))
    drawn = Counter(body for person in people for body in history(person))
    assert set(drawn) == set(TEAS)


def test_a_pools_only_message_is_sent_once_until_there_is_another(
    brand: Brand, sender: Sender
) -> None:
    (person,) = world.make_people(brand, 1)
    pool(brand, "Assam")

    for _ in range(3):
        tick()
        send(brand, sender)
        gap_passes(brand)

    assert history(person) == ["Assam"]
    turn = EvergreenTurn.objects.get()
    assert tick() == 0
    turn.refresh_from_db()
    assert turn.next_at > clock.now()  # it is not due in every tick

    pool(brand, "Sencha")
    EvergreenTurn.objects.update(next_at=clock.now())
    assert tick() == send(brand, sender) == 1
    gap_passes(brand)
    assert tick() == send(brand, sender) == 1
    assert history(person) == ["Assam", "Sencha", "Assam"]


def test_a_person_gets_what_the_caps_of_other_pools_still_allow(
    brand: Brand, sender: Sender
) -> None:
    (person,) = world.make_people(brand, 1)
    pool(brand, "A1", "A2", weekly_cap=1)
    pool(brand, "B1", "B2", weekly_cap=2)

    for _ in range(3):
        assert tick() == send(brand, sender) == 1
        gap_passes(brand)

    assert Counter(body[0] for body in history(person)) == {"A": 1, "B": 2}
    assert tick() == 0


def test_the_draw_of_a_turn_is_the_same_each_time(brand: Brand) -> None:
    world.make_people(brand, 20)
    pool(brand)

    def drawn() -> dict[str, str]:
        with transaction.atomic():
            evergreen.admit(brand)
            evergreen.tick(brand)
            found = dict(SentLog.objects.values_list("phone", "body"))
            transaction.set_rollback(True)
        return found

    evergreen._admitted_at.clear()
    first = drawn()
    evergreen._admitted_at.clear()

    assert drawn() == first
    assert len(first) == 20
    assert len(set(first.values())) > 1


def test_a_tick_that_is_killed_plans_nobody_twice(brand: Brand) -> None:
    world.make_people(brand, 5)
    pool(brand)
    evergreen.admit(brand)

    world.killed_at_the_end_of(lambda: evergreen.tick(brand))

    assert not SentLog.objects.exists()
    assert [tick(), tick()] == [5, 0]


def test_two_tickers_at_once_plan_nobody_twice(brand: Brand) -> None:
    people = world.make_people(brand, 200)
    pool(brand)

    planned = world.at_once(*[lambda: evergreen.tick_due(budget=30)] * 4)

    assert sum(planned) == 200
    assert Counter(SentLog.objects.values_list("subscriber_id", flat=True)) == Counter(
        one.pk for one in people
    )


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evergreen, "CHUNK", 7)


def everybody_has(texts: int, people: list[Subscriber]) -> None:
    """Each of them has so many texts, and a turn that says so."""
    assert Counter(SentLog.objects.values_list("subscriber_id", flat=True)) == dict.fromkeys(
        (one.pk for one in people), texts
    )
    assert set(EvergreenTurn.objects.values_list("turn", flat=True)) == {texts}
    world.assert_books_balance()


def test_more_than_a_chunk_is_planned_once_brand_by_brand(brand: Brand, small_chunks: None) -> None:
    other = world.make_brand("ta", workspace=brand.workspace)
    people = world.make_people(brand, 40) + world.make_people(other, 15)
    pool(brand)
    pool(brand)
    pool(other)

    assert [tick(), tick()] == [55, 0]
    everybody_has(1, people)


def test_two_tickers_that_meet_in_every_chunk_plan_nobody_twice(
    brand: Brand, small_chunks: None
) -> None:
    people = world.make_people(brand, 100)
    pool(brand)

    planned = world.at_once(*[lambda: evergreen.tick_due(budget=60)] * 3)

    assert sum(planned) == 100
    everybody_has(1, people)


def test_a_ticker_that_was_killed_in_the_middle_goes_on_where_it_was(
    brand: Brand, small_chunks: None
) -> None:
    people = world.make_people(brand, 30)
    pool(brand)
    evergreen.admit(brand)

    assert evergreen.tick(brand) == (7, 7)
    world.killed_at_the_end_of(lambda: evergreen.tick(brand))

    assert SentLog.objects.count() == QueuedText.objects.count() == 7
    assert tick() == 23
    everybody_has(1, people)


def test_what_was_decided_is_not_written_where_a_turn_has_moved_meanwhile(brand: Brand) -> None:
    people = world.make_people(brand, 5)
    pool(brand)
    evergreen.admit(brand)
    decided = evergreen.prepare(brand)
    EvergreenTurn.objects.filter(subscriber=people[2]).update(next_at=clock.now() + GAP)

    with pytest.raises(evergreen.Overtaken):
        evergreen.write(decided)

    assert not SentLog.objects.exists()
    assert set(EvergreenTurn.objects.values_list("turn", flat=True)) == {0}
    assert tick() == 4


def test_a_tick_asks_as_many_questions_for_a_thousand_as_for_ten(brand: Brand) -> None:
    world.make_people(brand, 1010)
    pool(brand)
    pool(brand, "Darjeeling", "Oolong")
    tick()

    def statements(due: int) -> int:
        some = EvergreenTurn.objects.order_by("subscriber_id")[:due].values("subscriber_id")
        EvergreenTurn.objects.filter(subscriber_id__in=some).update(next_at=clock.now())
        with CaptureQueriesContext(connection) as asked:
            assert evergreen.tick(brand)[1] == due
        return len(asked)

    assert statements(10) == statements(1000) <= 40


def test_a_pools_weekly_cap_is_kept(brand: Brand, sender: Sender) -> None:
    (person,) = world.make_people(brand, 1)
    pool(brand, weekly_cap=2)

    sent = []
    for _ in range(3):
        sent.append(tick() and send(brand, sender))
        gap_passes(brand)

    assert sent == [1, 1, 0]
    # Four and two days... the older text is a week old in a day's time.
    turn = EvergreenTurn.objects.get(subscriber=person)
    turn.refresh_from_db()
    assert tick() == 0
    turn.refresh_from_db()
    oldest = SentLog.objects.order_by("sent_at")[0].sent_at
    assert turn.next_at == oldest + dt.timedelta(days=7)


def test_a_broadcast_counts_for_the_daily_limit_of_a_pool(brand: Brand, sender: Sender) -> None:
    BrandPolicy.objects.update(daily_limit=1)
    world.planned_texts(brand, 1)
    send(brand, sender)
    pool(brand)

    assert tick() == 0

    wait = EvergreenTurn.objects.get().next_at - clock.now()
    assert dt.timedelta(hours=23) < wait <= dt.timedelta(hours=24)


def test_who_still_sleeps_is_decided_again_in_the_morning(brand: Brand) -> None:
    world.make_people(brand, [world.number(area=world.HAWAII)])
    pool(brand)

    assert tick() == 0

    wait = EvergreenTurn.objects.get().next_at - clock.now()
    assert dt.timedelta() < wait < dt.timedelta(hours=3)
    assert not SentLog.objects.exists()


def test_who_opted_out_gets_nothing_and_who_joins_is_admitted(brand: Brand) -> None:
    (left,) = world.make_people(brand, 1)
    pool(brand)
    evergreen.admit(brand)
    world.opt_out(brand, left)

    assert tick() == 0
    assert EvergreenTurn.objects.get().next_at > clock.now()

    (joined,) = world.make_people(brand, 1)
    assert evergreen.tick_due(budget=30) == 0  # looked for newcomers less than 30 seconds ago
    assert tick() == 1
    assert SentLog.objects.get().subscriber_id == joined.pk


def test_who_never_opted_in_is_not_admitted(brand: Brand) -> None:
    other = world.make_brand("ta", workspace=brand.workspace)
    world.make_people(other, 2)
    (left,) = world.make_people(brand, 1)
    world.opt_out(brand, left)
    pool(brand)

    assert tick() == 0
    assert not EvergreenTurn.objects.exists()


def test_a_paused_pool_plans_nothing(brand: Brand) -> None:
    world.make_people(brand, 2)
    lifecycle.pause(pool(brand))

    assert tick() == 0


def test_a_pool_without_messages_holds_up_no_other(brand: Brand) -> None:
    world.make_people(brand, 2)
    pool(brand).messages.update(weight=0)
    other = world.make_brand("ta", workspace=brand.workspace)
    world.make_people(other, 3)
    pool(other)

    assert tick() == 3


def test_a_pools_text_goes_ahead_of_a_broadcasts(brand: Brand, sender: Sender) -> None:
    PlatformPolicy.objects.update(text_lifetime=dt.timedelta(hours=48))
    world.planned_texts(brand, 3)
    pool(brand)
    tick()

    _, departing = world.pass_gate(brand, sender, at_most=3)

    purposes = SentLog.objects.filter(pk__in=[one.text.id for one in departing])
    assert {text.campaign.kind for text in purposes} == {Campaign.Kind.EVERGREEN}
    assert QueuedText.objects.count() == world.states()[State.PLANNED] == 3
