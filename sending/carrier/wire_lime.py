"""The fake carrier as Lime: send by GET, opted-in lists, opt-in status, opt-out.

Lime's answer to a send, its receipts and its inbound texts are not documented. Here the answer is
JSON with `messageId`, and receipts and inbound texts are forms whose field names a webhook can set.
"""

from __future__ import annotations

import asyncio
import gzip
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlencode
from uuid import uuid4

from aiohttp import web

from sending.carrier.behaviour import Item, ListMode
from sending.carrier.callbacks import Post, Webhook
from sending.carrier.state import Carrier, Placed, Submitted, submit

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
CHUNK = 65_536
RECORD_END = b"</Mobile>"
NUMBER = re.compile(rb"<MobileNumber>([^<]*)</MobileNumber>")
LIST_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
REFUSALS = {Item.BAD_NUMBER: "Invalid mobile number", Item.OPTED_OUT: "Mobile has opted out"}


class LimeWire:
    """Lime's shapes. `lists` is a folder of `<optInListId>.xml` and `<optInListId>.xml.gz`."""

    gateway = "lime"

    def __init__(self, lists: Path) -> None:
        self._lists = lists

    def routes(self, carrier: Carrier) -> list[web.RouteDef]:
        """Lime's paths."""

        async def send(request: web.Request) -> web.StreamResponse:
            return await self._send(carrier, request)

        async def api(request: web.Request) -> web.StreamResponse:
            return await self._api(carrier, request)

        return [web.get("/sendsmsapi", send), web.get("/limeApi", api)]

    def new_id(self) -> str:
        """A message id."""
        return f"LM{uuid4().hex[:20]}"

    def answer(self, carrier: Carrier, placed: Sequence[Placed], bulk_id: str) -> web.Response:
        """200 in any case; an error is a field of the body."""
        (each,) = placed
        if each.item in REFUSALS:
            words = REFUSALS[each.item]
            return web.json_response({"error": each.item.value, "error_text": words})
        document = {"status": "OK", "messageId": each.provider_id}
        if each.item is Item.NO_ID:
            del document["messageId"]
        return web.json_response(document)

    def error(self, status: int) -> web.Response:
        """A line of text."""
        return web.Response(status=status, text={401: "Unauthorized"}.get(status, "Error"))

    def send_receipts(self, carrier: Carrier, placed: Placed, states: Sequence[str]) -> None:
        """A form per state with reference, id and status."""
        webhook = carrier.webhook(self.gateway, placed.text.sender)
        if not webhook.receipts_url:
            return
        posts = [
            _form_post(
                webhook.receipts_url,
                webhook,
                {
                    "reference": placed.text.reference,
                    "messageId": placed.provider_id,
                    "status": state,
                },
            )
            for state in states
        ]
        carrier.callbacks.later(carrier.knobs[self.gateway].receipt_delay, posts)

    def send_replies(self, carrier: Carrier, text: Submitted, bodies: Sequence[str]) -> None:
        """A form per inbound text."""
        webhook = carrier.webhook(self.gateway, text.sender)
        if not webhook.inbound_url:
            return
        posts = [
            _form_post(
                webhook.inbound_url,
                webhook,
                {
                    "mobile": text.to.removeprefix("+"),
                    "shortcode": text.sender,
                    "message": body,
                    "messageId": self.new_id(),
                },
            )
            for body in bodies
        ]
        carrier.callbacks.later(carrier.knobs[self.gateway].reply_delay, posts)

    async def _send(self, carrier: Carrier, request: web.Request) -> web.StreamResponse:
        query = request.query
        if not _let_in(request):
            return web.Response(status=400, text="Invalid user or api_id")
        mobile, message = query.get("mobile", ""), query.get("message", "")
        if not mobile.isdecimal() or not message:
            return web.Response(status=400, text="mobile and message are required")
        reference = query.get(carrier.knobs[self.gateway].lime_reference_parameter, "")
        text = Submitted(f"+{mobile}", query.get("shortcode", ""), message, reference)
        return await submit(carrier, self, request, [text])

    async def _api(self, carrier: Carrier, request: web.Request) -> web.StreamResponse:
        if not _let_in(request):
            return web.Response(status=400, text="Invalid user or api_id")
        event = request.query.get("ev", "")
        if event == "optedInNumbers":
            return await self._serve_list(carrier, request)
        mobile = request.query.get("mobile", "")
        if event not in ("optinStatus", "optout") or not mobile.isdecimal():
            return web.Response(status=400, text="Invalid ev or mobile")
        if event == "optout":
            return _opt_out(carrier, request, mobile)
        names = await asyncio.to_thread(self._lists_with, mobile)
        kind = request.query.get("type", "optin")
        wanted = names if (kind == "optout") is (mobile in carrier.opted_out) else []
        return _xml(_status_document(kind, wanted))

    async def _serve_list(self, carrier: Carrier, request: web.Request) -> web.StreamResponse:
        """A whole list in one answer, or what the knob `list_mode` asks for instead."""
        knobs = carrier.knobs[self.gateway]
        if knobs.list_mode is ListMode.ERROR:
            return web.Response(status=500, text="Internal error")
        if knobs.list_mode is ListMode.HTML:
            return web.Response(
                text="<html><body>Maintenance</body></html>", content_type="text/html"
            )
        if knobs.list_mode is ListMode.EMPTY:
            return _xml("<Mobiles></Mobiles>")
        path = self._path(request.query.get("optInListId", ""))
        if path is None:
            return web.Response(status=400, text="Invalid optInListId")
        response = web.StreamResponse(headers={"Content-Type": "text/xml; charset=utf-8"})
        await response.prepare(request)
        only_numbers = request.query.get("isOnlyNumbers") == "true"
        left = knobs.list_cut_after if knobs.list_mode is ListMode.CUT else None
        for chunk in _numbers(path) if only_numbers else _chunks(path):
            await response.write(chunk if left is None else chunk[:left])
            if left is not None:
                left -= len(chunk)
                if left <= 0:
                    return cut_after_writing(request, response)
        await response.write_eof()
        return response

    def _path(self, name: str) -> Path | None:
        if not LIST_NAME.fullmatch(name):
            return None
        paths = [self._lists / f"{name}.xml", self._lists / f"{name}.xml.gz"]
        return next((path for path in paths if path.is_file()), None)

    def _lists_with(self, mobile: str) -> list[str]:
        """Names of the lists that hold a number."""
        wanted = f"<MobileNumber>{mobile}</MobileNumber>".encode()
        names = sorted({path.name.partition(".")[0] for path in self._lists.glob("*.xml*")})
        paths = [(name, self._path(name)) for name in names]
        return [
            name for name, path in paths if path and any(wanted in part for part in _numbers(path))
        ]


