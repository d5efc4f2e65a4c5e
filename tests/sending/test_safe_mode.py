"""F8: the database is restored from a backup. What was sent since is never sent again.

The backup is real: the tables are copied, things go on, and the copies are put back.
"""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from campaigns import lifecycle, policy, runs
from campaigns.models import Campaign, PlatformPolicy, Run
from sending import dispatch, evergreen, outcomes, parking, planning, queues, reaper, safe_mode
from sending.models import (
    DailyTotal,
    Departure,
    EvergreenTurn,
    QueuedText,
    SafeMode,
    Sender,
    SentLog,
    State,
)
from subscribers import clock
from subscribers.models import Brand
from tests import sending_world as world
from tests.sending.carrier.conftest import Running
from tests.sending.conftest import Carrier

AHEAD = dt.timedelta(hours=3)


class Backup:
    """A copy of the tables of the four apps, and the moment that it was taken at."""

    def __init__(self) -> None:
        self.at = clock.now()
        with connection.cursor() as cursor:
            cursor.execute("DROP SCHEMA IF EXISTS backup CASCADE")
            cursor.execute("CREATE SCHEMA backup")
            cursor.execute(
                "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition"
                " AND relnamespace = 'public'::regnamespace"
                " AND relname ~ '^(subscribers|campaigns|sending|tracking)_'"
            )
            self.tables = [row[0] for row in cursor.fetchall()]
            for table in self.tables:
                cursor.execute(f"CREATE TABLE backup.{table} AS TABLE public.{table}")

    def restore(self) -> None:
        """Make the database what it was. Foreign keys are looked at when it commits; Valkey
        is empty, as after any outage. The log's rows are not counted again, as in a restore."""
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("ALTER TABLE sending_sentlog DISABLE TRIGGER USER")
            cursor.execute(f"TRUNCATE {', '.join(self.tables)} CASCADE")
            for table in self.tables:
                cursor.execute(f"INSERT INTO public.{table} SELECT * FROM backup.{table}")
            cursor.execute("ALTER TABLE sending_sentlog ENABLE TRIGGER USER")
            cursor.execute("DROP SCHEMA backup CASCADE")
        queues.valkey().flushdb()
        evergreen._admitted_at.clear()


@pytest.fixture(autouse=True)
def without_backups(installed: None) -> Iterator[None]:
    yield
    with connection.cursor() as cursor:
        cursor.execute("DROP SCHEMA IF EXISTS backup CASCADE")


@pytest.fixture
def sender(brand: Brand) -> Sender:
    return world.make_sender(brand, rate=5000)


@pytest.fixture
def unaudited(balanced: None, carrier_server: Running, settings: Any) -> Carrier:
    """The fake carrier for what the books cannot explain afterwards."""
    carrier_server.post("/_carrier/reset", {})
    settings.FAKE_CARRIER_URL = carrier_server.url
    return Carrier(carrier_server, len(carrier_server.entries()))


def switch_on() -> None:
    PlatformPolicy.objects.update(sending_enabled=True)


def all_goes_on(brand: Brand) -> None:
    """The ticker and a worker, until nothing waits that time alone would bring."""
    for _ in range(3):
        evergreen._admitted_at.clear()
        reaper.reap()
        planning.plan_due(budget=60)
        evergreen.tick_due(budget=60)
        parking.follow_campaigns()
        dispatch.drain(brand.pk, seconds=20)


def test_what_was_sent_after_the_backup_is_not_sent_again(
    brand: Brand, sender: Sender, provider: Carrier
) -> None:
    texts = world.planned_texts(brand, 30)
    QueuedText.objects.filter(pk__in=[t.pk for t in texts[10:]]).update(due_at=clock.now() + AHEAD)
    dispatch.drain(brand.pk, seconds=20)
    QueuedText.objects.update(due_at=clock.now())
    backup = Backup()
    all_goes_on(brand)
    assert len(provider.accepted()) == 30

    backup.restore()
    done = safe_mode.enter(backup.at)
    switch_on()
    all_goes_on(brand)

    assert done.waiting == 20
    assert provider.accepted_by_number() == {text.phone: 1 for text in texts}
    assert world.states() == {State.ACCEPTED: 10, State.UNKNOWN: 20}
    assert world.states(reason="safe_mode") == {State.UNKNOWN: 20}


