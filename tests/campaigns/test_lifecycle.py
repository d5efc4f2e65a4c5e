"""A campaign's state: what each action does in each state, and that doing it twice is harmless."""

import datetime as dt
from contextlib import suppress

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from campaigns import lifecycle
from campaigns.models import Campaign, Message, Run
from subscribers.models import Brand
from tests.subscribers.conftest import DAY, JANUARY, make_brand, make_workspace, together

Status = Campaign.Status
DRAFT, SCHEDULED, RUNNING, PAUSED, WAITING, COMPLETED, CANCELLED = Status

NO = None  # not allowed: nothing changes
# What each action makes of each state. A campaign that left DRAFT was launched once.
TABLE: dict[str, dict[Status, Status | None]] = {
    "launch": {
        DRAFT: SCHEDULED,
        SCHEDULED: SCHEDULED,
        RUNNING: RUNNING,
        PAUSED: PAUSED,
        WAITING: WAITING,
        COMPLETED: COMPLETED,
        CANCELLED: CANCELLED,
    },
    "begin": {
        DRAFT: NO,
        SCHEDULED: RUNNING,
        RUNNING: NO,
        PAUSED: NO,
        WAITING: NO,
        COMPLETED: NO,
        CANCELLED: NO,
    },
    "hold": {
        DRAFT: NO,
        SCHEDULED: WAITING,
        RUNNING: WAITING,  # it was interrupted for long
        PAUSED: NO,
        WAITING: NO,
        COMPLETED: NO,
        CANCELLED: NO,
    },
    "complete": {
        DRAFT: NO,
        SCHEDULED: NO,
        RUNNING: COMPLETED,
        PAUSED: NO,
        WAITING: NO,
        COMPLETED: NO,
        CANCELLED: NO,
    },
    "pause": {
        DRAFT: NO,
        SCHEDULED: PAUSED,
        RUNNING: PAUSED,
        PAUSED: NO,
        WAITING: NO,
        COMPLETED: NO,
        CANCELLED: NO,
    },
    "resume": {
        DRAFT: NO,
        SCHEDULED: NO,
        RUNNING: NO,
        PAUSED: RUNNING,
        WAITING: SCHEDULED,
        COMPLETED: NO,
        CANCELLED: NO,
    },
    "cancel": {
        DRAFT: CANCELLED,
        SCHEDULED: CANCELLED,
        RUNNING: CANCELLED,
        PAUSED: CANCELLED,
        WAITING: CANCELLED,
        COMPLETED: NO,
        CANCELLED: NO,
    },
}
RAISING = ("launch", "pause", "cancel", "resume")  # what a person does is answered in words
cases = pytest.mark.parametrize(
    ("action", "state"), [(action, state) for action in TABLE for state in Status]
)


@pytest.fixture
def brand(db: None) -> Brand:
    return make_brand(make_workspace())


def make_campaign(brand: Brand, state: Status = DRAFT, **fields: object) -> Campaign:
    """A broadcast with a message in a state; one that is past its start has its run."""
    launched = None if state == DRAFT else JANUARY
    known = {"name": "Spring", "status": state, "launched_at": launched} | fields
    campaign = Campaign.objects.create(brand=brand, **known)
    Message.objects.create(campaign=campaign, body="{{ brand }}: hello. Reply STOP to opt out.")
    if state in (RUNNING, PAUSED, COMPLETED):
        Run.objects.create(campaign=campaign, brand=brand, started_at=JANUARY)
    return campaign


def do(action: str, campaign: Campaign, now: dt.datetime = JANUARY) -> bool | None:
    if action in ("launch", "resume"):
        return getattr(lifecycle, action)(campaign, now=now)
    if action == "hold":
        return lifecycle.hold(campaign, "missed its start")
    return getattr(lifecycle, action)(campaign)


def stored(campaign: Campaign) -> str:
    return Campaign.objects.get(pk=campaign.pk).status


def test_the_table_has_every_action_in_every_state() -> None:
    assert all(row.keys() == set(Status) for row in TABLE.values())
    assert {state for row in lifecycle.ALLOWED.values() for state in row} <= set(Status)


@cases
def test_each_action_does_in_each_state_what_the_table_says(
    brand: Brand, action: str, state: Status
) -> None:
    campaign = make_campaign(brand, state)
    after = TABLE[action][state]

    if after is NO and action in RAISING:
        with pytest.raises(lifecycle.NotAllowed, match=r"^A .* campaign cannot be .*\.$"):
            do(action, campaign)
    else:
        answer = do(action, campaign)
        assert action in RAISING or answer is (after is not NO)

    assert stored(campaign) == (after or state)
    assert campaign.status == stored(campaign)


@cases
def test_an_action_decides_by_the_stored_state_and_not_by_what_was_read_before(
    brand: Brand, action: str, state: Status
) -> None:
    read_before = make_campaign(brand, DRAFT)
    Campaign.objects.update(status=state, launched_at=None if state == DRAFT else JANUARY)
    if state == PAUSED:
        Run.objects.create(campaign=read_before, brand=brand, started_at=JANUARY)

    with suppress(lifecycle.NotAllowed):
        do(action, read_before)

    assert stored(read_before) == (TABLE[action][state] or state)


