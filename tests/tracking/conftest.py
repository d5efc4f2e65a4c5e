"""The same installation as the tests of sending have; webhooks come through the web, signed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

import pytest
from django.conf import settings
from django.contrib.auth.models import Permission, User
from django.http import HttpResponse
from django.test import Client
from twilio.request_validator import RequestValidator

from sending.models import Sender
from subscribers.models import Brand, Membership
from tests import sending_world as world
from tests.sending.conftest import (  # noqa: F401 - fixtures are found by their names
    balanced,
    brand,
    carrier_server,
    installed,
    provider,
    sender,
    transactional_db,
)
from tracking import inbox
from tracking.webhooks.mitto import HEADER

FORM = "application/x-www-form-urlencoded"


@pytest.fixture
def post(client: Client) -> Callable[..., HttpResponse]:
    """post(sender, what, fields) calls a sender's webhook as its provider does, with its proof.

    What it told is applied when this returns, as it is a moment later.
    """

    def applied(*told: Any, **changes: Any) -> HttpResponse:
        answer = call(*told, **changes)
        inbox.apply_due()
        return answer

    def call(
        by: Sender, what: str, fields: Any, *, query: str = "", **changes: Any
    ) -> HttpResponse:
        path = f"/webhooks/{by.gateway}/{by.webhook_token}/{what}{query}"
        if by.gateway == "mitto":
            secret = changes.get("secret", world.CREDENTIALS["mitto"]["webhook_secret"])
            return client.post(
                path,
                fields if isinstance(fields, bytes) else json.dumps(fields),
                content_type="application/json",
                headers={HEADER: secret},
            )
        headers = {}
        if by.gateway == "twilio":
            headers["X-Twilio-Signature"] = changes.get("signature") or signature(path, fields)
        return client.post(path, urlencode(fields), content_type=FORM, headers=headers)

    return applied


@pytest.fixture
def ann(brand: Brand) -> Client:  # noqa: F811 - the fixture above
    """A marketer of the brand's workspace with every permission, logged in to the admin."""
    user = User.objects.create_user("ann", is_staff=True)
    user.user_permissions.set(Permission.objects.all())
    Membership.objects.create(workspace=brand.workspace, user=user)
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


def signature(path: str, fields: Mapping[str, str]) -> str:
    """As Twilio's own library computes it."""
    validator = RequestValidator(world.CREDENTIALS["twilio"]["auth_token"])
    return str(validator.compute_signature(f"{settings.PUBLIC_URL}{path}", dict(fields)))


def inbound(gateway: str, phone: str, body: str, provider_id: str = "IN1") -> dict[str, str]:
    """A text from a person in the words of a gateway."""
    if gateway == "twilio":
        return {"MessageSid": provider_id, "From": phone, "To": "+14155550199", "Body": body}
    if gateway == "mitto":
        return {"messageId": provider_id, "from": phone, "to": "Carillon", "text": body}
    return {"messageId": provider_id, "mobile": phone.removeprefix("+"), "message": body}
