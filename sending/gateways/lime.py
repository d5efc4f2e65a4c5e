"""Lime Cellular (MCPN): one GET per text.

Confirmed: the request. Not confirmed: the answer's body, so the id's field is a setting and a body
that cannot be read for certain is kept as it came (`providers.md`, Lime). The send call has no
validity period and, unless `reference_parameter` names one, no place for our own id.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from lxml import etree

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
    retry_after_seconds,
)
from sending.gateways.codes import STATUSES, Action, Category, Meaning

SHORT_CODE_DIGITS = 6
CODE_LENGTH = 64
NAMES_OF_ERROR = ("error", "error_text")
NESTED = "{...}"  # stands for the value of a field that is an object
Fields = list[tuple[str, str]]

# What stands in `error`, as it comes. No list of them is confirmed: each is final, kept and counted
# until one is. An account's own words are in its `stop_errors`.
ERRORS: Mapping[str, Meaning] = {}
RECEIPTS: Mapping[str, Meaning] = {}
UNEXPLAINED = Meaning(Action.FINAL, Category.CONTENT)


@dataclass(frozen=True, slots=True)
class LimeCall(Call):
    """A call that knows how its own answer is to be read."""

    message_id_field: str = ""
    stop_errors: tuple[str, ...] = ()  # lower case
    secrets: tuple[str, ...] = field(default=(), repr=False)


class Lime:
    """Adapter of `GET {base}/sendsmsapi`.

    Optional credentials: `reference_parameter`, the query parameter that carries our id;
    `message_id_field`, the JSON field or XML element that holds Lime's id; `stop_errors`, phrases
    separated by `|` that mean "this account is refused" when an error contains one of them.
    """

    name = "lime"
    texts_per_call = 1
    credential_names: tuple[str, ...] = ("user", "api_id")
    optional_credential_names: tuple[str, ...] = (
        "reference_parameter",
        "message_id_field",
        "stop_errors",
    )
    codes: Mapping[str, Meaning] = {**STATUSES, **ERRORS}
    receipt_codes: Mapping[str, Meaning] = RECEIPTS
    looks_up = False

    def calls(self, texts: Sequence[Text], account: Account) -> list[Call]:
        """One GET per text, in order."""
        return [_call(text, account) for text in texts]

    def read(self, call: Call, answer: Answer) -> list[Outcome]:
        """200 without an error is accepted, with or without an id; an error is final."""
        fields = _fields(answer.body)
        error = _error(fields)
        plain = error is not None and error[1] != NESTED
        said = _masked(call, error[1] if error and plain else words.of_body(answer.body))
        if 400 <= answer.status < 500 and _stops(call, said):
            return _outcomes(
                call, Fate.RETRY, code=f"http-{answer.status}", detail=said, stop_sender=True
            )
        decided = by_status(call, answer)
        if decided is not None:
            return decided
        if answer.status >= 400:
            code = error[0] if error else f"http-{answer.status}"
            return _refused(call, answer, code, said)
        return _read_success(call, answer, fields, said)

    def lookup_call(self, text_id: UUID, provider_id: str, account: Account) -> Call | None:
        """None: Lime documents no status call."""
        return None

    def read_lookup(self, answer: Answer) -> LookedUp | None:
        return None


def _call(text: Text, account: Account) -> LimeCall:
    """The request for one text: digits with country code and no plus, credentials in the query."""
    secrets = account.credentials
    query = {
        "user": secrets["user"],
        "api_id": secrets["api_id"],
        "mobile": text.to.removeprefix("+"),
        "message": text.body,
    }
    if account.address.isdecimal() and len(account.address) <= SHORT_CODE_DIGITS:
        query["shortcode"] = account.address
    reference = secrets.get("reference_parameter", "")
    if reference:
        query.setdefault(reference, str(text.id))
    stop_errors = secrets.get("stop_errors", "").lower().split("|")
    return LimeCall(
        method="GET",
        url=f"{account.base_url}/sendsmsapi?{urlencode(query)}",
        headers=(),
        body=None,
        texts=(text,),
        message_id_field=secrets.get("message_id_field", ""),
        stop_errors=tuple(phrase.strip() for phrase in stop_errors if phrase.strip()),
        secrets=(secrets["user"], secrets["api_id"]),
    )


def _read_success(call: Call, answer: Answer, fields: Fields | None, said: str) -> list[Outcome]:
    """Outcomes of a 2xx answer, whose body is `fields`, or None where it has no structure."""
    error = _error(fields)
    if error is not None and _stops(call, said):
        return _outcomes(
            call, Fate.RETRY, code=_masked(call, error[0]), detail=said, stop_sender=True
        )
    if error is not None:
        return _refused(call, answer, error[0], said)
    if fields is None and "error" in said.lower():
        # Free text that speaks of an error: neither a confirmed refusal nor a clean acceptance.
        return _outcomes(call, Fate.UNKNOWN, code="unreadable", detail=said)
    provider_id = _provider_id(call, fields)
    if provider_id or answer.status == 200:
        return _outcomes(call, Fate.ACCEPTED, provider_id=provider_id)
    return _outcomes(call, Fate.UNKNOWN, code=f"http-{answer.status}", detail=said)


def _refused(call: Call, answer: Answer, code: str, said: str) -> list[Outcome]:
    """Outcomes of an error about a text, as its code means."""
    meaning = ERRORS.get(code, UNEXPLAINED)
    kept = _masked(call, code)[:CODE_LENGTH]
    wait = retry_after_seconds(answer)
    return by_meaning(call, meaning, code=kept, detail=said, retry_after=wait)


def _provider_id(call: Call, fields: Fields | None) -> str:
    """Lime's id for the text, if its field was named and stands in the answer."""
    if not isinstance(call, LimeCall) or not call.message_id_field:
        return ""
    found = (value for name, value in fields or () if name == call.message_id_field)
    return words.scalar(next(found, ""))


