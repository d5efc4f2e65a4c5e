"""Why somebody does or does not get a campaign: by command and page, rule by rule, behind the wall."""

import datetime as dt
import io
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from campaigns.eligibility import RULES, Purpose, Reason
from campaigns.models import BrandPolicy, Campaign, PlatformPolicy
from sending import explanation, explanation_words
from sending.models import QueuedText, SentLog, State
from subscribers import clock
from subscribers.models import Brand, ConsentSource, Subscriber, Subscription, Suppression
from tests import sending_world as world

HOUR = dt.timedelta(hours=1)


@pytest.fixture
def person(brand: Brand) -> Subscriber:
    return world.make_people(brand, 1, first_name="Ada")[0]


@pytest.fixture
def campaign(brand: Brand, person: Subscriber) -> Campaign:
    campaign = world.make_campaign(brand)
    world.plan(campaign)
    return campaign


def lines(person: Subscriber, campaign: Campaign) -> dict[str, tuple[str, str, str]]:
    """By what a rule is about: its verdict, facts and what follows."""
    told = explanation.explain(person, Campaign.objects.get(pk=campaign.pk))
    shown = explanation_words.lines(told)
    return {
        step.rule.about: (line.verdict, line.facts, line.follows)
        for step, line in zip(told.steps, shown, strict=True)
    }


def run(*args: object) -> str:
    out = io.StringIO()
    call_command(*map(str, args), stdout=out)
    return out.getvalue()


def test_every_rule_tells_its_facts() -> None:
    assert {rule.about for rule in RULES[Purpose.CAMPAIGN]} == set(explanation_words.FACTS)


def test_somebody_who_may_get_it_passes_every_rule(person: Subscriber, campaign: Campaign) -> None:
    told = explanation.explain(person, campaign)

    assert explanation_words.verdict(told) == "May get it now."
    assert {verdict for verdict, _, _ in lines(person, campaign).values()} == {"Passes"}


def test_the_rule_that_stops_and_what_would_stop_too(
    person: Subscriber, campaign: Campaign
) -> None:
    world.opt_out(campaign.brand, person)
    Subscriber.objects.filter(pk=person.pk).update(number_kind="landline")
    person.refresh_from_db()

    found = lines(person, campaign)

    assert found["opt_out"][0] == "Stops here"
    assert "Opted out on" in found["opt_out"][1]
    assert [found[about][0] for about in ("suppression", "number", "opt_in", "hours")] == [
        "Would stop too", "Would stop too", "Would stop too", "Passes",
    ]  # fmt: skip
    assert "Keyword" in found["suppression"][1]
    assert found["number"][2] == "The number cannot receive texts"


def test_it_says_what_the_gate_and_the_planner_would_decide(
    person: Subscriber, campaign: Campaign
) -> None:
    sleeper = world.make_people(campaign.brand, [world.number(area=world.HAWAII)])[0]
    again = world.make_campaign(campaign.brand)
    world.plan(again)

    for one in (person, sleeper):
        decided = SentLog.objects.get(campaign=again, subscriber=one).reason or "ok"
        assert explanation.explain(one, again).decision.reason == decided


def test_the_texts_that_fill_a_cap_are_named(person: Subscriber, campaign: Campaign) -> None:
    BrandPolicy.objects.update(daily_limit=1)
    at = clock.now() - 2 * HOUR
    world.make_text(
        campaign.brand, State.DELIVERED, subscriber_id=person.pk, campaign=campaign, sent_at=at
    )

    found = lines(person, campaign)

    verdict, facts, follows = found["weekly_cap"]
    assert verdict == "Stops here"
    assert facts.startswith("1 of 1 texts in 7 days: Sale on ")
    assert "until" in follows
    assert found["daily_limit"][0] == "Would stop too"
    assert found["daily_limit"][1].startswith("1 of 1 texts in 24 hours: Sale on ")


def test_hours_are_told_for_every_zone_and_together(person: Subscriber, campaign: Campaign) -> None:
    Subscriber.objects.filter(pk=person.pk).update(zones=["America/New_York", "America/Chicago"])

    _, facts, _ = lines(person, campaign)["hours"]

    assert "New York: it is " in facts
    assert "Chicago: it is " in facts
    assert "all together: " in facts
    assert "10:00 to 20:00 in New York" in facts  # 9:00 in Chicago until 20:00 in New York


@pytest.mark.parametrize("zones", [[], ["No/Where"], ["America/New_York", "Asia/Bangkok"]])
def test_zones_of_any_kind_can_be_told(
    person: Subscriber, campaign: Campaign, zones: list[str]
) -> None:
    Subscriber.objects.filter(pk=person.pk).update(zones=zones)

    verdict, facts, _ = lines(person, campaign)["hours"]

    assert verdict == "Stops here"
    assert facts


def test_what_was_decided_before_is_told(person: Subscriber, campaign: Campaign) -> None:
    (earlier,) = explanation.explain(person, campaign).earlier
    assert (earlier.state, earlier.why) == ("Planned", "")
    assert earlier.due_at is not None

    QueuedText.objects.all().delete()
    SentLog.objects.update(state=State.SKIPPED, reason=Reason.OPTED_OUT)
    (earlier,) = explanation.explain(person, campaign).earlier
    assert explanation_words.earlier(earlier).startswith("Skipped: has opted out, decided ")


def test_where_nothing_was_decided_it_says_why(campaign: Campaign) -> None:
    (late,) = world.make_people(campaign.brand, 1)
    draft = world.make_campaign(campaign.brand, launched=False)

    assert "was not in the campaign's audience" in explanation.explain(late, campaign).untold
    assert "has not begun" in explanation.explain(late, draft).untold


