"""Twilio Programmable Messaging: one form POST per text, Basic authentication.

The POST is not idempotent and has no key that would make it so. Sources: Twilio's OpenAPI document
and its error dictionary (`providers.md`, Twilio).
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, quote_plus, urlencode
from uuid import UUID

from sending.gateways import words
from sending.gateways.base import (
    Account,
    Answer,
    Call,
    Fate,
    LookedUp,
    Outcome,
    Text,
    bounded,
    by_meaning,
    by_status,
    for_all,
    retry_after_seconds,
)
from sending.gateways.codes import STATUSES as HTTP_STATUSES
from sending.gateways.codes import Action, Category, Meaning, Rest

# status of a message -> the log's words. `canceled` and what is new say nothing certain.
STATUSES: Mapping[str, str] = {
    "accepted": "accepted",
    "scheduled": "accepted",
    "queued": "accepted",
    "sending": "accepted",
    "sent": "sent",
    "delivered": "delivered",
    "read": "delivered",
    "undelivered": "undelivered",
    "failed": "undelivered",
}
VALIDITY = (1, 36_000)  # seconds that ValidityPeriod may hold


# Codes in answers of 4xx, all of which mean "not sent". A code that is not here fails the text,
# unless its HTTP status says otherwise, and is kept as it came.
ERRORS: Mapping[str, Meaning] = {
    "20003": Meaning(Action.STOP, Category.CREDENTIALS),  # authentication
    "20005": Meaning(Action.STOP, Category.CREDENTIALS),  # account not active
    "20404": Meaning(Action.STOP, Category.CREDENTIALS),  # no such account
    "20429": Meaning(Action.RETRY, Category.RATE_LIMIT, Rest.ACCOUNT),  # never processed
    "21211": Meaning(Action.FINAL, Category.INVALID_NUMBER),
    "21606": Meaning(Action.FINAL, Category.SENDER),  # this sender cannot text that number
    "21610": Meaning(Action.SUPPRESS, Category.OPTED_OUT),
    "21611": Meaning(Action.RETRY, Category.RATE_LIMIT, Rest.SENDER),  # the sender's queue is full
    "21612": Meaning(Action.FINAL, Category.SENDER),  # no route from this sender to that number
    "21614": Meaning(Action.FINAL, Category.INVALID_NUMBER),  # not a mobile number
}

# Codes in receipts of texts that did not arrive. Their texts stay as they are: they were sent once.
RECEIPTS: Mapping[str, Meaning] = {
    "21610": Meaning(Action.SUPPRESS, Category.OPTED_OUT),
    "30001": Meaning(Action.RETRY, Category.RATE_LIMIT),  # the sender's queue overflowed
    "30002": Meaning(Action.STOP, Category.CREDENTIALS),  # account suspended
    "30003": Meaning(Action.RETRY, Category.UNREACHABLE),  # the handset is off or out of reach
    "30004": Meaning(Action.FINAL, Category.UNREACHABLE),  # the number is blocked
    "30005": Meaning(Action.FINAL, Category.INVALID_NUMBER),  # unknown handset
    "30006": Meaning(Action.FINAL, Category.INVALID_NUMBER),  # a landline
    "30007": Meaning(Action.STOP, Category.FILTERED),  # carriers filter it: more makes it worse
    "30008": Meaning(Action.RETRY, Category.NETWORK),  # Twilio does not know either
    "30034": Meaning(Action.STOP, Category.SENDER),  # the number is not registered
}


@dataclass(frozen=True, slots=True)
class TwilioCall(Call):
    """A call that knows which words must not stand in a log."""

    secret: str = field(default="", repr=False)


class Twilio:
    """Adapter of `POST {base}/2010-04-01/Accounts/{account_sid}/Messages.json`.

    With the optional `messaging_service_sid` Twilio picks the sender from that service's pool,
    otherwise the account's address is the sender.
    """

    name = "twilio"
    texts_per_call = 1
    credential_names: tuple[str, ...] = ("account_sid", "auth_token")
    optional_credential_names: tuple[str, ...] = ("messaging_service_sid",)
    codes: Mapping[str, Meaning] = {**HTTP_STATUSES, **ERRORS}
    receipt_codes: Mapping[str, Meaning] = RECEIPTS
    looks_up = True

    def calls(self, texts: Sequence[Text], account: Account) -> list[Call]:
        """One POST per text, in order."""
        frame = _Frame(account)
        return [frame.call(text) for text in texts]

    def read(self, call: Call, answer: Answer) -> list[Outcome]:
        """2xx with a sid is accepted; 4xx is decided by Twilio's code, then by its status."""
        parsed = words.json_value(answer.body)
        said = parsed if isinstance(parsed, dict) else {}
        if 200 <= answer.status < 300:
            return _read_success(call, answer, said)
        code = words.scalar(said.get("code"))
        detail = _masked(call, words.scalar(said.get("message")))
        meaning = ERRORS.get(code)
        if meaning is not None and 400 <= answer.status < 500:
            wait = retry_after_seconds(answer)
            return by_meaning(call, meaning, code=code, detail=detail, retry_after=wait)
        decided = by_status(call, answer)
        if decided is None:
            return for_all(call, Fate.FAILED, code=code or f"http-{answer.status}", detail=detail)
        return [_with_words(outcome, code, detail) for outcome in decided]

    def lookup_call(self, text_id: UUID, provider_id: str, account: Account) -> Call | None:
        """`GET .../Messages/{sid}.json`: Twilio knows a text by its sid alone."""
        if not provider_id:
            return None
        frame = _Frame(account)
        url = f"{frame.url.removesuffix('.json')}/{quote(provider_id, safe='')}.json"
        return Call("GET", url, frame.headers[:1], None, ())

    def read_lookup(self, answer: Answer) -> LookedUp | None:
        """404 is no certainty: what was just taken may not be found yet."""
        said = words.json_value(answer.body)
        if answer.status != 200 or not isinstance(said, dict):
            return None
        state = STATUSES.get(words.scalar(said.get("status")))
        sid = words.scalar(said.get("sid"))
        if not state or not sid:
            return None
        return LookedUp(sid, state, words.scalar(said.get("error_code")))


