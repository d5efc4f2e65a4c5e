"""Erasing a person: everything goes but a hash; the number stays suppressed; the books balance."""

import datetime as dt
import json
import re
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.http import HttpResponse
from django.test import Client

from sending import books, dispatch, outcomes
from sending.gateways.base import Fate, Outcome
from sending.models import QueuedText, Sender, SentLog, State, TestNumber
from sending.outcomes import Answered
from subscribers import clock, consent, erasure, person_export, suppression_lists, upsert
from subscribers.models import (
    Brand,
    ConsentEvent,
    Erasure,
    FirstAnswer,
    Subscriber,
    Subscription,
    Suppression,
)
from subscribers.sync import load
from tests import sending_world as world
from tests.sending.conftest import Carrier
from tests.sending.gateways.conftest import serve  # noqa: F401 - a fixture
from tests.subscribers.conftest import api_key, make_key
from tests.tracking.outbound.conftest import Receiver, make_endpoint
from tracking import receipts, replies
from tracking.models import Reply, TrackingEvent, WaitingReceipt
from tracking.outbound import courier, endpoints
from tracking.webhooks.base import Inbound, Receipt

REAL_STEPS = [
    "tracking.erasure.erase",
    "sending.erasure.erase",
    "tracking.erasure.erase",
    "tracking.purchase_erasure.erase",
]


@pytest.fixture
def person(brand: Brand, sender: Sender) -> Subscriber:
    """Somebody with a past: texts sent and planned, receipts, replies, traits."""
    (person,) = world.make_people(
        brand, 1, name="Ada Lovelace", email="ada@example.com", traits={"pet": "cat"}
    )
    world.plan(world.make_campaign(brand))
    token, (departing,) = world.pass_gate(brand, sender)
    answered = Answered(token, Outcome(departing.text.id, Fate.ACCEPTED, provider_id="P1"))
    outcomes.record([answered], arrived=[token])
    receipts.receive(
        sender,
        [Receipt("P1", State.DELIVERED, "", departing.text.id, {"to": person.phone})],
    )
    receipts.receive(sender, [Receipt("P9", State.DELIVERED, "", None, {"to": person.phone})])
    replies.receive(sender, Inbound("IN1", person.phone, "I am Ada, thanks"))
    TestNumber.objects.create(workspace=brand.workspace, phone=person.phone)
    world.plan(world.make_campaign(brand))
    return person


def erase(brand: Brand, phone: str) -> Erasure:
    return erasure.erase(brand.workspace, phone, actor="ada", reason="letter of 3 May")