@pytest.mark.parametrize(
    "action",
    [
        "pause",
        "cancel",
        "resume",
    ],
)
def test_a_refusal_names_the_stored_state(brand: Brand, action: str) -> None:
    read_before = make_campaign(brand, DRAFT)
    Campaign.objects.update(status=COMPLETED, launched_at=JANUARY)

    with pytest.raises(lifecycle.NotAllowed, match="A completed campaign cannot be"):
        do(action, read_before)


def test_a_launch_notes_when_and_starts_at_once_unless_told_otherwise(brand: Brand) -> None:
    now_one, later_one = (
        make_campaign(brand),
        make_campaign(brand, starts_at=JANUARY + 7 * DAY),
    )

    for campaign in (now_one, later_one):
        lifecycle.launch(campaign, now=JANUARY)

    assert (now_one.starts_at, now_one.launched_at) == (JANUARY, JANUARY)
    assert (later_one.starts_at, later_one.launched_at) == (JANUARY + 7 * DAY, JANUARY)


def test_launching_again_changes_nothing(brand: Brand) -> None:
    campaign = make_campaign(brand)
    lifecycle.launch(campaign, now=JANUARY)
    before = Campaign.objects.values().get()

    lifecycle.launch(campaign, now=JANUARY + DAY)

    assert Campaign.objects.values().get() == before


@pytest.mark.parametrize("weights", [[], [0], [0, 0]])
def test_a_campaign_without_a_message_in_use_is_not_launched(
    brand: Brand, weights: list[int]
) -> None:
    campaign = Campaign.objects.create(brand=brand, name="Silent")
    for weight in weights:
        Message.objects.create(
            campaign=campaign, body="{{ brand }}: hello. Reply STOP to opt out.", weight=weight
        )

    with pytest.raises(lifecycle.NotAllowed, match="has no message; add one"):
        lifecycle.launch(campaign, now=JANUARY)

    assert stored(campaign) == DRAFT


def test_a_cancelled_draft_is_not_launched(brand: Brand) -> None:
    campaign = make_campaign(brand)
    lifecycle.cancel(campaign)

    with pytest.raises(lifecycle.NotAllowed, match="A cancelled campaign cannot be launched"):
        lifecycle.launch(campaign, now=JANUARY)


def test_a_reason_is_kept_until_the_campaign_goes_on(brand: Brand) -> None:
    campaign = make_campaign(brand, RUNNING)

    lifecycle.pause(campaign, "the sender was stopped")
    assert Campaign.objects.get().status_reason == "the sender was stopped"

    lifecycle.resume(campaign, now=JANUARY)
    assert Campaign.objects.get().status_reason == ""


def test_what_waited_for_a_person_starts_when_he_resumes_it(brand: Brand) -> None:
    campaign = make_campaign(brand, WAITING, starts_at=JANUARY)

    lifecycle.resume(campaign, now=JANUARY + DAY)

    assert (stored(campaign), campaign.starts_at) == (SCHEDULED, JANUARY + DAY)


@pytest.mark.parametrize("kind", Campaign.Kind)
def test_a_campaign_paused_before_its_start_keeps_its_start(brand: Brand, kind: str) -> None:
    campaign = make_campaign(brand, kind=kind, starts_at=JANUARY + 7 * DAY)
    lifecycle.launch(campaign, now=JANUARY)
    lifecycle.pause(campaign)

    lifecycle.resume(campaign, now=JANUARY + DAY)

    assert (stored(campaign), campaign.starts_at) == (SCHEDULED, JANUARY + 7 * DAY)


def test_a_running_pool_goes_on_after_a_pause(brand: Brand) -> None:
    campaign = make_campaign(brand, kind=Campaign.Kind.EVERGREEN)
    lifecycle.launch(campaign, now=JANUARY)
    lifecycle.begin(campaign)
    lifecycle.pause(campaign)

    lifecycle.resume(campaign, now=JANUARY + DAY)

    assert stored(campaign) == RUNNING


def test_a_change_of_state_is_one_conditional_update(brand: Brand) -> None:
    campaign = make_campaign(brand, RUNNING)

    with CaptureQueriesContext(connection) as queries:
        lifecycle.complete(campaign)

    written = [query["sql"] for query in queries if query["sql"].startswith("UPDATE")]
    assert len(written) == 1
    assert "status" in written[0].partition("WHERE")[2]


@pytest.mark.django_db(transaction=True)
def test_of_two_schedulers_one_begins_the_campaign() -> None:
    campaign = make_campaign(make_brand(make_workspace()), SCHEDULED)

    def begin() -> bool:
        return lifecycle.begin(Campaign.objects.get(pk=campaign.pk))

    assert sorted(together(begin, begin, begin)) == [False, False, True]