def cut_after_writing(request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
    """Break the connection in the middle of a body; what was written still leaves."""
    if request.transport is not None:
        request.transport.close()
    return response


def _let_in(request: web.Request) -> bool:
    keys = [request.query.get(name, "") for name in ("user", "api_id")]
    return all(key and not key.startswith("wrong") for key in keys)


def _opt_out(carrier: Carrier, request: web.Request, mobile: str) -> web.Response:
    """Remember an opt-out; exactly one of list_id and keyword is asked for."""
    given = [name for name in ("list_id", "keyword") if request.query.get(name)]
    if len(given) != 1:
        return web.Response(status=400, text="Exactly one of list_id and keyword is required")
    carrier.opted_out.add(mobile)
    return web.Response(text="OK")


def _status_document(kind: str, names: Sequence[str]) -> str:
    if not names:
        return ""
    lists = "".join(
        f"<list><listId>{name}</listId><keywords><keyword/></keywords></list>" for name in names
    )
    return f'<lists type="{"optout" if kind == "optout" else "optin"}">{lists}</lists>'


def _chunks(path: Path) -> Iterator[bytes]:
    """A list as it stands, decompressed."""
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


def _numbers(path: Path) -> Iterator[bytes]:
    """A list with nothing but the numbers."""
    yield b"<Mobiles>"
    rest = b""
    for chunk in _chunks(path):
        *whole, rest = (rest + chunk).split(RECORD_END)
        found = NUMBER.findall(b"".join(whole))
        yield b"".join(
            b"<Mobile><MobileNumber>%s</MobileNumber></Mobile>" % number for number in found
        )
    yield b"</Mobiles>"


def _xml(text: str) -> web.Response:
    return web.Response(text=text, content_type="text/xml")


def _form_post(url: str, webhook: Webhook, form: dict[str, str]) -> Post:
    """A form under the webhook's names, in the body or, for GET, in the query."""
    named = urlencode({webhook.fields.get(name, name): value for name, value in form.items()})
    if webhook.method == "GET":
        return Post(f"{url}{'&' if '?' in url else '?'}{named}", webhook.headers)
    return Post(url, FORM | dict(webhook.headers), named.encode())
