"""The fake carrier: Lime, Mitto and Twilio on one port, over real HTTP, with receipts and replies.

It is a feature: a sandbox brand sends through it and nobody gets a text. Beside the three providers'
own paths it has `/_carrier/...` to watch and to steer it:

* `GET  /_carrier/log?after=N&limit=M`: `{"lines": [...], "next": N}`, lines of the ledger from N on
* `GET  /_carrier/stats`: counts of accepted and refused texts and of callbacks
* `GET  /_carrier/knobs`, `POST /_carrier/knobs`: `{"gateway": "mitto", "bulk_shape": "short"}`;
  without `gateway` for all three
* `POST /_carrier/webhooks`: `{"gateway", "address", "receipts_url", "inbound_url", "headers",
  "token", "fields", "method"}`; an empty address stands for every sender of that gateway
* `POST /_carrier/inbound`: `{"gateway", "address", "from", "text"}`, a text from a person
* `POST /_carrier/reset`: forget tries, replies, opt-outs and webhooks, and set the knobs back

Whoever reaches the port can make it post anywhere, so it listens on the loopback address unless told
otherwise.
"""

from __future__ import annotations

import asyncio
import json
import signal
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from sending.carrier.behaviour import Knobs, turned
from sending.carrier.callbacks import Callbacks, Webhook
from sending.carrier.ledger import Ledger
from sending.carrier.state import GATEWAYS, Carrier, Submitted, Wire
from sending.carrier.wire_lime import LimeWire
from sending.carrier.wire_mitto import MittoWire
from sending.carrier.wire_twilio import TwilioWire

LISTS = Path(__file__).parent / "lists"
LARGEST_REQUEST = 8_000_000  # bytes
LONGEST_QUERY = 65_536
LONGEST_PAGE = 10_000  # lines of the log in one answer
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Options:
    """How to start a carrier. Port 0 takes a free one; without `log` it goes to a temporary file."""

    host: str = "127.0.0.1"
    port: int = 0
    log: Path | None = None
    lists: Path = LISTS
    knobs: Mapping[str, Any] = field(default_factory=dict)


def build(options: Options) -> tuple[web.Application, Carrier]:
    """The application and what it knows.

    Raises ValueError for a knob that is none and OSError when the log cannot be written.
    """
    knobs = turned(Knobs(), options.knobs)
    log = options.log or Path(tempfile.mkdtemp(prefix="carrier-")) / "carrier.jsonl"
    carrier = Carrier(Ledger(log), Callbacks(), dict.fromkeys(GATEWAYS, knobs))
    lime, mitto, twilio = LimeWire(options.lists), MittoWire(), TwilioWire()
    app = web.Application(client_max_size=LARGEST_REQUEST)
    for routes in (lime.routes(carrier), mitto.routes(carrier), twilio.routes(carrier)):
        app.add_routes(routes)
    app.add_routes(_own_routes(carrier, {"lime": lime, "mitto": mitto, "twilio": twilio}, knobs))
    app.cleanup_ctx.append(lambda _app: _life(carrier))
    return app, carrier


@asynccontextmanager
async def serving(options: Options) -> AsyncIterator[str]:
    """Serve for as long as the context is open; gives the base URL. Raises OSError as bind does."""
    app, carrier = build(options)
    runner = web.AppRunner(
        app,
        access_log=None,
        shutdown_timeout=2.0,
        max_line_size=LONGEST_QUERY,
        keepalive_timeout=75,
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, options.host, options.port, backlog=1024)
        await site.start()
        host = f"[{options.host}]" if ":" in options.host else options.host
        yield f"http://{host}:{runner.addresses[0][1]}"
    finally:
        carrier.stopping.set()
        await runner.cleanup()


