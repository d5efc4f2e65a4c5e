"""`GET /api/messages`: by campaign, person, state and time, and only one's own; a text's history."""

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client

from sending.identity import moment_of
from sending.models import SentLog, State
from subscribers import clock
from subscribers.models import Brand
from tests import sending_world as world
from tests.subscribers.conftest import api_key, make_key
from tracking.models import TrackingEvent


@pytest.fixture
def brand(db: None) -> Iterator[Brand]:
    return world.make_brand()


@pytest.fixture
def key(brand: Brand) -> str:
    return make_key(brand.workspace)


def get(client: Client, key: str, path: str = "messages", http: int = 200) -> Any:
    answer = client.get(f"/api/{path}", headers=api_key(key))
    assert answer.status_code == http, answer.content
    return answer.json()


def ids(answer: Any) -> set[str]:
    return {row["id"] for row in answer["results"]}


def test_texts_are_found_by_campaign_person_state_and_number(
    client: Client, key: str, brand: Brand
) -> None:
    texts = world.planned_texts(brand, 3)
    SentLog.objects.filter(pk=texts[0].pk).update(state=State.DELIVERED)
    other = world.make_text(brand)
    first = texts[0]

    assert ids(get(client, key, f"messages?campaign={first.campaign_id}")) == {
        str(one.pk) for one in texts
    }
    assert ids(get(client, key, f"messages?subscriber={first.subscriber_id}")) == {str(first.pk)}
    assert ids(get(client, key, f"messages?phone={first.phone.replace('+', '%2B')}")) == {
        str(first.pk)
    }
    assert ids(get(client, key, "messages?state=delivered")) == {str(first.pk)}
    assert str(other.pk) in ids(get(client, key))


def test_a_text_shows_the_seeds_names(client: Client, key: str, brand: Brand) -> None:
    text = world.make_text(
        brand, State.ACCEPTED, provider_message_id="SM1", bulk_id="B1", sent_at=clock.now()
    )

    (row,) = get(client, key)["results"]

    assert (row["messageId"], row["bulkId"], row["state"]) == ("SM1", "B1", "accepted")
    assert dt.datetime.fromisoformat(row["plannedAt"]) == moment_of(text.pk)
    assert get(client, key, "messages?fields=id,state")["results"][0].keys() == {"id", "state"}


def test_time_is_of_planning_and_without_anything_it_is_the_last_days(
    client: Client, key: str, brand: Brand
) -> None:
    text = world.make_text(brand)
    planned = moment_of(text.pk)

    def found(since: dt.timedelta, until: dt.timedelta) -> set[str]:
        bounds = [(planned + part).isoformat().replace("+00:00", "Z") for part in (since, until)]
        return ids(get(client, key, f"messages?since={bounds[0]}&until={bounds[1]}"))

    second = dt.timedelta(seconds=1)
    assert found(-second, second) == {str(text.pk)}
    assert found(-second, dt.timedelta(0)) == set()
    assert found(second, second * 2) == set()


def test_a_filter_that_is_none_is_refused(client: Client, key: str, brand: Brand) -> None:
    assert get(client, key, "messages?status=sent", http=400)["field"] == "status"
    assert get(client, key, "messages?state=gone", http=400)["field"] == "state"
    assert get(client, key, "messages?phone=12", http=400)["field"] == "phone"
    assert get(client, key, "messages?since=soon", http=400)["field"] == "since"
    assert get(client, key, "messages?since=0001-01-01T00:00:00Z")["results"] == []


def test_another_workspaces_and_brands_texts_are_not_there(
    client: Client, key: str, brand: Brand
) -> None:
    theirs = world.planned_texts(world.make_brand("theirs"))[0]
    sister = world.make_brand("sister", workspace=brand.workspace)
    sisters = world.planned_texts(sister)[0]
    narrow = make_key(brand.workspace, brand)

    assert ids(get(client, key)) == {str(sisters.pk)}
    assert ids(get(client, narrow)) == set()
    for path in (
        f"messages?campaign={theirs.campaign_id}",
        f"messages?subscriber={theirs.subscriber_id}",
    ):
        assert ids(get(client, key, path)) == set()
    get(client, key, f"messages/{theirs.pk}/events", http=404)
    get(client, narrow, f"messages/{sisters.pk}/events", http=404)


def test_a_texts_history_is_told(client: Client, key: str, brand: Brand) -> None:
    text = world.make_text(brand, State.DELIVERED, sent_at=clock.now())
    TrackingEvent.objects.create(
        id=text.pk, brand=brand, text_id=text.pk, kind="receipt", name="delivered"
    )

    (event,) = get(client, key, f"messages/{text.pk}/events")["results"]

    assert (event["kind"], event["name"], event["message"]) == (
        "receipt",
        "delivered",
        str(text.pk),
    )
