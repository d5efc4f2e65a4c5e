"""Mitto's delivery receipts and inbound texts. Source: `providers.md`, how sure each fact is."""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from typing import Any

from sending.models import State
from tracking.webhooks.base import (
    ForgedError,
    Inbound,
    Receipt,
    Request,
    UnreadableError,
    code,
    international,
    required,
    said,
)

STATES = {
    "pending": State.ACCEPTED,
    "sent": State.SENT,
    "delivered": State.DELIVERED,
    "failure": State.UNDELIVERED,
}
HEADER = "X-Carillon-Secret"  # set when the webhook is registered: Mitto signs nothing
KEPT = ("messageId", "deliveryStatus", "status", "errorcode", "updatedAt")
MOST_RECEIPTS = 10_000


class Mitto:
    """JSON with a secret header of our choice: one object, an array, or the older page's names."""

    proof_header = HEADER

    def verify(self, request: Request, credentials: Mapping[str, str]) -> None:
        expected = credentials.get("webhook_secret", "")
        given = request.headers.get(HEADER, "")
        if not expected or not hmac.compare_digest(expected.encode(), given.encode()):
            raise ForgedError

    def receipts(self, request: Request) -> list[Receipt]:
        told = _json(request.body)
        items = told if isinstance(told, list) else [told]
        if not items or len(items) > MOST_RECEIPTS:
            raise UnreadableError(f"Send between 1 and {MOST_RECEIPTS} receipts.")
        return [_receipt(item) for item in items]

    def inbound(self, request: Request) -> Inbound:
        told = _json(request.body)
        if not isinstance(told, dict):
            raise UnreadableError("An inbound text is one JSON object.")
        phone = international(required(told, "from"))
        return Inbound(required(told, "messageId"), phone, said(told.get("text") or ""))


def _receipt(item: Any) -> Receipt:
    if not isinstance(item, dict):
        raise UnreadableError("A receipt is a JSON object.")
    status = item.get("deliveryStatus") or item.get("status")
    return Receipt(
        required(item, "messageId"),
        STATES.get(str(status).lower()),
        code(item.get("errorcode") or ""),
        None,
        {name: said(item[name])[:100] for name in KEPT if item.get(name) is not None},
    )


def _json(body: bytes) -> Any:
    # Each bracket may become an object of 100 bytes: looked at before they are made.
    if body.count(b"{") + body.count(b"[") > 2 * MOST_RECEIPTS:
        raise UnreadableError(f"Send at most {MOST_RECEIPTS} receipts.")
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise UnreadableError("The body is not JSON.") from None
