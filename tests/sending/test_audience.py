"""A campaign's segment and exclusions: who gets a row, who is passed over later, what it costs."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from campaigns import audience, lifecycle
from campaigns.models import Campaign
from sending import costs, evergreen, facts, planning
from sending.models import Sender, SentLog, State
from subscribers import clock
from subscribers.models import Brand, Subscriber
from subscribers.segment_models import ManualList, ManualListMember, Segment
from tests import sending_world as world

CLICKED = {"field": "has_clicked", "op": "is", "value": True}


def segment(brand: Brand, rule: object = CLICKED, name: str = "clicked") -> Segment:
    return Segment.objects.create(workspace=brand.workspace, name=name, tree=rule)


def on_list(brand: Brand, *people: Subscriber) -> ManualList:
    found = ManualList.objects.create(workspace=brand.workspace, name="staff")
    for one in people:
        ManualListMember.objects.create(manual_list=found, subscriber=one)
    return found


def texted(campaign: Campaign) -> set[int]:
    rows = SentLog.objects.filter(campaign=campaign)
    return set(rows.values_list("subscriber_id", flat=True))


def campaign_for(brand: Brand, **fields: object) -> Campaign:
    return world.make_campaign(brand, launched=False, **fields)


def launched(campaign: Campaign) -> Campaign:
    lifecycle.launch(campaign, now=clock.now())
    return campaign


def test_only_people_of_the_segment_who_are_not_left_out_get_a_row(brand: Brand) -> None:
    keen = world.make_people(brand, 6, has_clicked=True)
    world.make_people(brand, 3)
    campaign = campaign_for(brand, segment=segment(brand))
    rich = segment(brand, {"field": "total_revenue", "op": "more_than", "value": 10}, "rich")
    Subscriber.objects.filter(pk=keen[1].pk).update(total_revenue=11)
    campaign.exclude_lists.add(on_list(brand, keen[0]))
    campaign.exclude_segments.add(rich)

    assert audience.count(campaign, now=clock.now()) == 4
    assert costs.of_campaign(campaign).audience == 4
    run = world.plan(launched(campaign))

    assert texted(campaign) == {one.pk for one in keen[2:]}
    assert run.audience == 4


def test_exclusions_alone_leave_everybody_else(brand: Brand) -> None:
    people = world.make_people(brand, 4)
    campaign = campaign_for(brand)
    campaign.exclude_lists.add(on_list(brand, people[3]))

    world.plan(launched(campaign))

    assert texted(campaign) == {one.pk for one in people[:3]}


def test_who_is_in_the_segment_but_not_opted_in_gets_no_text(brand: Brand) -> None:
    stays, leaves = world.make_people(brand, 2, has_clicked=True)
    world.opt_out(brand, leaves)

    campaign = launched(campaign_for(brand, segment=segment(brand)))
    world.plan(campaign)

    assert SentLog.objects.get(subscriber=stays).state == State.PLANNED
    assert SentLog.objects.get(subscriber=leaves).reason == "opted_out"


def test_an_audience_is_planned_whole_across_chunks(brand: Brand) -> None:
    keen = []
    for _ in range(4):
        keen += world.make_people(brand, 3, has_clicked=True)
        world.make_people(brand, 5)
    whole, planning.CHUNK = planning.CHUNK, 5
    try:
        campaign = launched(campaign_for(brand, segment=segment(brand)))
        world.plan(campaign)
    finally:
        planning.CHUNK = whole

    assert texted(campaign) == {one.pk for one in keen}


def test_who_left_the_segment_since_planning_is_passed_over_at_the_gate(
    brand: Brand, sender: Sender
) -> None:
    stays, leaves, listed = world.make_people(brand, 3, has_clicked=True)
    staff = on_list(brand)
    campaign = campaign_for(brand, segment=segment(brand))
    campaign.exclude_lists.add(staff)
    world.plan(launched(campaign))
    Subscriber.objects.filter(pk=leaves.pk).update(has_clicked=False)
    ManualListMember.objects.create(manual_list=staff, subscriber=listed)

    _, departing = world.pass_gate(brand, sender)

    assert [one.text.to for one in departing] == [stays.phone]
    for one in (leaves, listed):
        text = SentLog.objects.get(subscriber=one)
        assert (text.state, text.reason) == (State.SKIPPED, "not_in_segment")


def test_a_pool_draws_only_for_people_of_its_segment(brand: Brand) -> None:
    keen = world.make_people(brand, 3, has_clicked=True)
    others = world.make_people(brand, 2)
    pool = launched(campaign_for(brand, kind="evergreen", segment=segment(brand), weekly_cap=7))
    planning.start_due()
    evergreen._admitted_at.clear()

    assert evergreen.tick_due(budget=30) == 3
    assert texted(pool) == {one.pk for one in keen}

    open_pool = launched(campaign_for(brand, kind="evergreen", weekly_cap=7))
    planning.start_due()
    evergreen.EvergreenTurn.objects.filter(subscriber__in=others).update(next_at=clock.now())
    assert evergreen.tick_due(budget=30) == 2
    assert texted(open_pool) == {one.pk for one in others}


def test_a_campaign_whose_segment_cannot_be_read_is_not_launched(brand: Brand) -> None:
    world.make_people(brand, 1, has_clicked=True)
    campaign = campaign_for(brand, segment=segment(brand, {"list": 987654321}))

    with pytest.raises(lifecycle.NotAllowed, match="list 987654321 is not in this workspace"):
        lifecycle.launch(campaign, now=clock.now())


def test_a_segment_of_another_workspace_finds_nobody(brand: Brand) -> None:
    world.make_people(brand, 1, has_clicked=True)
    other = world.make_brand("ta")
    campaign = campaign_for(brand, segment=segment(other))

    with pytest.raises(lifecycle.NotAllowed, match="not in this workspace"):
        lifecycle.launch(campaign, now=clock.now())


def test_a_campaign_pauses_where_its_segment_can_no_longer_be_read(brand: Brand) -> None:
    world.make_people(brand, 1, has_clicked=True)
    chosen = segment(brand)
    campaign = launched(campaign_for(brand, segment=chosen))
    Segment.objects.filter(pk=chosen.pk).update(tree={"list": 987654321})

    planning.plan_due(budget=60)

    campaign.refresh_from_db()
    assert campaign.status == Campaign.Status.PAUSED
    assert "Its segment cannot be read." in campaign.status_reason
    assert not SentLog.objects.exists()


def test_a_segment_that_breaks_after_planning_stops_its_own_texts_alone(
    brand: Brand, sender: Sender
) -> None:
    person = world.make_people(brand, 1, has_clicked=True)[0]
    broken, sound = segment(brand), segment(brand, name="sound")
    first = launched(campaign_for(brand, segment=broken))
    second = launched(campaign_for(brand, segment=sound))
    planning.plan_due(budget=60)
    Segment.objects.filter(pk=broken.pk).update(tree={"list": 987654321})

    _, departing = world.pass_gate(brand, sender)

    assert [one.text.to for one in departing] == [person.phone]
    assert SentLog.objects.get(campaign=first).reason == "error"
    assert SentLog.objects.get(campaign=second).state == State.SENDING


def test_facts_cost_the_same_for_many_people_and_many_segments(brand: Brand) -> None:
    staff = on_list(brand)
    campaigns = []
    for place in range(6):
        rule = {"all": [CLICKED, {"not": {"list": staff.pk}}]}
        campaigns.append(campaign_for(brand, segment=segment(brand, rule, str(place))))
    people = world.make_people(brand, 60, has_clicked=True)

    def cost(campaigns: list[Campaign], people: list[Subscriber]) -> int:
        ids, now = [one.pk for one in people], clock.now()
        with CaptureQueriesContext(connection) as queries:
            found = facts.gather(brand, ids, now=now, campaigns=campaigns)
        assert all(found[pk].for_campaign(campaigns[0].pk).in_segment for pk in ids)
        return len(queries)

    assert cost(campaigns[:1], people[:1]) == cost(campaigns, people)
    assert cost([campaign_for(brand)], people) == 4
