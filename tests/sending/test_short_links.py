"""Claims about short links: one row each, the same code each time, planned with their text."""

import uuid
from collections import Counter
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from campaigns import content, lifecycle
from campaigns.models import Campaign, Link, Message
from sending import evergreen, planning, short_links, trials
from sending.models import SentLog, ShortLink, TestNumber
from subscribers import clock
from subscribers.models import Brand, Subscriber
from tests import sending_world as world

SALE = "{{ brand }} https://shop.example.com/sale and https://shop.example.com/tea. Reply STOP"


@given(st.uuids(), st.integers(1, 2**40))
def test_a_code_is_twelve_characters_of_base62_and_always_the_same(
    text_id: uuid.UUID, link: int
) -> None:
    code = short_links.code_of(text_id, link)

    assert len(code) == 12
    assert set(code) <= set(short_links.ALPHABET)
    assert len(set(short_links.ALPHABET)) == 62
    assert short_links.code_of(text_id, link) == code
    assert short_links.code_of(text_id, link + 1) != code


def test_codes_are_spread_evenly_and_hang_on_the_secret(settings: Any) -> None:
    ids = [uuid.uuid4() for _ in range(3000)]
    codes = [short_links.code_of(one, 1) for one in ids]

    assert len(set(codes)) == len(codes)
    counted = Counter("".join(codes))
    mean = 12 * len(codes) / 62
    assert all(0.7 * mean < counted[char] < 1.3 * mean for char in short_links.ALPHABET)
    settings.SECRET_KEY = "another secret of more than fifty characters, as it should be"
    assert not set(codes) & {short_links.code_of(one, 1) for one in ids}


def test_each_text_has_links_of_its_own(brand: Brand) -> None:
    world.make_people(brand, 3)

    world.plan(world.make_campaign(brand, SALE))

    assert Link.objects.count() == 2
    assert ShortLink.objects.count() == 6
    for text in SentLog.objects.all():
        codes = ShortLink.objects.filter(text_id=text.id).order_by("link__position")
        first, second = (f"{settings.PUBLIC_URL}/l/{one.code}" for one in codes)
        assert text.body == f"Brand wswd {first} and {second}. Reply STOP"
        assert text.segments == content.measure(text.body).segments
        assert {one.brand_id for one in codes} == {brand.pk}


def test_a_link_that_is_said_twice_is_one(brand: Brand) -> None:
    world.make_people(brand, 1)

    world.plan(world.make_campaign(brand, "https://a.com/ or https://a.com/"))

    code = ShortLink.objects.get().code
    assert SentLog.objects.get().body.count(code) == 2


def test_links_live_on_the_brands_domain(brand: Brand) -> None:
    brand.policy.link_domain = "go.example.com"
    brand.policy.save()
    world.make_people(brand, 1)

    world.plan(world.make_campaign(brand, "https://a.com/"))

    assert SentLog.objects.get().body == f"https://go.example.com/{ShortLink.objects.get().code}"


def test_a_brand_may_keep_its_links_as_they_are(brand: Brand) -> None:
    brand.policy.shorten_links = False
    brand.policy.save()
    world.make_people(brand, 1)

    world.plan(world.make_campaign(brand, "https://a.com/"))

    assert SentLog.objects.get().body == "https://a.com/"
    assert not ShortLink.objects.exists()
    assert not Link.objects.exists()


def test_the_destination_carries_the_campaigns_parameters(brand: Brand) -> None:
    world.make_people(brand, 1)

    world.plan(world.make_campaign(brand, "https://a.com/x?y=1", utm_source="sms"))

    assert Link.objects.get().destination == "https://a.com/x?y=1&utm_source=sms"


def test_a_planner_that_is_killed_writes_the_same_links_again(brand: Brand) -> None:
    world.make_people(brand, 2)
    campaign = world.make_campaign(brand, SALE)
    world.killed_at_the_end_of(lambda: planning.plan_due(budget=60))
    assert not ShortLink.objects.exists()

    run = world.plan(campaign)

    codes = set(ShortLink.objects.values_list("code", flat=True))
    assert len(codes) == 4
    run.cursor, run.planned_at = 0, None
    run.save()
    planning.plan_chunk(run)
    assert set(ShortLink.objects.values_list("code", flat=True)) == codes
    run.audience = 2  # what the books compare
    run.save()


def test_who_gets_no_text_has_no_link(brand: Brand) -> None:
    person, other = world.make_people(brand, 2)
    world.opt_out(brand, person)

    world.plan(world.make_campaign(brand, "https://a.com/"))

    text = ShortLink.objects.get().text_id
    assert SentLog.objects.get(id=text).subscriber == other


def test_planning_asks_nothing_about_links_where_there_are_none(brand: Brand) -> None:
    world.make_people(brand, 3)

    asked = {}
    for body in ("No links", SALE):
        campaign = world.make_campaign(brand, body)
        with CaptureQueriesContext(connection) as queries:
            world.plan(campaign)
        told = [one["sql"] for one in queries]
        asked[body] = [sql for sql in told if "campaigns_link" in sql or "shortlink" in sql]

    assert asked["No links"] == []
    # The destinations that are known, the missing ones, known again; then all short links at once.
    kinds = [sql.split()[0] for sql in asked[SALE]]
    assert kinds == ["SELECT", "INSERT", "SELECT", "INSERT"]


def test_an_evergreen_text_has_links_too(brand: Brand) -> None:
    world.make_people(brand, 2)
    campaign = world.make_campaign(brand, "https://a.com/", kind=Campaign.Kind.EVERGREEN)
    planning.start_due()

    evergreen.tick_due()

    assert campaign.messages.get().links.count() == 1
    assert ShortLink.objects.count() == SentLog.objects.count() == 2


def test_a_test_send_has_links_that_can_be_followed(brand: Brand) -> None:
    campaign = world.make_campaign(brand, "https://a.com/", launched=False)
    number = world.number()
    TestNumber.objects.create(workspace=brand.workspace, phone=number)

    (told,) = trials.send(campaign, [number], key="1", asked_by="ada")

    assert ShortLink.objects.get().text_id == told.id
    assert ShortLink.objects.get().code in SentLog.objects.get().body


def test_people_get_the_message_in_their_language(brand: Brand) -> None:
    people = world.make_people(brand, 4)
    languages = ["es-MX", "fr", "", "en"]
    for person, language in zip(people, languages, strict=True):
        Subscriber.objects.filter(pk=person.pk).update(traits={"language": language})
    campaign = world.make_campaign(brand, "Hello", launched=False)
    Message.objects.create(campaign=campaign, body="Hola", language="es")
    lifecycle.launch(campaign, now=clock.now())
    world.plan(campaign)

    bodies = dict(SentLog.objects.values_list("subscriber_id", "body"))
    assert [bodies[person.pk] for person in people] == ["Hola", "Hello", "Hello", "Hello"]


@pytest.mark.parametrize(("allowed", "state"), [(1, "skipped"), (2, "planned")])
def test_a_text_of_more_segments_than_the_brand_allows_is_passed_over(
    brand: Brand, allowed: int, state: str
) -> None:
    brand.policy.most_segments = allowed
    brand.policy.save()
    world.make_people(brand, 1)

    world.plan(world.make_campaign(brand, "x" * 200))

    text = SentLog.objects.get()
    assert (text.state, text.reason) == (state, "too_long" if state == "skipped" else "")