def _error(fields: Fields | None) -> tuple[str, str] | None:
    """(code, words) of the error that the answer reports, or None."""
    named = {name.lower(): value for name, value in fields or () if value}
    values = [named[name] for name in NAMES_OF_ERROR if name in named]
    return (values[0], values[-1]) if values else None


def _fields(body: bytes) -> Fields | None:
    """Every named value of a JSON or XML body, or None when it is neither."""
    parsed = words.json_value(body)
    return list(_json_fields(parsed)) if isinstance(parsed, dict | list) else _xml_fields(body)


def _json_fields(parsed: Any) -> Iterator[tuple[str, str]]:
    """(name, value) at any depth; null, false, 0, "" and {} are the empty string."""
    waiting: deque[tuple[str, Any]] = deque([("", parsed)])
    while waiting:
        name, value = waiting.popleft()
        if isinstance(value, dict):
            if name:
                yield name, NESTED if value else ""
            waiting.extend((str(key), inner) for key, inner in value.items())
        elif isinstance(value, list):
            waiting.extend((name, inner) for inner in value)
        else:
            yield name, str(value).strip() if value else ""


def _xml_fields(body: bytes) -> Fields | None:
    """(name, text) of each element, with no entity expanded and no network."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    try:
        root = etree.fromstring(body, parser)
    except (etree.LxmlError, ValueError):
        return None
    return [
        (element.tag, (element.text or "").strip())
        for element in root.iter()
        if isinstance(element.tag, str)
    ]


def _stops(call: Call, said: str) -> bool:
    """Whether an error says that the account, not the text, is refused."""
    phrases = call.stop_errors if isinstance(call, LimeCall) else ()
    return any(phrase in said.lower() for phrase in phrases)


def _masked(call: Call, said: str) -> str:
    """Words without the credentials."""
    return words.safe(said, secrets=call.secrets if isinstance(call, LimeCall) else ())


def _outcomes(
    call: Call,
    fate: Fate,
    *,
    provider_id: str = "",
    code: str = "",
    detail: str = "",
    stop_sender: bool = False,
) -> list[Outcome]:
    """The outcome of the one text of a call (of each, were there ever more)."""
    return [
        Outcome(
            text.id,
            fate,
            provider_id=provider_id,
            code=code[:CODE_LENGTH],
            detail=bounded(detail),
            stop_sender=stop_sender,
        )
        for text in call.texts
    ]
