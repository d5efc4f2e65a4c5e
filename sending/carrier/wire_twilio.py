"""The fake carrier as Twilio: Messages.json, signed status callbacks, signed inbound forms."""

from __future__ import annotations

import base64
import binascii
import hmac
import json
from collections.abc import Mapping, Sequence
from hashlib import sha1
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit
from uuid import uuid4

from aiohttp import web

from sending.carrier import ledger
from sending.carrier.behaviour import Item
from sending.carrier.callbacks import Post
from sending.carrier.state import Carrier, Placed, Submitted, submit

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
LONGEST_BODY = 1600
# Item or status -> HTTP status, Twilio's code, Twilio's words.
REFUSALS: Mapping[Item, tuple[int, int, str]] = {
    Item.BAD_NUMBER: (400, 21211, "Invalid 'To' Phone Number"),
    Item.OPTED_OUT: (400, 21610, "Attempt to send to unsubscribed recipient"),
}
ERRORS: Mapping[int, tuple[int, str]] = {
    401: (20003, "Authenticate"),
    403: (20005, "Account not active"),
    429: (20429, "Too Many Requests"),
    500: (20500, "Internal Server Error"),
    503: (20503, "Service Unavailable"),
}
UNDELIVERED = "30005"  # unknown destination handset


class TwilioWire:
    """Twilio's shapes. Tokens are learned from Basic authentication, by account."""

    gateway = "twilio"

    def __init__(self) -> None:
        self.tokens: dict[str, str] = {}
        self.accounts: dict[str, str] = {}  # last account by sender

    def routes(self, carrier: Carrier) -> list[web.RouteDef]:
        """Twilio's paths."""

        async def send(request: web.Request) -> web.StreamResponse:
            return await self._send(carrier, request)

        async def fetch(request: web.Request) -> web.StreamResponse:
            return self._fetch(carrier, request)

        base = "/2010-04-01/Accounts/{account}"
        return [
            web.post(f"{base}/Messages.json", send),
            web.get(f"{base}/Messages/{{sid}}.json", fetch),
        ]

    def new_id(self) -> str:
        """A message sid."""
        return f"SM{uuid4().hex}"

    def answer(self, carrier: Carrier, placed: Sequence[Placed], bulk_id: str) -> web.Response:
        """201 with the message, or the refusal of its number."""
        (each,) = placed
        if each.item in REFUSALS:
            return _refusal(*REFUSALS[each.item])
        entry = {
            "provider_id": each.provider_id,
            "to": each.text.to,
            "from": each.text.sender,
            "body": each.text.body,
            "segments": ledger.segments(each.text.body),
            "at": ledger.now(),
        }
        message = _message(entry, each.text.account, "queued")
        if each.item is Item.NO_ID:
            del message["sid"]
        return web.json_response(message, status=201)

    def error(self, status: int) -> web.Response:
        """An error document of Twilio's."""
        code, words = ERRORS.get(status, (status, "Error"))
        return _refusal(status, code, words)

    def send_receipts(self, carrier: Carrier, placed: Placed, states: Sequence[str]) -> None:
        """One signed form per state, to the StatusCallback of the request."""
        text = placed.text
        if not text.status_callback:
            return
        knobs = carrier.knobs[self.gateway]
        posts: list[Post] = []
        for state in states:
            form = {
                "MessageSid": placed.provider_id,
                "SmsSid": placed.provider_id,
                "MessageStatus": state,
                "SmsStatus": state,
                "To": text.to,
                "From": text.sender,
                "AccountSid": text.account,
                "ApiVersion": "2010-04-01",
            }
            if state == "undelivered":
                form["ErrorCode"] = UNDELIVERED
            posts.append(signed(text.status_callback, form, text.token))
        carrier.callbacks.later(knobs.receipt_delay, posts)

    def send_replies(self, carrier: Carrier, text: Submitted, bodies: Sequence[str]) -> None:
        """One signed form per inbound text, to the sender's inbound address."""
        webhook = carrier.webhook(self.gateway, text.sender)
        if not webhook.inbound_url or not bodies:
            return
        account = text.account or self.accounts.get(text.sender, "")
        token = text.token or self.tokens.get(account, "") or webhook.token
        posts = [
            signed(
                webhook.inbound_url,
                {
                    "MessageSid": self.new_id(),
                    "AccountSid": account,
                    "From": text.to,
                    "To": text.sender,
                    "Body": body,
                    "NumMedia": "0",
                    "NumSegments": "1",
                },
                token,
            )
            for body in bodies
        ]
        carrier.callbacks.later(carrier.knobs[self.gateway].reply_delay, posts)

    async def _send(self, carrier: Carrier, request: web.Request) -> web.StreamResponse:
        account = request.match_info["account"]
        token = _token(request, account)
        form = dict(parse_qsl((await request.read()).decode("utf-8", "replace")))
        if not token:
            return self.error(401)
        sender = form.get("From") or form.get("MessagingServiceSid", "")
        problem = _problem(form, sender)
        if problem is not None:
            return _refusal(400, *problem)
        self.tokens[account] = token
        self.accounts[sender] = account
        callback = form.get("StatusCallback", "")
        reference = parse_qs(urlsplit(callback).query).get("text", [""])[0]
        text = Submitted(
            form["To"], sender, form["Body"], reference, callback, account=account, token=token
        )
        return await submit(carrier, self, request, [text])

    def _fetch(self, carrier: Carrier, request: web.Request) -> web.StreamResponse:
        account, sid = request.match_info["account"], request.match_info["sid"]
        if not _token(request, account):
            return self.error(401)
        if sid not in carrier.places:
            return _refusal(404, 20404, "The requested resource was not found")
        line = carrier.ledger.lines(after=carrier.places[sid], limit=1)[0]
        return web.json_response(_message(json.loads(line), account, carrier.states[sid]))


