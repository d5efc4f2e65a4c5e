"""Lime's receipts and inbound texts. Their shape is not confirmed: the names are settings here.

Until the provider confirms it, other names are changed here, in one place; the raw fields are kept.
The proof is the secret token in the address.
"""

from __future__ import annotations

from collections.abc import Mapping

from sending.models import State
from tracking.webhooks.base import (
    Inbound,
    Receipt,
    Request,
    code,
    international,
    reference,
    required,
    said,
)

STATES = {
    "accepted": State.ACCEPTED,
    "sent": State.SENT,
    "delivered": State.DELIVERED,
    "undelivered": State.UNDELIVERED,
    "failed": State.UNDELIVERED,
}
KEPT = ("messageId", "status", "reference", "code")


class Lime:
    """Form fields under an address that holds a secret token."""

    proof_header = ""

    def verify(self, request: Request, credentials: Mapping[str, str]) -> None:
        """The token of the path was looked up already: that is the proof."""

    def receipts(self, request: Request) -> list[Receipt]:
        form = {**request.query, **request.form}
        return [
            Receipt(
                required(form, "messageId"),
                STATES.get(required(form, "status").lower()),
                code(form.get("code", "")),
                reference(form.get("reference", "")),
                {name: said(form[name])[:100] for name in KEPT if name in form},
            )
        ]

    def inbound(self, request: Request) -> Inbound:
        form = {**request.query, **request.form}
        phone = international(required(form, "mobile"))
        return Inbound(required(form, "messageId"), phone, said(form.get("message", "")))
