"""Deliveries from event to answer, over real HTTP: repeated, paused, never mixed up, never held up."""

import socket
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from standardwebhooks import Webhook

from subscribers import clock
from subscribers.models import Brand
from tests import sending_world as world
from tests.sending.gateways.conftest import Request, SocketServer
from tests.tracking.outbound.conftest import Receiver, all_due, happen, make_endpoint
from tracking.outbound import courier, deliveries, endpoints, payloads, retention, schedule
from tracking.outbound.models import (
    EventType,
    OutboundEvent,
    WebhookAttempt,
    WebhookDelivery,
    WebhookEndpoint,
)
from tracking.outbound.post import Result

FAILED = Result(500, 5, "It answered 500.")
WELL = Result(200, 5)


@pytest.fixture
def endpoint(brand: Brand, receiver: Receiver) -> WebhookEndpoint:
    return make_endpoint(brand.workspace, receiver.url)


def claim(at_most: int = 10, **flying: int) -> list[deliveries.Taken]:
    return deliveries.claim(flying, per_endpoint=4, at_most=at_most)


def test_an_event_arrives_signed_with_the_persons_number(
    brand: Brand, endpoint: WebhookEndpoint, receiver: Receiver
) -> None:
    (person,) = world.make_people(brand, 1)
    text = world.make_text(brand, "failed", subscriber=person, phone=person.phone)

    courier.deliver_due()

    opted_in, told = receiver.verified(endpoints.secret_of(endpoint))
    assert (opted_in["type"], opted_in["data"]["phone"]) == ("subscriber.opted_in", person.phone)
    assert told["type"] == "text.failed"
    assert told["data"]["phone"] == person.phone
    assert told["data"]["text"] == str(text.id)
    assert told["data"]["brand"] == brand.slug
    delivery = WebhookDelivery.objects.order_by("pk").last()
    assert (delivery.state, delivery.attempts) == ("delivered", 1)
    attempt = delivery.attempt_log.get()
    assert (attempt.status, attempt.error, attempt.answer) == (200, "", "thanks")


def test_a_failing_endpoint_is_tried_along_the_schedule_with_one_id_and_then_given_up(
    brand: Brand, endpoint: WebhookEndpoint, receiver: Receiver
) -> None:
    receiver.statuses = [500] * 20
    happen(endpoint)
    before = clock.now()
    for wait in schedule.WAITS:
        courier.deliver_due()
        delivery = WebhookDelivery.objects.get()
        now = clock.now()
        assert delivery.state == "waiting"
        assert wait * (1 - schedule.JITTER) <= (delivery.due_at - before).total_seconds()
        assert (delivery.due_at - now).total_seconds() <= wait
        all_due()
        before = clock.now()
    courier.deliver_due()

    delivery = WebhookDelivery.objects.get()
    assert (delivery.state, delivery.attempts) == ("given_up", 11)
    assert len(set(receiver.ids())) == 1
    assert delivery.attempt_log.count() == 11
    assert delivery.finished_at is not None


def test_what_an_endpoint_asks_to_wait_is_waited(
    brand: Brand, endpoint: WebhookEndpoint, receiver: Receiver
) -> None:
    receiver.statuses, receiver.extra = [429], "Retry-After: 3600\r\n"
    happen(endpoint)
    courier.deliver_due()

    assert (WebhookDelivery.objects.get().due_at - clock.now()).total_seconds() > 3500


def test_a_delivery_is_repeated_with_its_id_when_its_process_died_before_it_wrote(
    brand: Brand, endpoint: WebhookEndpoint, receiver: Receiver
) -> None:
    happen(endpoint)
    deliveries.spread()
    (taken,) = claim()
    told = payloads.build([taken.event_id])[taken.event_id]
    assert claim() == []  # nobody else gets it while the lease lasts
    all_due()  # the lease ends: the process is dead

    courier.deliver_due()

    assert receiver.ids() == [told.webhook_id]
    deliveries.record([(taken, FAILED)])  # it was not dead: it only tells what it saw
    assert WebhookDelivery.objects.get().state == "delivered"
    assert WebhookAttempt.objects.count() == 2