def run(options: Options, announce: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT; `announce` is told the base URL once it answers."""

    async def main() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        async with serving(options) as url:
            announce(url)
            await stop.wait()

    asyncio.run(main())


async def _life(carrier: Carrier) -> AsyncIterator[None]:
    """Callbacks run as long as the application does."""
    await carrier.callbacks.start()
    yield
    await carrier.callbacks.stop()
    carrier.ledger.close()


def _own_routes(carrier: Carrier, wires: Mapping[str, Wire], initial: Knobs) -> list[web.RouteDef]:
    """The paths below `/_carrier`."""

    async def inbound(request: web.Request) -> web.StreamResponse:
        asked = await _object(request, ("gateway", "address", "from", "text"))
        text = Submitted(to=asked["from"], sender=asked["address"], body="")
        wires[_gateway(asked)].send_replies(carrier, text, [asked["text"]])
        return web.json_response({"pending": carrier.callbacks.pending})

    async def reset(_request: web.Request) -> web.StreamResponse:
        carrier.forget()
        carrier.knobs = dict.fromkeys(GATEWAYS, initial)
        return web.json_response({})

    def bound(handler: Callable[[Carrier, web.Request], Awaitable[web.StreamResponse]]) -> Handler:
        return lambda request: handler(carrier, request)

    return [
        web.get("/_carrier/log", bound(_log)),
        web.get("/_carrier/stats", bound(_stats)),
        web.get("/_carrier/knobs", bound(_knobs)),
        web.post("/_carrier/knobs", bound(_turn)),
        web.post("/_carrier/webhooks", bound(_register)),
        web.post("/_carrier/inbound", inbound),
        web.post("/_carrier/reset", reset),
    ]


async def _log(carrier: Carrier, request: web.Request) -> web.StreamResponse:
    try:
        after = max(0, int(request.query.get("after", 0)))
        limit = min(int(request.query.get("limit", 1000)), LONGEST_PAGE)
    except ValueError:
        raise web.HTTPBadRequest(text="after and limit are whole numbers") from None
    lines = carrier.ledger.lines(after=after, limit=limit)
    body = b'{"lines":[%s],"next":%d}' % (b",".join(lines), after + len(lines))
    return web.Response(body=body, content_type="application/json")


async def _stats(carrier: Carrier, _request: web.Request) -> web.StreamResponse:
    callbacks = carrier.callbacks
    return web.json_response(
        {
            "accepted": {name: carrier.ledger.accepted[name] for name in GATEWAYS},
            "accepted_total": len(carrier.ledger),
            "refused": {name: carrier.refused[name] for name in GATEWAYS},
            "callbacks": {
                "pending": callbacks.pending,
                "delivered": callbacks.delivered,
                "given_up": callbacks.given_up,
            },
            "log": str(carrier.ledger.path),
        }
    )


async def _knobs(carrier: Carrier, _request: web.Request) -> web.StreamResponse:
    return web.json_response({name: asdict(knobs) for name, knobs in carrier.knobs.items()})


async def _turn(carrier: Carrier, request: web.Request) -> web.StreamResponse:
    asked = await _object(request, ())
    names = [_gateway(asked)] if "gateway" in asked else list(GATEWAYS)
    asked.pop("gateway", None)
    try:
        carrier.knobs |= {name: turned(carrier.knobs[name], asked) for name in names}
    except ValueError as error:
        raise web.HTTPBadRequest(text=str(error)) from None
    return await _knobs(carrier, request)


async def _register(carrier: Carrier, request: web.Request) -> web.StreamResponse:
    asked = await _object(request, ("gateway", "address"))
    gateway, address = _gateway(asked), asked["address"]
    del asked["gateway"], asked["address"]
    try:
        webhook = Webhook(**asked)
    except TypeError:
        raise web.HTTPBadRequest(text="a webhook has a field that is not known") from None
    carrier.webhooks[gateway, address] = webhook
    return web.json_response({"webhooks": len(carrier.webhooks)})


async def _object(request: web.Request, required: tuple[str, ...]) -> dict[str, Any]:
    """The JSON object of a request, with the required names. Raises HTTPBadRequest."""
    try:
        asked = json.loads(await request.read())
    except ValueError:
        asked = None
    if not isinstance(asked, dict):
        raise web.HTTPBadRequest(text="a JSON object is required")
    missing = [name for name in required if name not in asked]
    if missing:
        raise web.HTTPBadRequest(text=f"missing: {', '.join(missing)}")
    return asked


def _gateway(asked: Mapping[str, Any]) -> str:
    name = asked["gateway"]
    if name not in GATEWAYS:
        raise web.HTTPBadRequest(text=f"gateway is one of {', '.join(GATEWAYS)}")
    return str(name)
