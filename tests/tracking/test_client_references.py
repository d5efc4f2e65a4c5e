"""Claims about `client_reference`: what an integrator has named is sent once for each brand, for ever."""

import datetime as dt
import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext

from campaigns.models import Campaign, Message
from campaigns.reference_models import ClientReference
from sending.models import QueuedText, Sender, SentLog
from subscribers import clock
from subscribers.models import Brand
from tests import sending_world as world
from tests.subscribers.conftest import api_key, make_key
from tracking import replies
from tracking.models import GivenAnswer, Reply
from tracking.webhooks.base import Inbound

TO_TEST = "+12125550155"


@pytest.fixture
def key(brand: Brand) -> str:
    return make_key(brand.workspace, per_minute=10_000)


def post(key: str, path: str, body: Any = None, **headers: str) -> HttpResponse:
    return Client().post(
        f"/api/{path}",
        json.dumps(body or {}),
        content_type="application/json",
        headers=api_key(key) | headers,
    )


def texts(key: str, **asked: str) -> list[str]:
    answer = Client().get("/api/messages", asked, headers=api_key(key))
    assert answer.status_code == 200, answer.content
    return [one["id"] for one in answer.json()["results"]]


def draft(brand: Brand) -> Campaign:
    return world.make_campaign(brand, launched=False)


def launch(brand: Brand) -> tuple[str, dict[str, Any]]:
    world.make_people(brand, 1)
    return f"campaigns/{draft(brand).pk}/enqueue", {}


def schedule(brand: Brand) -> tuple[str, dict[str, Any]]:
    tomorrow = clock.now() + dt.timedelta(days=1)
    return f"campaigns/{draft(brand).pk}/schedule", {"startsAt": tomorrow.isoformat()}


def trial(brand: Brand) -> tuple[str, dict[str, Any]]:
    return f"campaigns/{draft(brand).pk}/test", {"numbers": [TO_TEST]}


def answer_to_a_reply(brand: Brand) -> tuple[str, dict[str, Any]]:
    person = world.make_people(brand, 1)[0]
    sender = brand.senders.first() or world.make_sender(brand)
    reply = replies.receive(sender, Inbound(uuid.uuid4().hex, person.phone, "Is it on?"))
    assert reply is not None
    return f"replies/{reply.pk}/answer", {"body": "Yes. Reply STOP to opt out."}


def sent() -> int:
    """How many sends were caused: launched campaigns and texts that no campaign planned."""
    launched = Campaign.objects.exclude(status=Campaign.Status.DRAFT).count()
    return launched + SentLog.objects.count()


WAYS = [launch, schedule, trial, answer_to_a_reply]
every_way = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
type Way = Callable[[Brand], tuple[str, dict[str, Any]]]


@every_way
def test_a_reference_is_told_again_and_used_up(way: Way, brand: Brand, key: str) -> None:
    path, body = way(brand)
    body["client_reference"] = "order 7/é"

    first = post(key, path, body)
    again = post(key, path, body)

    assert first.status_code in (200, 202), first.content
    assert first.json()["client_reference"] == "order 7/é"
    assert again.status_code == 409
    told = again.json()
    assert (told["code"], told["field"]) == ("client_reference_used", "client_reference")
    subject = path.split("/")[1]
    assert f" {subject} at " in told["error"]
    assert told["error"].startswith("This reference was used for ")
    assert sent() == 1


@every_way
def test_ten_at_once_under_one_reference_send_once(way: Way, brand: Brand, key: str) -> None:
    path, body = way(brand)
    body["client_reference"] = "order-7"

    answers = world.at_once(*[lambda: post(key, path, body) for _ in range(10)])

    codes = sorted(answer.json().get("code", "") for answer in answers)
    assert codes == [""] + ["client_reference_used"] * 9
    assert sent() == 1
    assert (ClientReference.objects.count(), GivenAnswer.objects.count()) == (
        1,
        int(way is answer_to_a_reply),
    )


def test_ten_different_sends_at_once_under_one_reference_are_one(brand: Brand, key: str) -> None:
    """Each locks rows of its own first: they wait for each other at the reference, and no further."""
    wanted = [way(brand) for way in (launch, schedule, trial, answer_to_a_reply) * 2]
    jobs = [
        lambda path=path, body=body: post(key, path, body | {"client_reference": "one"})
        for path, body in wanted
    ]

    answers = world.at_once(*jobs)

    assert sorted(answer.status_code for answer in answers)[1:] == [409] * 7
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} == {
        "client_reference_used"
    }
    assert sent() == 1


def test_a_used_reference_is_refused_for_anything_else_of_the_brand(brand: Brand, key: str) -> None:
    path, body = trial(brand)
    post(key, path, body | {"client_reference": "one"})

    for way in WAYS:
        other, body = way(brand)
        answer = post(key, other, body | {"client_reference": "one"})
        assert answer.json()["code"] == "client_reference_used", way
        assert "a test of campaign" in answer.json()["error"]
    assert sent() == 1


