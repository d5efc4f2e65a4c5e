"""A body that no reader survives is refused like any other that is no JSON, on every route."""

import pytest
from django.test import Client

from tests.subscribers.conftest import api_key

PATHS = ["subscribers", "subscribers/bulk", "segments", "campaigns", "events", "webhook-endpoints"]


@pytest.mark.parametrize("path", PATHS)
def test_a_body_nested_beyond_reason_is_refused(client: Client, key: str, path: str) -> None:
    body = b"[" * 100_000 + b"]" * 100_000

    answer = client.post(
        f"/api/{path}", body, content_type="application/json", headers=api_key(key)
    )

    assert (answer.status_code, answer.json()["code"]) == (400, "parse_error")
