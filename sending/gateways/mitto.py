"""Mitto: up to 500 texts in one POST, answered per text by index.

Confirmed: request and success answer. Not confirmed: errors of single texts, so an entry without an
id is unknown with its own words kept (`providers.md`, Mitto). The confirmed send format has neither
a reference nor a validity period: an id that is lost with its answer cannot be found again.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote
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
    by_status,
    for_all,
)
from sending.gateways.codes import STATUSES as HTTP_STATUSES
from sending.gateways.codes import Meaning

SEND_PATH = "/api/v1.1/Messages/sendmessagesbulk"
STATUS_PATH = "/api/v1.1/Messages/"
# deliveryStatus of the status call, in lower case -> the log's words.
STATUSES: Mapping[str, str] = {
    "pending": "accepted",
    "sent": "sent",
    "delivered": "delivered",
    "failure": "undelivered",
}
# `errorcode` of receipts. No list of them is confirmed: each is kept and counted until one is.
RECEIPTS: Mapping[str, Meaning] = {}


@dataclass(frozen=True, slots=True)
class MittoCall(Call):
    """A call that knows what must stand at each index of its answer."""

    traffic_account_id: str = ""
    api_key: str = field(default="", repr=False)


class Mitto:
    """Adapter of `POST {base}/api/v1.1/Messages/sendmessagesbulk`.

    `webhook_secret` is not used for sending: Mitto sends it with each receipt, in the header that
    was named when the webhook was registered.
    """

    name = "mitto"
    texts_per_call = 500
    credential_names: tuple[str, ...] = ("api_key", "traffic_account_id", "webhook_secret")
    optional_credential_names: tuple[str, ...] = ()
    codes: Mapping[str, Meaning] = (
        HTTP_STATUSES  # errors of single texts are not confirmed: no code of theirs is known
    )
    receipt_codes: Mapping[str, Meaning] = RECEIPTS
    looks_up = True

    def calls(self, texts: Sequence[Text], account: Account) -> list[Call]:
        """Calls of at most `texts_per_call` texts, in order."""
        step = self.texts_per_call
        return [_call(texts[at : at + step], account) for at in range(0, len(texts), step)]

    def read(self, call: Call, answer: Answer) -> list[Outcome]:
        """One outcome per text; ids are taken by index, where the answer fits the call."""
        decided = by_status(call, answer)
        if decided is not None:
            return decided
        said = _masked(call, words.of_body(answer.body))
        if answer.status >= 400:
            return for_all(call, Fate.FAILED, code=f"http-{answer.status}", detail=said)
        bulk_id, entries = _entries(answer.body)
        if entries is None:
            return for_all(call, Fate.UNKNOWN, code="unreadable", detail=said)
        return _by_index(call, bulk_id, entries)

    def lookup_call(self, text_id: UUID, provider_id: str, account: Account) -> Call | None:
        """`GET /api/v1.1/Messages/{id}`: by Mitto's id alone, as the send call carries no reference."""
        if not provider_id:
            return None
        url = f"{account.base_url}{STATUS_PATH}{quote(provider_id, safe='')}"
        return Call("GET", url, (("X-Mitto-API-Key", account.credentials["api_key"]),), None, ())

    def read_lookup(self, answer: Answer) -> LookedUp | None:
        """404 is no certainty: a text that was just taken may not be found yet."""
        said = words.json_value(answer.body)
        if answer.status != 200 or not isinstance(said, dict):
            return None
        state = STATUSES.get(words.scalar(said.get("deliveryStatus")).lower())
        message_id = words.scalar(said.get("messageId"))
        return LookedUp(message_id, state) if state and message_id else None


def _call(texts: Sequence[Text], account: Account) -> MittoCall:
    """The request for one chunk."""
    traffic_account_id = account.credentials["traffic_account_id"]
    api_key = account.credentials["api_key"]
    messages = [
        {
            "trafficAccountId": traffic_account_id,
            "destination": text.to,
            "sms": {"text": text.body, "sender": account.address},
        }
        for text in texts
    ]
    return MittoCall(
        method="POST",
        url=account.base_url + SEND_PATH,
        headers=(("X-Mitto-API-Key", api_key), ("Content-Type", "application/json")),
        body=json.dumps({"messages": messages}).encode(),
        texts=tuple(texts),
        traffic_account_id=traffic_account_id,
        api_key=api_key,
    )


def _entries(body: bytes) -> tuple[str, list[Any] | None]:
    """(bulk id, entries) of a success answer; entries is None when the body cannot be read."""
    parsed = words.json_value(body)
    if not isinstance(parsed, dict) or not isinstance(parsed.get("messages"), list):
        return "", None
    return words.scalar(parsed.get("bulkId")), parsed["messages"]


def _by_index(call: Call, bulk_id: str, entries: list[Any]) -> list[Outcome]:
    """Outcomes by index; with more or fewer entries than texts no index can be trusted."""
    if len(entries) != len(call.texts):
        said = f"{len(entries)} entries for {len(call.texts)} texts"
        return [
            Outcome(text.id, Fate.UNKNOWN, bulk_id=bulk_id, code="not-mapped", detail=said)
            for text in call.texts
        ]
    seen = Counter(
        words.scalar(entry.get("messageId")) for entry in entries if isinstance(entry, dict)
    )
    return [
        _outcome(call, text, bulk_id, entry, seen)
        for text, entry in zip(call.texts, entries, strict=True)
    ]


def _outcome(call: Call, text: Text, bulk_id: str, entry: Any, seen: Counter[str]) -> Outcome:
    """The outcome of one text from the entry at its index."""
    message_id = words.scalar(entry.get("messageId")) if isinstance(entry, dict) else ""
    problem = ""
    if not message_id:
        problem = "no-id"
    elif seen[message_id] > 1:
        problem = "duplicate-id"
    elif not _belongs(call, text, entry):
        problem = "not-mapped"
    if not problem:
        return Outcome(text.id, Fate.ACCEPTED, provider_id=message_id, bulk_id=bulk_id)
    said = bounded(_masked(call, json.dumps(entry, ensure_ascii=False)))
    return Outcome(text.id, Fate.UNKNOWN, bulk_id=bulk_id, code=problem, detail=said)


def _belongs(call: Call, text: Text, entry: dict[str, Any]) -> bool:
    """Whether nothing in an entry says that it is about another text or another account.

    The confirmed answer repeats only `trafficAccountId`; `destination` is checked where it comes.
    """
    expected = call.traffic_account_id if isinstance(call, MittoCall) else ""
    traffic_account_id = entry.get("trafficAccountId", expected)
    destination = entry.get("destination", text.to)
    if not isinstance(traffic_account_id, str) or not isinstance(destination, str):
        return False
    same_number = destination.removeprefix("+") == text.to.removeprefix("+")
    return same_number and traffic_account_id.lower() == expected.lower()


def _masked(call: Call, said: str) -> str:
    """Words without the key."""
    return words.safe(said, secrets=(call.api_key,) if isinstance(call, MittoCall) else ())