def test_two_processes_never_hold_the_same_delivery(
    brand: Brand, endpoint: WebhookEndpoint
) -> None:
    happen(endpoint, 12)
    deliveries.spread()

    taken = [one for lot in world.at_once(claim, claim, claim) for one in lot]

    assert Counter(one.id for one in taken).most_common(1)[0][1] == 1


def test_the_circuit_opens_says_so_probes_with_one_and_closes(
    brand: Brand, endpoint: WebhookEndpoint, receiver: Receiver
) -> None:
    receiver.statuses = [500] * 20
    happen(endpoint, 14)
    for _ in range(4):
        courier.deliver_due()
        WebhookDelivery.objects.filter(state="waiting").update(due_at="2020-01-01T00:00Z")
    endpoint.refresh_from_db()
    assert endpoints.state_of(endpoint, clock.now()) == "paused"
    assert "10 failures in a row" in endpoint.status_reason
    tried = len(receiver.requests)
    assert tried in range(10, 14)  # at most three more were under way when it opened

    courier.deliver_due()
    assert len(receiver.requests) == tried  # nothing is sent to it

    all_due()
    endpoint.refresh_from_db()
    assert endpoints.state_of(endpoint, clock.now()) == "trying"
    (probe,) = claim()
    assert probe.probe
    assert claim() == []  # no second one, of any process
    deliveries.record([(probe, FAILED)])
    endpoint.refresh_from_db()
    assert endpoints.state_of(endpoint, clock.now()) == "paused"

    all_due()
    (probe,) = claim()
    deliveries.record([(probe, WELL)])
    endpoint.refresh_from_db()
    assert endpoints.state_of(endpoint, clock.now()) == "on"
    assert (endpoint.failures, endpoint.status_reason) == (0, "")
    receiver.statuses = []
    all_due()
    courier.deliver_due()
    assert not WebhookDelivery.objects.exclude(state="delivered").exists()


def test_a_probe_whose_process_died_is_followed_by_another(
    brand: Brand, endpoint: WebhookEndpoint
) -> None:
    happen(endpoint)
    deliveries.spread()
    WebhookEndpoint.objects.update(failures=10, paused_until="2020-01-01T00:00Z")
    assert [one.probe for one in claim()] == [True]
    all_due()

    assert [one.probe for one in claim()] == [True]


def test_gone_switches_an_endpoint_off(
    brand: Brand, endpoint: WebhookEndpoint, receiver: Receiver
) -> None:
    receiver.statuses = [410]
    happen(endpoint, 1)
    courier.deliver_due()
    happen(endpoint, 1)
    all_due()
    courier.deliver_due()

    endpoint.refresh_from_db()
    assert (endpoint.enabled, len(receiver.requests)) == (False, 1)
    assert "410" in endpoint.status_reason


def test_a_slow_endpoint_does_not_hold_up_another(
    brand: Brand, receiver: Receiver, serve: Callable[..., SocketServer]
) -> None:
    release, busy, most = threading.Event(), [], []

    def slow(connection: socket.socket, request: Request) -> bool:
        busy.append(request)
        most.append(len(busy))
        release.wait(20)
        busy.remove(request)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        return False

    stuck = make_endpoint(brand.workspace, f"{serve(slow).url}/")
    quick = make_endpoint(brand.workspace, receiver.url)
    happen(quick, 20)

    with courier.hired(size=8) as hired:
        while len(receiver.requests) < 20:  # all of them arrive while the slow one is stuck
            hired.turn()
        release.set()
    delivered = WebhookDelivery.objects.filter(state="delivered")
    assert delivered.filter(endpoint=quick).count() == 20
    assert 0 < delivered.filter(endpoint=stuck).count() <= 8
    assert max(most) <= deliveries.PER_ENDPOINT