def test_a_stranger_to_the_brand_has_no_subscription(campaign: Campaign) -> None:
    brand = campaign.brand
    other = world.make_brand("ta", workspace=brand.workspace)
    (stranger,) = world.make_people(other, 1)

    found = lines(stranger, campaign)

    assert found["opt_in"][:2] == ("Stops here", "There is no subscription to this brand.")


def test_a_suppression_of_another_brand_is_not_told(person: Subscriber, campaign: Campaign) -> None:
    other = world.make_brand("ta", workspace=campaign.brand.workspace)
    for brand, reason in ((other, "theirs"), (campaign.brand, "ours")):
        Suppression.objects.create(
            workspace=brand.workspace, brand=brand, phone_hash=person.phone_hash,
            source=ConsentSource.IMPORT, reason=reason,
        )  # fmt: skip

    facts = lines(person, campaign)["suppression"][1]

    assert "ours" in facts
    assert "theirs" not in facts


def test_the_platforms_switch_and_cap_are_told(person: Subscriber, campaign: Campaign) -> None:
    PlatformPolicy.objects.update(sending_enabled=False, daily_cap=0)

    found = lines(person, campaign)

    assert found["platform"][:2] == ("Stops here", "Sending is off.")
    assert found["platform_cap"][0] == "Would stop too"


def test_explaining_changes_nothing(person: Subscriber, campaign: Campaign) -> None:
    before = SentLog.objects.values().get()

    explanation.explain(person, campaign)

    assert SentLog.objects.values().get() == before
    assert Subscription.objects.count() == 1


def test_the_command_prints_every_rule(person: Subscriber, campaign: Campaign) -> None:
    world.opt_out(campaign.brand, person)

    shown = run("explain", person.phone, campaign.pk)

    assert person.phone not in shown
    assert "Does not get it: has opted out." in shown
    assert all(rule.title in shown for rule in RULES[Purpose.CAMPAIGN])
    assert "Opt-out, " in shown


def test_the_command_says_what_is_wrong(campaign: Campaign) -> None:
    with pytest.raises(CommandError, match="There is no campaign 999999"):
        run("explain", "+12125550100", 999_999)
    with pytest.raises(
        CommandError, match=r"is no subscriber of Workspace of wswd: \+1212\*\*\*0100"
    ):
        run("explain", "(212) 555-0100", campaign.pk)
    with pytest.raises(CommandError, match="not a phone number"):
        run("explain", "hello", campaign.pk)


@pytest.fixture
def marketer(client: Client, brand: Brand, django_user_model: Any) -> Client:
    user = django_user_model.objects.create_user("marketer", is_staff=True)
    names = ["view_campaign", "view_subscriber"]
    user.user_permissions.set(Permission.objects.filter(codename__in=names))
    brand.workspace.members.add(user)
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


def test_a_number_leads_to_the_answer(
    marketer: Client, person: Subscriber, campaign: Campaign
) -> None:
    asked = reverse("admin:sending_why", args=[campaign.pk])
    assert (
        asked
        in marketer.get(
            reverse("admin:campaigns_campaign_change", args=[campaign.pk])
        ).content.decode()
    )

    answer = marketer.post(asked, {"number": person.phone}, follow=True)

    text = answer.content.decode()
    assert "May get it now." in text
    assert person.phone not in text
    assert person.phone not in answer.redirect_chain[0][0]


def test_a_persons_page_leads_to_her_campaigns(
    marketer: Client, person: Subscriber, campaign: Campaign
) -> None:
    choice = reverse("admin:sending_why_of", args=[person.pk])
    page = marketer.get(reverse("admin:subscribers_subscriber_change", args=[person.pk]))
    assert choice in page.content.decode()

    text = marketer.get(choice).content.decode()

    assert reverse("admin:sending_why_person", args=[campaign.pk, person.pk]) in text


def test_an_unknown_number_and_another_tenants_are_not_found_alike(
    marketer: Client, campaign: Campaign
) -> None:
    (foreign,) = world.make_people(world.make_brand("ta"), 1)
    asked = reverse("admin:sending_why", args=[campaign.pk])

    for number in (foreign.phone, "+12125550100"):
        text = marketer.post(asked, {"number": number}).content.decode()
        assert "This number is no subscriber of Workspace of wswd" in text


def test_other_tenants_pages_are_not_there(
    marketer: Client, person: Subscriber, campaign: Campaign
) -> None:
    other = world.make_brand("ta")
    (foreign,) = world.make_people(other, 1)
    theirs = world.make_campaign(other)

    for name, args in (
        ("why", [theirs.pk]),
        ("why_of", [foreign.pk]),
        ("why_person", [theirs.pk, foreign.pk]),
        ("why_person", [theirs.pk, person.pk]),
        ("why_person", [campaign.pk, foreign.pk]),
    ):
        assert marketer.get(reverse(f"admin:sending_{name}", args=args)).status_code == 404


def test_the_pages_need_the_right_to_see_people(
    marketer: Client, person: Subscriber, campaign: Campaign, django_user_model: Any
) -> None:
    user = django_user_model.objects.get(username="marketer")
    user.user_permissions.set(Permission.objects.filter(codename="view_campaign"))

    for name, args in (("why", [campaign.pk]), ("why_person", [campaign.pk, person.pk])):
        assert marketer.get(reverse(f"admin:sending_{name}", args=args)).status_code == 403
