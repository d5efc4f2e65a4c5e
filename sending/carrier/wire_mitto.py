"""The fake carrier as Mitto: bulk send, look-up by id, receipts in arrays, JSON inbound."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from aiohttp import web

from sending.carrier import ledger
from sending.carrier.behaviour import BulkShape, Item
from sending.carrier.callbacks import Builder, Post, Webhook
from sending.carrier.state import Carrier, Placed, Submitted, submit

JSON = {"Content-Type": "application/json"}
LONGEST_BULK = 500
STATUSES = {"sent": "Sent", "delivered": "Delivered", "undelivered": "Failure"}
REFUSALS = {Item.BAD_NUMBER: "Invalid destination", Item.OPTED_OUT: "Destination opted out"}


class MittoWire:
    """Mitto's shapes. How it reports an error of one text is not known; here an entry has `error`."""

    gateway = "mitto"

    def routes(self, carrier: Carrier) -> list[web.RouteDef]:
        """Mitto's paths."""

        async def send(request: web.Request) -> web.StreamResponse:
            return await self._send(carrier, request)

        async def fetch(request: web.Request) -> web.StreamResponse:
            return self._fetch(carrier, request)

        return [
            web.post("/api/v1.1/Messages/sendmessagesbulk", send),
            web.get("/api/v1.1/Messages/{id}", fetch),
        ]

    def new_id(self) -> str:
        """A message id; Mitto's begin like this and sort by time."""
        return f"01KC{uuid4().hex[:22].upper()}"

    def answer(self, carrier: Carrier, placed: Sequence[Placed], bulk_id: str) -> web.Response:
        """An entry per text, in order unless the knob `bulk_shape` says otherwise."""
        entries = [_entry(each) for each in placed]
        shaped = _shaped(entries, carrier.knobs[self.gateway].bulk_shape)
        return web.json_response({"bulkId": bulk_id, "messages": shaped})

    def error(self, status: int) -> web.Response:
        """A plain error document."""
        words = {401: "Unauthorized", 429: "Too many requests"}.get(status, "Error")
        return web.json_response({"status": status, "message": words}, status=status)

    def send_receipts(self, carrier: Carrier, placed: Placed, states: Sequence[str]) -> None:
        """Receipts share arrays with those of other texts of the same sender."""
        address = placed.text.sender
        webhook = carrier.webhook(self.gateway, address)
        if not webhook.receipts_url:
            return
        at = ledger.now()
        receipts = [
            {"messageId": placed.provider_id, "deliveryStatus": STATUSES[state], "updatedAt": at}
            for state in states
        ]
        delay = carrier.knobs[self.gateway].receipt_delay
        carrier.callbacks.batched(delay, f"mitto/{address}", _builder(webhook), receipts)

    def send_replies(self, carrier: Carrier, text: Submitted, bodies: Sequence[str]) -> None:
        """One JSON object per inbound text."""
        webhook = carrier.webhook(self.gateway, text.sender)
        if not webhook.inbound_url:
            return
        posts = [
            _json_post(
                webhook.inbound_url,
                webhook,
                {
                    "from": text.to,
                    "to": text.sender,
                    "text": body,
                    "messageId": self.new_id(),
                    "receivedAt": ledger.now(),
                },
            )
            for body in bodies
        ]
        carrier.callbacks.later(carrier.knobs[self.gateway].reply_delay, posts)

    async def _send(self, carrier: Carrier, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        if not _let_in(request):
            return self.error(401)
        texts = _texts(body)
        if texts is None:
            return self.error(400)
        return await submit(carrier, self, request, texts, str(uuid4()))

    def _fetch(self, carrier: Carrier, request: web.Request) -> web.StreamResponse:
        if not _let_in(request):
            return self.error(401)
        message_id = request.match_info["id"]
        if message_id not in carrier.places:
            return self.error(404)
        entry = json.loads(carrier.ledger.lines(after=carrier.places[message_id], limit=1)[0])
        return web.json_response(
            {
                "messageId": message_id,
                "deliveryStatus": STATUSES[carrier.states[message_id]],
                "description": "",
                "messageParts": entry["segments"],
                "createdAt": entry["at"],
                "updatedAt": entry["at"],
                "reference": entry["reference"],
            }
        )


def _let_in(request: web.Request) -> bool:
    key = request.headers.get("X-Mitto-API-Key", "")
    return bool(key) and not key.startswith("wrong")


def _texts(body: bytes) -> list[Submitted] | None:
    """The texts of a bulk call, or None when it is not one."""
    try:
        messages = json.loads(body)["messages"]
        texts = [
            Submitted(
                to="+" + message["destination"].removeprefix("+"),
                sender=message["sms"]["sender"],
                body=message["sms"]["text"],
                account=message["trafficAccountId"],
            )
            for message in messages
        ]
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return texts if 0 < len(texts) <= LONGEST_BULK else None


def _entry(placed: Placed) -> dict[str, Any]:
    """What the answer says of one text."""
    entry: dict[str, Any] = {"trafficAccountId": placed.text.account}
    if placed.item is Item.TAKEN:
        entry["messageId"] = placed.provider_id
    elif placed.item in REFUSALS:
        entry["error"] = REFUSALS[placed.item]
    return entry


def _shaped(entries: list[dict[str, Any]], shape: BulkShape) -> list[dict[str, Any]]:
    """The entries with what the knob asks to be wrong with them."""
    if shape is BulkShape.SHORT:
        return entries[:-1]
    if shape is BulkShape.LONG:
        return [*entries, dict(entries[0])]
    if shape is BulkShape.REORDERED:
        return entries[::-1]
    if shape is BulkShape.DUPLICATED and len(entries) > 1:
        return [entries[0], dict(entries[0]), *entries[2:]]
    if shape is BulkShape.FOREIGN:
        return [entries[0] | {"trafficAccountId": str(uuid4())}, *entries[1:]]
    return entries


def _builder(webhook: Webhook) -> Builder:
    """Makes posts of receipts for one webhook."""
    return lambda receipts: _json_post(webhook.receipts_url, webhook, list(receipts))


def _json_post(url: str, webhook: Webhook, document: Any) -> Post:
    return Post(url, JSON | dict(webhook.headers), json.dumps(document).encode())
