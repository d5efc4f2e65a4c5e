"""Webhook endpoints and deliveries by API: what a key may do, what it sees, and what is refused."""

import json
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client

from subscribers import clock
from subscribers.models import Brand, FirstAnswer
from tests import sending_world as world
from tests.subscribers.conftest import api_key, make_brand, make_key, make_workspace
from tests.tracking.outbound.conftest import Receiver, happen, make_endpoint
from tracking.outbound import courier, endpoints
from tracking.outbound.models import WebhookDelivery, WebhookEndpoint

URL = "https://hooks.example.com/carillon"
NEW = {"url": URL, "eventTypes": ["text.delivered", "reply.received"]}


@pytest.fixture
def key(brand: Brand) -> str:
    return make_key(brand.workspace)


def send(
    client: Client, key: str, method: str, path: str, data: Any = None, **headers: str
) -> HttpResponse:
    return getattr(client, method)(
        f"/api/webhook-{path}",
        *([] if data is None else [json.dumps(data)]),
        content_type="application/json",
        headers=api_key(key) | headers,
    )


def test_an_endpoint_is_added_read_changed_and_deleted(
    client: Client, key: str, brand: Brand
) -> None:
    made = send(client, key, "post", "endpoints", NEW | {"brand": brand.slug})
    assert made.status_code == 201, made.content
    endpoint = made.json()
    assert (endpoint["url"], endpoint["brand"], endpoint["state"]) == (URL, brand.slug, "on")
    path = f"endpoints/{endpoint['id']}"

    assert send(client, key, "get", path).json() == endpoint
    assert send(client, key, "get", "endpoints?fields=id,url").json()["results"] == [
        {"id": endpoint["id"], "url": URL}
    ]
    changed = send(client, key, "patch", path, {"enabled": False, "brand": None})
    assert (changed.json()["state"], changed.json()["brand"]) == ("off", None)
    assert send(client, key, "delete", path).status_code == 204
    assert not WebhookEndpoint.objects.exists()


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"url": "http://hooks.example.com/"}, "url"),
        ({"url": "https://10.0.0.1/"}, "url"),
        ({"url": "https://2130706433/"}, "url"),
        ({"eventTypes": []}, "eventTypes"),
        ({"eventTypes": ["text.read"]}, "eventTypes"),
        ({"brand": "nobody"}, "brand"),
        ({"enabled": "perhaps"}, "enabled"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_made(
    client: Client, key: str, settings: Any, wrong: dict[str, Any], field: str
) -> None:
    settings.WEBHOOKS_ALLOW_LOCAL = False
    answer = send(client, key, "post", "endpoints", NEW | wrong)

    assert answer.status_code == 400
    assert answer.json()["field"].startswith(field), answer.content
    assert not WebhookEndpoint.objects.exists()


def test_a_secret_is_told_to_who_manages_webhooks_and_never_kept_in_an_answer(
    client: Client, key: str, brand: Brand
) -> None:
    made = send(client, key, "post", "endpoints", NEW, **{"Idempotency-Key": "one"})
    path = f"endpoints/{made.json()['id']}"
    first = send(client, key, "get", f"{path}/secret").json()["secret"]
    rotated = send(client, key, "post", f"{path}/rotate-secret", **{"Idempotency-Key": "two"})
    second = send(client, key, "get", f"{path}/secret").json()["secret"]

    assert first.startswith("whsec_")
    assert first != second
    for answer in (made, rotated, send(client, key, "get", path)):
        assert b"whsec_" not in answer.content
    assert FirstAnswer.objects.count() == 2
    assert not any(b"whsec_" in bytes(one.body) for one in FirstAnswer.objects.all())
    reader = make_key(brand.workspace, scopes=["read"])
    assert send(client, reader, "get", path).status_code == 200
    assert send(client, reader, "get", f"{path}/secret").status_code == 403


def test_a_key_without_the_scope_changes_nothing(client: Client, brand: Brand) -> None:
    endpoint = make_endpoint(brand.workspace, URL)
    key = make_key(brand.workspace, scopes=["read", "events"])

    for method, path, data in _writes(endpoint, None):
        assert send(client, key, method, path, data).status_code == 403, path
    assert WebhookEndpoint.objects.count() == 1


def _writes(endpoint: WebhookEndpoint, delivery: WebhookDelivery | None) -> list[Any]:
    path = f"endpoints/{endpoint.pk}"
    since = "2020-01-01T00:00:00Z"
    writes = [
        ("post", f"{path}/test", {}),
        ("post", f"{path}/replay", {"since": since, "state": "ended"}),
        ("post", f"{path}/rotate-secret", None),
        ("patch", path, {"enabled": False}),
        ("delete", path, None),
    ]
    if delivery is not None:
        writes.insert(0, ("post", f"deliveries/{delivery.pk}/replay", None))
    return writes


def test_another_workspaces_and_brands_endpoints_and_deliveries_are_not_there(
    client: Client, brand: Brand, receiver: Receiver
) -> None:
    sister = world.make_brand("ta", workspace=brand.workspace)
    stranger = make_workspace("zenith")
    make_brand(stranger, "theirs")
    of_brand = make_endpoint(brand.workspace, receiver.url, brand=brand)
    of_all = make_endpoint(brand.workspace, receiver.url)
    happen(of_brand)
    courier.deliver_due()
    before = list(WebhookEndpoint.objects.order_by("pk").values()), WebhookDelivery.objects.count()

    for key in (make_key(stranger), make_key(brand.workspace, sister)):
        assert send(client, key, "get", "endpoints").json()["results"] == []
        assert send(client, key, "get", "deliveries").json()["results"] == []
        for endpoint in (of_brand, of_all):
            delivery = endpoint.deliveries.get()
            reads = [
                f"endpoints/{endpoint.pk}",
                f"endpoints/{endpoint.pk}/secret",
                f"deliveries/{delivery.pk}",
            ]
            for path in reads:
                assert send(client, key, "get", path).status_code == 404, path
            for method, path, data in _writes(endpoint, delivery):
                assert send(client, key, method, path, data).status_code == 404, path
    after = list(WebhookEndpoint.objects.order_by("pk").values()), WebhookDelivery.objects.count()
    assert before == after


def test_a_key_of_some_brands_names_one_of_them(client: Client, brand: Brand) -> None:
    key = make_key(brand.workspace, brand)
    world.make_brand("ta", workspace=brand.workspace)

    for data in (NEW, NEW | {"brand": None}, NEW | {"brand": "ta"}):
        assert send(client, key, "post", "endpoints", data).status_code == 400
    made = send(client, key, "post", "endpoints", NEW | {"brand": brand.slug})
    assert made.status_code == 201
    path = f"endpoints/{made.json()['id']}"
    assert send(client, key, "patch", path, {"brand": None}).status_code == 400
    assert send(client, key, "patch", path, {"description": "CRM"}).status_code == 200


def test_a_test_is_queued_delivered_seen_in_the_log_and_replayed(
    client: Client, key: str, brand: Brand, receiver: Receiver
) -> None:
    endpoint = make_endpoint(brand.workspace, receiver.url)
    queued = send(client, key, "post", f"endpoints/{endpoint.pk}/test", {"type": "reply.received"})
    assert (queued.status_code, queued.json()["state"]) == (202, "waiting")
    assert receiver.requests == []  # nothing is called inside a request
    path = f"deliveries/{queued.json()['id']}"
    assert send(client, key, "post", f"{path}/replay").status_code == 409

    courier.deliver_due()
    seen = send(client, key, "get", path).json()
    assert (seen["state"], seen["attempts"], seen["dueAt"]) == ("delivered", 1, None)
    assert seen["webhookId"] == receiver.ids()[0]
    assert seen["attemptLog"][0]["status"] == 200
    assert seen["attemptLog"][0]["answer"] == "thanks"

    assert send(client, key, "post", f"{path}/replay").status_code == 202
    courier.deliver_due()
    assert receiver.ids() == [seen["webhookId"]] * 2
    since = {"since": "2020-01-01T00:00:00Z", "state": "ended"}
    again = send(client, key, "post", f"endpoints/{endpoint.pk}/replay", since)
    assert again.json() == {"replayed": 1}


def test_deliveries_are_found_by_endpoint_state_and_type(
    client: Client, key: str, brand: Brand, receiver: Receiver
) -> None:
    endpoint = make_endpoint(brand.workspace, receiver.url)
    happen(endpoint, 2)
    courier.deliver_due()
    endpoints.send_example(endpoint, "click.created", now=clock.now())

    def found(query: str) -> int:
        return len(send(client, key, "get", f"deliveries?{query}").json()["results"])

    assert found(f"endpoint={endpoint.pk}") == 3
    assert found("state=delivered") == 2
    assert found("type=click.created") == 1
    assert found("until=2020-01-01T00:00:00Z") == 0
    assert send(client, key, "get", "deliveries?colour=red").status_code == 400


def test_a_change_of_an_endpoint_ends_its_pause(client: Client, key: str, brand: Brand) -> None:
    endpoint = make_endpoint(brand.workspace, URL)
    WebhookEndpoint.objects.update(failures=20, paused_until="2090-01-01T00:00Z")
    path = f"endpoints/{endpoint.pk}"
    assert send(client, key, "get", path).json()["state"] == "paused"

    assert send(client, key, "patch", path, {"enabled": True}).json()["state"] == "on"


def test_a_workspace_has_a_limited_number_of_endpoints(
    client: Client, key: str, brand: Brand
) -> None:
    for _ in range(endpoints.MOST_ENDPOINTS):
        make_endpoint(brand.workspace, URL)

    assert send(client, key, "post", "endpoints", NEW).status_code == 409


def test_an_endpoint_that_is_off_is_not_tested(client: Client, key: str, brand: Brand) -> None:
    endpoint = make_endpoint(brand.workspace, URL, enabled=False)

    assert send(client, key, "post", f"endpoints/{endpoint.pk}/test", {}).status_code == 409