def everything() -> str:
    """Every row of every table of ours, as text."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relkind = 'r'"
            " AND relname ~ '^(subscribers|campaigns|sending|tracking|django_admin)'"
        )
        tables = [row[0] for row in cursor.fetchall()]
        found = []
        for table in tables:
            cursor.execute(f"SELECT t::text FROM {table} AS t")
            found += [row[0] for row in cursor.fetchall()]
    return "\n".join(found)


def test_nothing_of_the_person_is_left_in_any_table(brand: Brand, person: Subscriber) -> None:
    phone = person.phone
    assert "Lovelace" in everything()

    done = erase(brand, phone)

    assert done.finished_at is not None
    left = everything()
    for word in (phone, phone[1:], "Lovelace", "ada@example.com", "cat", "I am Ada"):
        assert word not in left
    assert (done.actor, done.reason, done.phone) == ("ada", "letter of 3 May", "")


def test_the_number_stays_suppressed_and_the_evidence_keeps_its_hash(
    brand: Brand, person: Subscriber
) -> None:
    erase(brand, person.phone)

    assert consent.is_suppressed(brand.workspace, person.phone, brand)
    kinds = [(event.kind, event.subscriber_id) for event in ConsentEvent.objects.all()]
    assert ("opt_in", None) in kinds
    assert ("opt_out", None) in kinds
    assert {str(event.evidence) for event in ConsentEvent.objects.all()} == {"{'erased': True}"}
    assert Suppression.objects.get().phone == ""


def test_planned_texts_are_cancelled_and_the_books_balance(
    brand: Brand, person: Subscriber
) -> None:
    erase(brand, person.phone)

    assert world.states() == {State.DELIVERED: 1, State.CANCELLED: 1}
    assert not QueuedText.objects.exists()
    assert books.audit(books.Scope()).differences == []
    person.refresh_from_db()
    assert person.phone.startswith("+999")
    assert (person.name, person.email, person.traits, person.zones) == ("", "", {}, [])


def importers(brand: Brand, phone: str) -> dict[str, Any]:
    def sync() -> None:
        record = {"MobileNumber": phone[1:], "OptInDate": "11/27/2026 07:00:00 AM"}
        load.load([record], brand, list_id="7", list_clock="America/New_York")

    def api() -> None:
        upsert.upsert(brand.workspace, {"phone": phone}, subscribe={brand: True}, evidence={})

    def suppressions() -> None:
        list(
            suppression_lists.load(
                [phone], brand.workspace, brand=brand, reason="", actor="a", name="l"
            )
        )

    return {"sync": sync, "api": api, "suppressions": suppressions}


@pytest.mark.parametrize("importer", ["sync", "api", "suppressions"])
def test_a_later_import_stays_suppressed(
    brand: Brand, sender: Sender, person: Subscriber, importer: str
) -> None:
    phone = person.phone
    erase(brand, phone)

    importers(brand, phone)[importer]()
    world.plan(world.make_campaign(brand))

    assert consent.is_suppressed(brand.workspace, phone, brand)
    assert not SentLog.objects.filter(phone=phone, state=State.PLANNED).exists()
    assert world.pass_gate(brand, sender)[1] == []


def test_start_by_text_is_a_new_person(brand: Brand, sender: Sender, person: Subscriber) -> None:
    phone = person.phone
    erase(brand, phone)

    replies.receive(sender, Inbound("IN2", phone, "START"))

    assert not consent.is_suppressed(brand.workspace, phone, brand)
    assert Subscription.objects.get().subscriber_id != person.pk


def test_an_erasure_that_broke_off_goes_on_where_it_is_called_again(
    brand: Brand, person: Subscriber, settings: Any
) -> None:
    phone = person.phone
    for steps in range(1, len(REAL_STEPS) + 1):
        settings.ERASURE_STEPS = [*REAL_STEPS[:steps], "tests.tracking.test_erasure.dies"]
        with pytest.raises(world.Killed):
            erase(brand, phone)
        assert consent.is_suppressed(brand.workspace, phone, brand)
    settings.ERASURE_STEPS = REAL_STEPS

    Erasure.objects.update(asked_at=clock.now() - dt.timedelta(hours=1))
    assert erasure.finish_open() == 1

    assert phone not in everything()
    assert Erasure.objects.get().finished_at is not None
    assert erasure.finish_open() == 0


def dies(person: erasure.Person) -> bool:
    raise world.Killed


def test_a_text_on_its_way_keeps_its_number_until_its_fate_is_known(
    brand: Brand, sender: Sender
) -> None:
    (person,) = world.make_people(brand, 1)
    world.plan(world.make_campaign(brand))
    token, (departing,) = world.pass_gate(brand, sender)

    waiting = erase(brand, person.phone)
    assert waiting.finished_at is None
    assert SentLog.objects.get(pk=departing.text.id).phone == person.phone
    outcomes.record(
        [Answered(token, Outcome(departing.text.id, Fate.RETRY, retry_after=0))], arrived=[token]
    )
    done = erase(brand, person.phone)

    assert done.pk == waiting.pk
    assert done.finished_at is not None
    assert world.states() == {State.CANCELLED: 1}
    assert person.phone not in everything()


def test_a_receipt_that_comes_after_an_erasure_keeps_no_words(brand: Brand, sender: Sender) -> None:
    (person,) = world.make_people(brand, 1)
    world.plan(world.make_campaign(brand))
    token, (departing,) = world.pass_gate(brand, sender)
    outcomes.record([Answered(token, Outcome(departing.text.id, Fate.ACCEPTED))], arrived=[token])
    erase(brand, person.phone)

    raw = {"to": person.phone}
    receipts.receive(sender, [Receipt("P1", State.DELIVERED, "", departing.text.id, raw)])

    assert TrackingEvent.objects.get().raw == {}
    assert SentLog.objects.get().state == State.DELIVERED


def test_a_number_without_a_subscriber_is_erased_too(brand: Brand, sender: Sender) -> None:
    stranger = world.number()
    replies.receive(sender, Inbound("IN1", stranger, "STOP"))

    erase(brand, stranger)

    assert stranger not in everything()
    assert consent.is_suppressed(brand.workspace, stranger, brand)
    assert Reply.objects.get().body == ""


def test_the_same_number_of_another_workspace_is_not_touched(
    brand: Brand, person: Subscriber
) -> None:
    theirs = world.make_brand("ta")
    other_sender = world.make_sender(theirs)
    (kept,) = world.make_people(theirs, [person.phone], name="Grace")
    replies.receive(other_sender, Inbound("IN7", person.phone, "hello"))

    erase(brand, person.phone)

    kept.refresh_from_db()
    assert (kept.phone, kept.name) == (person.phone, "Grace")
    assert Reply.objects.get(brand=theirs).body == "hello"
    assert not consent.is_suppressed(theirs.workspace, person.phone, theirs)


def test_nobody_is_sent_to_after_their_erasure_was_asked_for(brand: Brand, sender: Sender) -> None:
    """F12 for an erasure: the gate and it take the same lock."""
    people = world.make_people(brand, 20)
    world.plan(world.make_campaign(brand))
    begun: dict[int, dt.datetime] = {}

    def gates() -> None:
        for _ in range(20):
            world.pass_gate(brand, sender, at_most=1)

    def erasures() -> None:
        for one in people:
            erasure._begin(brand.workspace, one.phone, "ada", "r")
            begun[one.pk] = clock.now()

    world.at_once(gates, erasures)
    world.all_due()  # whoever was passed over while their erasure was under way
    assert world.pass_gate(brand, sender)[1] == []

    sent = SentLog.objects.filter(state=State.SENDING).values_list("subscriber_id", "sent_at")
    assert all(moment <= begun[pk] for pk, moment in sent)
    assert set(world.states()) <= {State.SENDING, State.SKIPPED}


def test_the_commands_export_and_erase(
    brand: Brand, person: Subscriber, capsys: pytest.CaptureFixture[str]
) -> None:
    phone, slug = person.phone, brand.workspace.slug
    call_command("export_person", phone, workspace=slug)
    told = json.loads(capsys.readouterr().out)
    assert told["subscriber"]["name"] == "Ada Lovelace"
    assert {text["state"] for text in told["texts"]} == {"delivered", "planned"}
    assert [reply["body"] for reply in told["replies"]] == ["I am Ada, thanks"]
    assert told["tracking_events"]
    assert [event["kind"] for event in told["consent_events"]] == ["opt_in"]

    call_command("erase_person", phone, workspace=slug, reason="letter of 3 May")

    assert phone not in capsys.readouterr().out
    assert person_export.collect(brand.workspace, phone)["subscriber"] is None
    for arguments in (["123"], [phone]):
        with pytest.raises(CommandError):
            call_command("erase_person", *arguments, workspace="nope", reason="r")
    with pytest.raises(CommandError, match="Nothing is kept"):
        call_command("export_person", "+12125550000", workspace=slug)


def test_waiting_receipts_lose_their_words_but_still_match(
    brand: Brand, person: Subscriber
) -> None:
    erase(brand, person.phone)

    waiting = WaitingReceipt.objects.get()
    assert (waiting.provider_id, waiting.raw) == ("P9", {})


def test_after_an_erasure_the_books_agree_with_the_carriers_own_log(
    brand: Brand, sender: Sender, provider: Carrier
) -> None:
    (person,) = world.make_people(brand, 1)
    world.plan(world.make_campaign(brand))
    dispatch.drain(brand.pk, seconds=5)
    world.plan(world.make_campaign(brand))

    assert erase(brand, person.phone).finished_at is not None
    dispatch.drain(brand.pk, seconds=5)

    assert len(provider.accepted()) == 1  # the fixture compares its log with ours


def test_webhooks_forget_the_person_and_what_endpoints_answered_about_them(
    brand: Brand,
    person: Subscriber,
    serve: Any,  # noqa: F811
    settings: Any,
) -> None:
    settings.WEBHOOKS_ALLOW_LOCAL = True
    receiver = Receiver(words=f"noted {person.phone}")
    endpoint = make_endpoint(brand.workspace, serve(receiver).url)
    reply = Inbound("IN7", person.phone, "my cat is Ada")
    replies.receive(Sender.objects.get(), reply)
    world.opt_out(brand, person)
    courier.deliver_due()
    assert receiver.told()[0]["data"]["body"] == "my cat is Ada"
    assert person.phone in everything()

    phone = person.phone
    erase(brand, phone)
    values = {"since": brand.created_at, "until": clock.now(), "states": ["delivered"]}
    told_before = len(receiver.requests)
    assert endpoints.replay(endpoint, **values) >= 2
    courier.deliver_due()

    assert not re.search(rf"Lovelace|my cat|{re.escape(phone)}", everything())
    again = receiver.told()[told_before:]
    assert {one["data"].get("phone") for one in again} == {None}
    assert {one["data"].get("body") for one in again} == {None}
    assert set(receiver.ids()[:told_before]) <= set(receiver.ids()[told_before:])


def test_first_answers_about_the_person_are_emptied_and_their_keys_stay_used(
    brand: Brand, person: Subscriber
) -> None:
    stranger = world.make_brand("stranger")
    keys = [make_key(brand.workspace), make_key(stranger.workspace)]
    phone, other = person.phone, world.number()
    asked = [(keys[0], phone), (keys[0], other), (keys[1], phone)]
    first = [upserted(key, number) for key, number in asked]
    erase(brand, phone)

    again = [upserted(key, number) for key, number in asked]

    assert [one.status_code for one in first] == [200, 200, 200]
    assert [one.status_code for one in again] == [410, 200, 200]
    assert again[0].json()["code"] == "answer_erased"
    assert [one.content for one in again[1:]] == [one.content for one in first[1:]]
    assert not Subscriber.objects.filter(workspace=brand.workspace, phone=phone).exists()
    assert phone.encode() not in b"".join(
        bytes(one.body) for one in FirstAnswer.objects.filter(key__workspace=brand.workspace)
    )


def upserted(key: str, phone: str) -> HttpResponse:
    return Client().post(
        "/api/subscribers",
        json.dumps({"phone": phone, "firstName": "Ada"}),
        content_type="application/json",
        headers=api_key(key) | {"Idempotency-Key": f"of {phone}".replace(" ", "-")},
    )