def signed(url: str, form: Mapping[str, str], token: str) -> Post:
    """A form post with X-Twilio-Signature over the exact address and the sorted fields."""
    text = url + "".join(name + form[name] for name in sorted(form))
    digest = hmac.new(token.encode(), text.encode(), sha1).digest()
    signature = base64.b64encode(digest).decode()
    return Post(url, FORM | {"X-Twilio-Signature": signature}, urlencode(form).encode())


def _token(request: web.Request, account: str) -> str:
    """The token of a request for `account`, or "" when it is not let in."""
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    try:
        user, _, token = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return ""
    wrong = user.startswith("wrong") or token.startswith("wrong")
    return "" if wrong or scheme.lower() != "basic" or user != account else token


def _problem(form: Mapping[str, str], sender: str) -> tuple[int, str] | None:
    """What is wrong with a form, as Twilio's code and words."""
    if not form.get("To", "").startswith("+"):
        return 21211, "Invalid 'To' Phone Number"
    if not sender:
        return 21603, "A 'From' phone number is required."
    if not form.get("Body"):
        return 21602, "Message body is required."
    if len(form["Body"]) > LONGEST_BODY:
        return 21617, "The concatenated message body exceeds the 1600 character limit"
    return None


def _message(entry: Mapping[str, object], account: str, status: str) -> dict[str, object]:
    """A message resource of an entry of the ledger."""
    return {
        "sid": entry["provider_id"],
        "account_sid": account,
        "to": entry["to"],
        "from": entry["from"],
        "body": entry["body"],
        "status": status,
        "num_segments": str(entry["segments"]),
        "num_media": "0",
        "direction": "outbound-api",
        "error_code": int(UNDELIVERED) if status == "undelivered" else None,
        "error_message": None,
        "date_created": entry["at"],
        "api_version": "2010-04-01",
    }


def _refusal(status: int, code: int, words: str) -> web.Response:
    more = f"https://www.twilio.com/docs/errors/{code}"
    document = {"code": code, "message": words, "more_info": more, "status": status}
    return web.json_response(document, status=status)
