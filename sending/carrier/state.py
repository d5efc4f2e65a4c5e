"""What a running fake carrier knows, and the way of a call through it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from aiohttp import web

from sending.carrier import behaviour, ledger
from sending.carrier.behaviour import CallPlan, Ending, Item, Knobs
from sending.carrier.callbacks import Callbacks, Webhook

GATEWAYS = ("lime", "mitto", "twilio")


@dataclass(frozen=True, slots=True)
class Submitted:
    """One text as a wire read it from a request."""

    to: str  # E.164
    sender: str
    body: str
    reference: str = ""
    status_callback: str = ""
    account: str = ""
    token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Placed:
    """A submitted text with what is said of it; `provider_id` is empty when it was refused."""

    text: Submitted
    item: Item
    provider_id: str


class Wire(Protocol):
    """One provider's way to speak."""

    gateway: str

    def new_id(self) -> str:
        """An id as that provider makes them."""
        ...

    def answer(self, carrier: Carrier, placed: Sequence[Placed], bulk_id: str) -> web.Response:
        """The provider's whole answer to a call."""
        ...

    def error(self, status: int) -> web.Response:
        """The provider's words for an HTTP error that is not about a text."""
        ...

    def send_receipts(self, carrier: Carrier, placed: Placed, states: Sequence[str]) -> None:
        """Queue the reports of `states`, in that order."""
        ...

    def send_replies(self, carrier: Carrier, text: Submitted, bodies: Sequence[str]) -> None:
        """Queue inbound texts from the person that `text` went to, in that order."""
        ...


@dataclass
class Carrier:
    """The mutable part: books, counters, webhooks and knobs."""

    ledger: ledger.Ledger
    callbacks: Callbacks
    knobs: dict[str, Knobs]
    webhooks: dict[tuple[str, str], Webhook] = field(default_factory=dict)
    tries: Counter[str] = field(default_factory=Counter)  # calls by number
    refused: Counter[str] = field(default_factory=Counter)  # texts by gateway
    replied: set[str] = field(default_factory=set)
    states: dict[str, str] = field(default_factory=dict)  # by provider id
    places: dict[str, int] = field(default_factory=dict)  # line in the ledger by provider id
    opted_out: set[str] = field(default_factory=set)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    def webhook(self, gateway: str, address: str) -> Webhook:
        """The webhook of a sender, else that of the gateway (address ""), else an empty one."""
        found = self.webhooks.get((gateway, address)) or self.webhooks.get((gateway, ""))
        return found or Webhook()

    def forget(self) -> None:
        """Be as freshly started; the ledger stays."""
        self.webhooks.clear()
        self.tries.clear()
        self.replied.clear()
        self.opted_out.clear()


async def submit(
    carrier: Carrier,
    wire: Wire,
    request: web.Request,
    texts: Sequence[Submitted],
    bulk_id: str = "",
) -> web.StreamResponse:
    """Take a call: wait, decide, write the ledger, queue what follows, and end as planned."""
    knobs = carrier.knobs[wire.gateway]
    if knobs.latency:
        await asyncio.sleep(knobs.latency)
    plan = behaviour.plan_call([text.to for text in texts], carrier.tries, knobs)
    carrier.tries.update(text.to for text in texts)
    placed: list[Placed] = []
    if plan.accept:
        placed = _place(carrier, wire, texts, bulk_id)
    else:
        carrier.refused[wire.gateway] += len(texts)
    return await _end(carrier, wire, request, plan=plan, placed=placed, bulk_id=bulk_id)


def _place(carrier: Carrier, wire: Wire, texts: Sequence[Submitted], bulk_id: str) -> list[Placed]:
    """Write the accepted ones of `texts` to the ledger and queue their receipts and replies."""
    placed: list[Placed] = []
    for text in texts:
        item = behaviour.item(text.to)
        taken = item in (Item.TAKEN, Item.NO_ID)
        placed.append(Placed(text, item, wire.new_id() if taken else ""))
    taken_texts = [each for each in placed if each.provider_id]
    at = ledger.now()
    line = len(carrier.ledger)
    carrier.ledger.append(
        [
            ledger.Entry(
                at=at,
                gateway=wire.gateway,
                provider_id=each.provider_id,
                bulk_id=bulk_id,
                reference=each.text.reference,
                to=each.text.to,
                sender=each.text.sender,
                body=each.text.body,
                segments=ledger.segments(each.text.body),
            )
            for each in taken_texts
        ]
    )
    carrier.refused[wire.gateway] += len(placed) - len(taken_texts)
    for place, each in enumerate(taken_texts, start=line):
        carrier.places[each.provider_id] = place
        _follow(carrier, wire, each)
    return placed


def _follow(carrier: Carrier, wire: Wire, placed: Placed) -> None:
    """Queue what happens after acceptance; only a person's first delivered text is replied to."""
    number = placed.text.to
    knobs = carrier.knobs[wire.gateway]
    states = behaviour.receipts(number, knobs)
    carrier.states[placed.provider_id] = states[-1] if states else "sent"
    wire.send_receipts(carrier, placed, states)
    if "undelivered" not in states and number not in carrier.replied:
        carrier.replied.add(number)
        wire.send_replies(carrier, placed.text, behaviour.replies(number, knobs))


async def _end(
    carrier: Carrier,
    wire: Wire,
    request: web.Request,
    *,
    plan: CallPlan,
    placed: Sequence[Placed],
    bulk_id: str,
) -> web.StreamResponse:
    """End a call as planned."""
    if plan.ending is Ending.STATUS:
        response = wire.error(plan.status)
        if plan.retry_after:
            response.headers["Retry-After"] = f"{plan.retry_after:g}"
        return response
    if plan.ending is Ending.BROKEN:
        return web.Response(text='{"id": "', content_type="application/json")
    if plan.ending is Ending.HANG:
        await _hang(carrier, request, carrier.knobs[wire.gateway].hang)
    if plan.ending in (Ending.HANG, Ending.CUT):
        return cut(request)
    return wire.answer(carrier, placed, bulk_id)


async def _hang(carrier: Carrier, request: web.Request, seconds: float) -> None:
    """Say nothing until the caller leaves, the carrier stops or the time is over."""
    for _ in range(round(seconds / 0.1)):
        if request.transport is None or request.transport.is_closing():
            return
        if carrier.stopping.is_set():
            return
        await asyncio.sleep(0.1)


def cut(request: web.Request) -> web.StreamResponse:
    """Break the connection: what is returned can no longer be written."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
