"""Twilio's status callbacks and inbound texts. Source: Twilio's OpenAPI and webhook docs."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping

from sending.models import State
from tracking.webhooks.base import (
    ForgedError,
    Inbound,
    Receipt,
    Request,
    code,
    reference,
    required,
    said,
)

# MessageStatus; the first ones have no callback but do no harm.
STATES = {
    "accepted": State.ACCEPTED,
    "queued": State.ACCEPTED,
    "sending": State.ACCEPTED,
    "sent": State.SENT,
    "delivered": State.DELIVERED,
    "read": State.DELIVERED,
    "undelivered": State.UNDELIVERED,
    "failed": State.UNDELIVERED,
}
KEPT = ("MessageSid", "MessageStatus", "ErrorCode", "RawDlrDoneDate")


class Twilio:
    """Form fields, signed with the account's auth token."""

    proof_header = "X-Twilio-Signature"

    def verify(self, request: Request, credentials: Mapping[str, str]) -> None:
        signed = request.url + "".join(f"{k}{request.form[k]}" for k in sorted(request.form))
        token = credentials.get("auth_token", "").encode()
        expected = base64.b64encode(hmac.digest(token, signed.encode(), hashlib.sha1))
        given = request.headers.get(self.proof_header, "").encode()
        if not hmac.compare_digest(expected, given):
            raise ForgedError

    def receipts(self, request: Request) -> list[Receipt]:
        form = request.form
        return [
            Receipt(
                required(form, "MessageSid"),
                STATES.get(required(form, "MessageStatus")),
                code(form.get("ErrorCode", "")),
                reference(request.query.get("text", "")),
                {name: said(form[name])[:100] for name in KEPT if name in form},
            )
        ]

    def inbound(self, request: Request) -> Inbound:
        form = request.form
        body = said(form.get("Body", ""))
        return Inbound(required(form, "MessageSid"), required(form, "From"), body)