def test_without_safe_mode_they_would_be_sent_again(
    brand: Brand, sender: Sender, unaudited: Carrier
) -> None:
    """What the test above would not see, were the backup not one."""
    world.planned_texts(brand, 3)
    backup = Backup()
    dispatch.drain(brand.pk, seconds=20)

    backup.restore()
    dispatch.drain(brand.pk, seconds=20)

    assert set(unaudited.accepted_by_number().values()) == {2}


def test_an_audience_that_was_being_planned_is_planned_as_unknown(
    brand: Brand, sender: Sender, provider: Carrier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "CHUNK", 1000)
    people = world.make_people(brand, 1100) + world.make_people(
        brand, [world.number(area=world.HAWAII) for _ in range(3)]
    )
    campaign = world.make_campaign(brand)
    planning.start_due()
    planning.plan_chunk(runs.open_broadcast(campaign, now=clock.now()))
    backup = Backup()
    all_goes_on(brand)
    assert len(provider.accepted()) == 1100

    backup.restore()
    done = safe_mode.enter(backup.at)
    switch_on()
    all_goes_on(brand)
    world.all_due()
    all_goes_on(brand)

    assert (done.waiting, done.audience) == (1000, 103)
    assert provider.accepted_by_number() == {one.phone: 1 for one in people[:1100]}
    assert world.states() == {State.UNKNOWN: 1103}
    assert Run.objects.get().audience == 1103


def test_what_is_due_later_stays_and_is_sent_once_sending_is_on(
    brand: Brand, sender: Sender, provider: Carrier
) -> None:
    (text,) = world.planned_texts(brand)
    QueuedText.objects.update(due_at=clock.now() + AHEAD)
    backup = Backup()
    backup.restore()

    assert safe_mode.enter(backup.at).waiting == 0
    QueuedText.objects.update(due_at=clock.now())
    all_goes_on(brand)
    assert provider.accepted() == []
    switch_on()
    all_goes_on(brand)

    assert provider.accepted_by_number() == {text.phone: 1}


def test_what_was_parked_may_have_been_resumed_since(
    brand: Brand, sender: Sender, provider: Carrier
) -> None:
    (text,) = world.planned_texts(brand)
    campaign = text.campaign
    lifecycle.pause(campaign)
    all_goes_on(brand)
    assert QueuedText.objects.get().due_at == queues.PARKED
    backup = Backup()
    lifecycle.resume(campaign, now=clock.now())
    all_goes_on(brand)
    assert len(provider.accepted()) == 1

    backup.restore()
    safe_mode.enter(backup.at)
    switch_on()
    lifecycle.resume(Campaign.objects.get(), now=clock.now())
    all_goes_on(brand)

    assert provider.accepted_by_number() == {text.phone: 1}


def test_texts_on_their_way_are_unknown_and_their_departures_gone(
    brand: Brand, sender: Sender
) -> None:
    texts = world.planned_texts(brand, 5)
    world.pass_gate(brand, sender, at_most=3)

    done = safe_mode.enter(clock.now())

    assert (done.departed, done.waiting) == (3, 2)
    assert {world.reload(text).state for text in texts} == {State.UNKNOWN}
    assert not Departure.objects.exists()


def test_what_was_certainly_not_sent_stays_as_it_was(brand: Brand) -> None:
    since = clock.now()
    world.planned_texts(brand, 2)
    lifecycle.cancel(Campaign.objects.get())
    expired = world.make_text(brand, expires_at=since - dt.timedelta(minutes=1))

    assert safe_mode.enter(since).waiting == 0
    switch_on()
    parking.follow_campaigns()

    assert world.states() == {State.CANCELLED: 2, State.PLANNED: 1}
    assert world.reload(expired).reason == ""


def test_what_became_unknown_counts_for_every_cap(brand: Brand, sender: Sender) -> None:
    brand.policy.daily_limit = 1
    brand.policy.save()
    world.planned_texts(brand, 4)
    safe_mode.enter(clock.now())
    switch_on()
    assert DailyTotal.objects.get().sent == 4

    world.plan(world.make_campaign(brand, "Another one"))

    assert world.states(reason="daily_limit") == {State.PLANNED: 4}


def test_a_receipt_still_tells_what_became_of_an_unknown_text(brand: Brand) -> None:
    (text,) = world.planned_texts(brand)
    safe_mode.enter(clock.now())

    outcomes.receive([(text.pk, State.DELIVERED, "")])

    assert (world.reload(text).state, world.reload(text).reason) == (State.DELIVERED, "")