class _Frame:
    """What all requests of a sender have in common, written once: half the cost of a request."""

    def __init__(self, account: Account) -> None:
        sid, self.token = account.credentials["account_sid"], account.credentials["auth_token"]
        basic = b64encode(f"{sid}:{self.token}".encode()).decode()
        self.headers = (
            ("Authorization", f"Basic {basic}"),
            ("Content-Type", "application/x-www-form-urlencoded"),
        )
        self.url = f"{account.base_url}/2010-04-01/Accounts/{quote(sid, safe='')}/Messages.json"
        service = account.credentials.get("messaging_service_sid", "")
        sender = {"MessagingServiceSid": service} if service else {"From": account.address}
        self.tail = "&" + urlencode(sender)
        self.callback = ""
        if account.callback_url:
            self.callback = "&" + urlencode(
                {"StatusCallback": f"{account.callback_url}/status?text="}
            )

    def call(self, text: Text) -> TwilioCall:
        """The request for one text; our id goes at the end of the callback's address."""
        shortest, longest = VALIDITY
        validity = min(max(text.validity, shortest), longest)
        form = (
            f"ValidityPeriod={validity}&To={quote_plus(text.to)}&Body={quote_plus(text.body)}"
            f"{self.tail}"
        )
        if self.callback:
            form += f"{self.callback}{text.id}"
        return TwilioCall(
            method="POST",
            url=self.url,
            headers=self.headers,
            body=form.encode(),
            texts=(text,),
            secret=self.token,
        )


def _read_success(call: Call, answer: Answer, said: dict[str, Any]) -> list[Outcome]:
    """Accepted with the sid; unknown without one, for the text may be on its way."""
    sid = words.scalar(said.get("sid"))
    if not sid:
        detail = _masked(call, words.of_body(answer.body))
        return for_all(call, Fate.UNKNOWN, code=f"http-{answer.status}", detail=detail)
    code = words.scalar(said.get("error_code"))
    detail = words.scalar(said.get("error_message"))
    if detail:
        detail = bounded(_masked(call, detail))
    return [
        Outcome(text.id, Fate.ACCEPTED, provider_id=sid, code=code, detail=detail)
        for text in call.texts
    ]


def _with_words(outcome: Outcome, code: str, detail: str) -> Outcome:
    """An outcome that the status decided, with Twilio's code and words where it gave any."""
    return Outcome(
        outcome.text_id,
        outcome.fate,
        code=code or outcome.code,
        detail=bounded(detail or outcome.detail),
        retry_after=outcome.retry_after,
        stop_sender=outcome.stop_sender,
    )


def _masked(call: Call, said: str) -> str:
    """Words without the token."""
    return words.safe(said, secrets=(call.secret,) if isinstance(call, TwilioCall) else ())
