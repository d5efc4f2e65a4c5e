"""Claims about the winner that chooses itself: what counts for it, and that it is chosen once."""

import datetime as dt
import uuid

import pytest
from django.test import Client

from campaigns.models import Campaign, Message, Run
from campaigns.winners import Figure
from sending import planning
from sending.identity import identify, moment_of
from sending.models import QueuedText, Sender, SentLog, State
from subscribers import clock
from subscribers.models import Brand
from tests import sending_world as world
from tracking import winners
from tracking.models import Attribution, PossibleOptOut, Purchase, Reply, TrackingEvent


@pytest.fixture
def campaign(brand: Brand) -> Campaign:
    """A test of two messages that was sent to everybody of its share five hours ago."""
    world.make_people(brand, 120)
    made = world.make_campaign(brand, "A", "B", test_share=50, winner_by="clicks", winner_sample=10)
    planning.plan_due(budget=60)
    QueuedText.objects.all().delete()
    SentLog.objects.update(state=State.DELIVERED)
    planned_hours_ago(5)
    made.refresh_from_db()
    return made


def planned_hours_ago(hours: int) -> None:
    Run.objects.update(planned_at=clock.now() - dt.timedelta(hours=hours))


def texts_of(campaign: Campaign, body: str) -> list[SentLog]:
    return list(SentLog.objects.filter(campaign=campaign, body=body).order_by("id"))


def click(text: SentLog, name: str = "click", times: int = 1) -> None:
    for count in range(times):
        TrackingEvent.objects.create(
            id=identify(moment_of(text.id), "click", text.id, uuid.uuid4(), count),
            brand_id=text.brand_id,
            subscriber_id=text.subscriber_id,
            text_id=text.id,
            kind=TrackingEvent.Kind.CLICK,
            name=name,
        )


def reply(sender: Sender, text: SentLog, meaning: str = "other") -> Reply:
    return Reply.objects.create(
        brand_id=text.brand_id,
        sender=sender,
        subscriber_id=text.subscriber_id,
        campaign_id=text.campaign_id,
        text_id=text.id,
        phone=text.phone,
        body="?",
        meaning=meaning,
        provider_id=uuid.uuid4().hex,
    )


def clicked_mostly(campaign: Campaign, body: str) -> Message:
    for text in texts_of(campaign, body):
        click(text)
    return campaign.messages.get(body=body)


def figure(campaign: Campaign, by: str, body: str) -> Figure:
    found = winners.figures(campaign, campaign.runs.earliest("pk"), by)
    return next(one for one in found if one.name == body)


def test_a_click_counts_once_for_each_person_and_machines_do_not(campaign: Campaign) -> None:
    first, second, third = texts_of(campaign, "A")[:3]
    click(first, times=3)
    click(second, name="burst")
    click(third, name="head")

    told = figure(campaign, "clicks", "A")

    assert (told.hits, told.texts) == (1, len(texts_of(campaign, "A")))
    assert told.value == 1 / told.texts
    assert figure(campaign, "clicks", "B").hits == 0


def test_texts_that_never_left_do_not_count(campaign: Campaign) -> None:
    text, *others = texts_of(campaign, "A")
    click(text)
    SentLog.objects.filter(pk=text.pk).update(state=State.SKIPPED)

    told = figure(campaign, "clicks", "A")

    assert (told.hits, told.texts) == (0, len(others))


def test_replies_count_but_opt_outs_and_help_do_not(campaign: Campaign, sender: Sender) -> None:
    one, two, three, four, *_ = texts_of(campaign, "B")
    reply(sender, one)
    reply(sender, one)
    reply(sender, two, "opt_out")
    reply(sender, three, "help")
    said = reply(sender, four)
    PossibleOptOut.objects.create(reply=said, brand_id=said.brand_id, everywhere=False)

    assert figure(campaign, "replies", "B").hits == 1