def test_a_rotated_secret_and_the_one_before_it_both_verify(
    brand: Brand, endpoint: WebhookEndpoint, receiver: Receiver
) -> None:
    before = endpoints.secret_of(endpoint)
    endpoints.rotate(endpoint.pk, now=clock.now())
    endpoint.refresh_from_db()
    happen(endpoint)
    courier.deliver_due()

    assert endpoints.secret_of(endpoint) != before
    for secret in (before, endpoints.secret_of(endpoint)):
        receiver.verified(secret)
    assert b"whsec" not in bytes(_raw_secrets(endpoint))


def _raw_secrets(endpoint: WebhookEndpoint) -> Any:
    with connection.cursor() as cursor:
        cursor.execute("SELECT secrets FROM tracking_webhookendpoint WHERE id = %s", [endpoint.pk])
        return cursor.fetchone()[0]


def test_a_secret_that_no_key_opens_fails_its_endpoint_alone(
    brand: Brand, endpoint: WebhookEndpoint, receiver: Receiver
) -> None:
    broken = make_endpoint(brand.workspace, receiver.url)
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE tracking_webhookendpoint SET secrets = 'x' WHERE id = %s", [broken.pk]
        )
    happen(endpoint)
    courier.deliver_due()

    assert len(receiver.verified(endpoints.secret_of(endpoint))) == 1
    assert "CREDENTIAL_KEYS" in WebhookAttempt.objects.get(delivery__endpoint=broken).error


@pytest.mark.parametrize("kind", list(EventType))
def test_the_example_of_a_type_has_what_real_events_have(
    brand: Brand, endpoint: WebhookEndpoint, receiver: Receiver, kind: str
) -> None:
    endpoints.send_example(endpoint, kind, now=clock.now())
    courier.deliver_due()

    (told,) = receiver.verified(endpoints.secret_of(endpoint))
    assert (told["type"], told["data"]["example"]) == (kind, True)


def test_a_replay_sends_the_same_id_again(
    brand: Brand, endpoint: WebhookEndpoint, receiver: Receiver
) -> None:
    happen(endpoint, 2)
    courier.deliver_due()
    since = WebhookDelivery.objects.order_by("pk").first().created_at

    values = {"since": since, "until": clock.now()}
    assert endpoints.replay(endpoint, **values, states=["given_up"]) == 0
    assert endpoints.replay(endpoint, **values, states=["delivered"]) == 2
    courier.deliver_due()

    assert sorted(Counter(receiver.ids()).values()) == [2, 2]
    assert WebhookAttempt.objects.count() == 4


def test_what_waits_behind_a_pause_for_three_days_is_given_up_and_forgotten_after_thirty(
    brand: Brand, endpoint: WebhookEndpoint
) -> None:
    happen(endpoint, 2)
    deliveries.spread()
    old = WebhookDelivery.objects.order_by("pk").first()
    WebhookDelivery.objects.filter(pk=old.pk).update(give_up_at="2020-01-01T00:00Z")
    retention.forget_old()
    assert sorted(WebhookDelivery.objects.values_list("state", flat=True)) == [
        "given_up",
        "waiting",
    ]

    WebhookDelivery.objects.filter(pk=old.pk).update(finished_at="2020-01-01T00:00Z")
    OutboundEvent.objects.update(recorded_at="2020-01-01T00:00Z")
    retention.forget_old()

    assert WebhookDelivery.objects.get().state == "waiting"
    assert OutboundEvent.objects.count() == 1


def test_the_standards_package_refuses_what_was_changed_on_the_way(
    brand: Brand, endpoint: WebhookEndpoint, receiver: Receiver
) -> None:
    happen(endpoint)
    courier.deliver_due()
    (request,) = receiver.requests

    with pytest.raises(Exception, match="signature"):
        Webhook(endpoints.secret_of(endpoint)).verify(request.body + b" ", request.headers)