def test_campaigns_that_may_have_begun_wait_for_a_person(brand: Brand, provider: Carrier) -> None:
    now = clock.now()
    due = world.make_campaign(brand)  # scheduled for now, not begun in the backup
    later = world.make_campaign(brand, starts_at=now + AHEAD)
    without_run = world.make_campaign(brand)
    lifecycle.begin(without_run)
    world.make_people(brand, 3)

    done = safe_mode.enter(now)
    switch_on()
    all_goes_on(brand)

    assert len(done.held) == 2
    for campaign in (due, later, without_run):
        campaign.refresh_from_db()
    assert due.status == Campaign.Status.WAITING
    assert later.status == Campaign.Status.SCHEDULED
    assert without_run.status == Campaign.Status.PAUSED
    assert "Safe mode" in due.status_reason
    assert "Safe mode" in without_run.status_reason
    assert world.states() == {}


def test_evergreen_turns_that_were_due_move_on_by_their_gap(
    brand: Brand, sender: Sender, unaudited: Carrier, tmp_path: Path
) -> None:
    people = world.make_people(brand, 6)
    world.make_campaign(brand, "Tea", kind=Campaign.Kind.EVERGREEN, weekly_cap=7)
    planning.start_due()
    evergreen._admitted_at.clear()
    evergreen.admit(brand)
    not_due = EvergreenTurn.objects.get(subscriber=people[0])
    EvergreenTurn.objects.filter(pk=not_due.pk).update(next_at=clock.now() + AHEAD)
    EvergreenTurn.objects.filter(subscriber=people[1]).delete()  # admitted after the backup
    backup = Backup()
    all_goes_on(brand)
    assert len(unaudited.accepted()) == 5

    backup.restore()
    done = safe_mode.enter(backup.at)
    switch_on()
    all_goes_on(brand)

    assert done.turns == 5
    assert unaudited.accepted_by_number() == {one.phone: 1 for one in people[1:]}
    gap = policy.of_brand(brand).evergreen_gap
    soonest = EvergreenTurn.objects.exclude(pk=not_due.pk).order_by("next_at").first()
    assert soonest is not None
    assert soonest.next_at > clock.now() + gap - dt.timedelta(minutes=5)
    not_due.refresh_from_db()
    assert not_due.next_at < clock.now() + AHEAD
    # Their rows are gone with the runs of that time: the audit says so.
    (lost,) = unaudited.audit(tmp_path)
    assert lost.startswith("5 texts at the carrier are in no log of ours")


def test_sending_is_off_until_a_person_switches_it_on(
    brand: Brand, sender: Sender, provider: Carrier
) -> None:
    safe_mode.enter(clock.now())
    world.planned_texts(brand, 2)
    all_goes_on(brand)

    assert provider.accepted() == []
    switch_on()
    all_goes_on(brand)
    assert len(provider.accepted()) == 2


def test_entering_it_again_changes_nothing_even_of_what_was_planned_since(
    brand: Brand, capsys: Any
) -> None:
    since = clock.now()
    world.planned_texts(brand, 2)
    call_command("enter_safe_mode", since=since.isoformat())
    assert "2 planned texts may have been sent: unknown." in capsys.readouterr().out
    world.planned_texts(brand, 3)
    before = world.states()
    assert before == {State.UNKNOWN: 2, State.PLANNED: 5}

    call_command("enter_safe_mode", since=since.isoformat())

    assert "entered already" in capsys.readouterr().out
    assert world.states() == before
    assert SafeMode.objects.get().texts == 2


def test_a_later_restore_enters_it_again(brand: Brand) -> None:
    safe_mode.enter(clock.now())
    world.planned_texts(brand, 3)

    assert safe_mode.enter(clock.now()).waiting == 3


def test_it_happens_wholly_or_not_at_all(brand: Brand) -> None:
    world.planned_texts(brand, 2)

    world.killed_at_the_end_of(lambda: safe_mode.enter(clock.now()))

    assert world.states() == {State.PLANNED: 2}
    assert policy.platform().sending_enabled
    assert safe_mode.enter(clock.now()).waiting == 2


@pytest.mark.parametrize(
    ("since", "says"),
    [
        ("2999-01-01T00:00:00Z", "still to come"),
        ("2026-01-01T00:00:00", "has no time zone"),
        ("yesterday", "is no moment"),
    ],
)
def test_a_moment_that_cannot_be_the_backups_is_refused(
    brand: Brand, since: str, says: str
) -> None:
    world.planned_texts(brand)

    with pytest.raises(CommandError, match=says):
        call_command("enter_safe_mode", since=since)

    assert world.states() == {State.PLANNED: 1}
    assert policy.platform().sending_enabled
    assert SentLog.objects.get().reason == ""