def test_revenue_is_what_buyers_spent_less_refunds(campaign: Campaign) -> None:
    one, two, three, *others = texts_of(campaign, "A")
    for text, amount in ((one, 30), (one, 10), (two, 20), (three, 0)):
        credited(text, amount)

    told = figure(campaign, "revenue", "A")

    assert (told.hits, told.value) == (2, pytest.approx(60 / (len(others) + 3)))
    assert told.interval.low < told.value < told.interval.high
    assert figure(campaign, "revenue", "B").hits == 0


def credited(text: SentLog, amount: int) -> None:
    purchase = Purchase.objects.create(
        brand_id=text.brand_id,
        order_key=uuid.uuid4().bytes,
        subscriber_id=text.subscriber_id,
        ordered_at=clock.now(),
        amount=amount,
        currency="USD",
    )
    Attribution.objects.create(
        purchase=purchase,
        brand_id=text.brand_id,
        text_id=text.id,
        campaign_id=text.campaign_id,
        message_id=text.message_id,
        touch="click",
        amount=amount,
    )


def test_the_clear_winner_is_what_the_rest_gets(campaign: Campaign) -> None:
    winner = clicked_mostly(campaign, "B")

    assert winners.choose_due() == 1
    assert winners.choose_due() == 0
    planning.plan_due(budget=60)

    rest = campaign.runs.get(winner=winner)
    assert rest.winner_because == "By clicks: It is clearly the best."
    assert {text.body for text in SentLog.objects.filter(run_id=rest.pk)} == {"B"}
    assert SentLog.objects.count() == 120


def test_ten_at_once_choose_one_winner_once(campaign: Campaign) -> None:
    clicked_mostly(campaign, "A")

    told = world.at_once(*[winners.choose_due] * 10)

    assert sum(told) == 1
    assert campaign.runs.exclude(winner=None).count() == 1


@pytest.mark.parametrize(
    "change",
    [
        {"winner_by": ""},
        {"winner_sample": 1000},
        {"winner_after": dt.timedelta(hours=6)},
        {"status": Campaign.Status.PAUSED},
        {"winner_by": "replies"},
    ],
)
def test_nothing_is_chosen_too_early_or_unasked(
    campaign: Campaign, change: dict[str, object]
) -> None:
    clicked_mostly(campaign, "A")
    Campaign.objects.update(**change)

    assert winners.choose_due() == 0
    assert not campaign.runs.exclude(winner=None).exists()


def test_the_best_so_far_wins_at_the_deadline_where_that_is_asked_for(campaign: Campaign) -> None:
    one, two, *_ = texts_of(campaign, "A")
    for text in (one, two, texts_of(campaign, "B")[0]):
        click(text)
    assert winners.choose_due() == 0

    Campaign.objects.update(winner_deadline=dt.timedelta(hours=5))

    assert winners.choose_due() == 1
    chosen = campaign.runs.exclude(winner=None).get()
    assert (chosen.winner.body, "at the deadline" in chosen.winner_because) == ("A", True)


def panel(campaign: Campaign) -> str:
    return f"/admin/tracking/reply/messages/{campaign.pk}/"


def test_the_page_shows_the_figures_with_their_ranges(ann: Client, campaign: Campaign) -> None:
    clicked_mostly(campaign, "A")

    shown = ann.get(panel(campaign)).content.decode()

    assert "100.0 %" in shown
    assert "A is about to win. It is clearly the best." in shown
    winners.choose_due()
    shown = ann.get(panel(campaign)).content.decode()
    assert "The rest of the audience gets A. By clicks: It is clearly the best." in shown
    assert "the winner" in shown


def test_the_figures_of_another_workspaces_campaign_are_not_there(
    ann: Client, campaign: Campaign
) -> None:
    theirs = world.make_campaign(world.make_brand("ta"), "A", "B", test_share=50)

    assert ann.get(panel(theirs)).status_code == 404