@every_way
def test_what_fails_leaves_its_reference_free(way: Way, brand: Brand, key: str) -> None:
    path, body = way(brand)
    Campaign.objects.update(status=Campaign.Status.CANCELLED)
    Message.objects.update(weight=0)
    Reply.objects.update(received_at=clock.now() - dt.timedelta(days=9))

    refused = post(key, path, body | {"client_reference": "one"})

    assert (refused.status_code, refused.json()["code"]) == (409, "not_allowed")
    assert not ClientReference.objects.exists()
    other, body = trial(brand)
    assert post(key, other, body | {"client_reference": "one"}).status_code == 202


def test_other_brands_and_workspaces_use_the_same_words(brand: Brand, key: str) -> None:
    sister = world.make_brand("sister", workspace=brand.workspace)
    stranger = world.make_brand("stranger")
    keys = {brand: key, sister: key, stranger: make_key(stranger.workspace)}

    for one, its_key in keys.items():
        path, body = trial(one)
        assert post(its_key, path, body | {"client_reference": "one"}).status_code == 202

    assert len(texts(key, client_reference="one")) == 2
    assert len(texts(key, client_reference="one", brand="sister")) == 1
    assert len(texts(keys[stranger], client_reference="one")) == 1
    own = make_key(brand.workspace, brand)
    path, body = trial(sister)
    assert post(own, path, body | {"client_reference": "one"}).json()["code"] == "not_found"
    assert len(texts(own, client_reference="one")) == 1


def test_a_campaign_that_was_launched_is_not_launched_under_another_name(
    brand: Brand, key: str
) -> None:
    path, _ = launch(brand)
    post(key, path)

    answer = post(key, path, {"client_reference": "one"})

    assert (answer.status_code, answer.json()["code"]) == (409, "not_allowed")
    assert not ClientReference.objects.exists()
    assert post(key, path).status_code == 202


def test_an_idempotency_key_repeats_the_first_answer_and_a_new_one_is_refused(
    brand: Brand, key: str
) -> None:
    path, body = trial(brand)
    body["client_reference"] = "one"
    first = post(key, path, body, **{"Idempotency-Key": "a"})

    again = post(key, path, body, **{"Idempotency-Key": "a"})
    other = post(key, path, body, **{"Idempotency-Key": "b"})

    assert (again.status_code, again.content) == (202, first.content)
    assert (other.status_code, other.json()["code"]) == (409, "client_reference_used")


@pytest.mark.parametrize(
    "given", ["", " ", "x" * 65, "a\x00b", "two\nlines", " x", "x ", "\ud800", True, ["a"], {}]
)
def test_what_is_no_reference_is_refused(given: Any, brand: Brand, key: str) -> None:
    path, body = trial(brand)

    answer = post(key, path, body | {"client_reference": given})

    assert (answer.status_code, answer.json()["field"]) == (400, "client_reference")
    assert not SentLog.objects.exists()


def test_the_texts_of_a_reference_are_found(brand: Brand, sender: Sender, key: str) -> None:
    people = world.make_people(brand, 3)
    campaign = draft(brand)
    tested = post(
        key,
        f"campaigns/{campaign.pk}/test",
        {"numbers": [TO_TEST, "+12125550156"], "client_reference": "test"},
    )
    path, body = answer_to_a_reply(brand)
    answered = post(key, path, body | {"client_reference": "answer"})
    post(key, f"campaigns/{campaign.pk}/enqueue", {"client_reference": "launch"})
    campaign.refresh_from_db()
    run = world.plan(campaign)

    assert set(texts(key, client_reference="test")) == {one["id"] for one in tested.json()["tests"]}
    assert texts(key, client_reference="answer") == [answered.json()["answer"]["id"]]
    planned = SentLog.objects.filter(run_id=run.pk)
    assert {text.subscriber_id for text in planned} >= {person.pk for person in people}
    assert set(texts(key, client_reference="launch")) == {str(text.pk) for text in planned}
    assert texts(key, client_reference="nothing") == []
    assert QueuedText.objects.count() == 2 + 1 + planned.count()


def test_looking_for_a_reference_reads_no_more_than_its_index(brand: Brand, key: str) -> None:
    path, body = trial(brand)
    post(key, path, body | {"client_reference": "one"})
    with CaptureQueriesContext(
        connection,
    ) as seen:
        texts(key, client_reference="one")
    looks = [
        one["sql"]
        for one in seen.captured_queries
        if one["sql"].startswith("SELECT") and ("client" in one["sql"] or "sentlog" in one["sql"])
    ]
    assert len(looks) >= 2

    with connection.cursor() as cursor:
        cursor.execute("SET enable_seqscan = off")  # so small a table would be read through
        for look in looks:
            cursor.execute(f"EXPLAIN {look}")
            plan = "\n".join(row[0] for row in cursor.fetchall())
            assert "Seq Scan on campaigns_clientreference" not in plan, plan
            assert "Seq Scan on sending_sentlog" not in plan, plan
        cursor.execute("RESET enable_seqscan")
