"""An integrator's endpoint over real HTTP, and what the tests of webhooks out arrange."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from standardwebhooks import Webhook

from subscribers.models import Workspace
from tests import sending_world as world
from tests.sending.gateways.conftest import (  # noqa: F401 - fixtures are found by their names
    Request,
    SocketServer,
    self_signed,
    serve,
)
from tracking.outbound import endpoints
from tracking.outbound.models import EventType, OutboundEvent, WebhookDelivery, WebhookEndpoint


@pytest.fixture(autouse=True)
def local_endpoints(settings: Any) -> None:
    """Endpoints of tests are on this machine; tests of the guard itself set this off."""
    settings.WEBHOOKS_ALLOW_LOCAL = True


@dataclass
class Receiver:
    """An endpoint that answers what it is told to, then 200."""

    statuses: list[int] = field(default_factory=list)
    extra: str = ""
    words: str = "thanks"
    requests: list[Request] = field(default_factory=list)
    url: str = ""

    def __call__(self, connection: socket.socket, request: Request) -> bool:
        self.requests.append(request)
        status = self.statuses.pop(0) if self.statuses else 200
        body = self.words.encode()
        head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n{self.extra}Connection: close\r\n\r\n"
        connection.sendall(head.encode() + body)
        return False

    def told(self) -> list[dict[str, Any]]:
        return [json.loads(request.body) for request in self.requests]

    def ids(self) -> list[str]:
        return [request.headers["webhook-id"] for request in self.requests]

    def verified(self, secret: str) -> list[dict[str, Any]]:
        """Every request as the standard's own package reads it; raises where a signature is wrong."""
        return [Webhook(secret).verify(one.body, one.headers) for one in self.requests]


@pytest.fixture
def receiver(serve: Callable[..., SocketServer]) -> Receiver:  # noqa: F811
    made = Receiver()
    made.url = f"{serve(made).url}/hooks"
    return made


def make_endpoint(workspace: Workspace, url: str, **fields: Any) -> WebhookEndpoint:
    """An endpoint that asks for every type, or what `fields` say."""
    values = {"event_types": list(EventType)} | fields
    made = WebhookEndpoint(workspace=workspace, url=url, **values)
    endpoints.create(made)
    made.refresh_from_db()
    return made


def happen(endpoint: WebhookEndpoint, count: int = 1) -> None:
    """So many texts of the endpoint's brand (or of any) are delivered."""
    brand = endpoint.brand or endpoint.workspace.brands.first()
    for _ in range(count):
        text = world.make_text(brand, "sent")
        type(text).objects.filter(pk=text.pk).update(state="delivered")


def all_due() -> None:
    """Time passes until whatever waits is due, and pauses are over."""
    WebhookDelivery.objects.filter(state="waiting").update(due_at="2020-01-01T00:00Z")
    WebhookEndpoint.objects.exclude(paused_until=None).update(paused_until="2020-01-01T00:00Z")


def noted() -> list[str]:
    return list(OutboundEvent.objects.order_by("pk").values_list("type", flat=True))
