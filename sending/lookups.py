"""Asking providers what became of texts: those in doubt, and those whose receipt never came.

The log has no index on its states (each change would rewrite it), so the job walks the last days'
ids a slice at a time and begins again at their end.
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import structlog
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, transaction

from sending import arrays, outcomes, refusals
from sending.gateways import registry
from sending.gateways.base import Account, Answer, Call
from sending.gateways.transport import Transport
from sending.identity import lower_bound
from sending.models import Sender, SentLog, State, StatusLookup
from sending.pipeline import account
from subscribers import clock
from subscribers.secrets import CredentialsUnreadable

log = structlog.get_logger("carillon.lookups")

SILENT = dt.timedelta(minutes=15)  # without a receipt: receipts take seconds, rarely minutes
ASK_EVERY = dt.timedelta(hours=1)  # about one text
ASK_AGAIN = dt.timedelta(seconds=30)  # about one text that somebody looks at
MAY_MOVE = (State.UNKNOWN, State.ACCEPTED, State.SENT)  # by what a provider says
CLOSE_AFTER = dt.timedelta(hours=72)  # what is unknown for so long stays so (design.md)
# Ids older than that are left alone. A text is sent up to two days after its id's time.
LOOK_BACK = dt.timedelta(days=10)
SLICE = 20_000  # rows of one tick: at most 0.3 s, and 10 million rows in 85 minutes
AT_MOST = 50  # questions of one tick
IN_FLIGHT = 10
TIMEOUT = 4.0  # seconds for one question; the ticker waits for the slowest of them

_walked: UUID | None = None  # the walk's place; lost with the process, it begins again


@dataclass(frozen=True, slots=True)
class Silent:
    """A text that a provider is to be asked about."""

    text_id: UUID
    provider_id: str
    sender_id: int
    brand_id: int


def resolve_unknown() -> int:
    """Ask about some texts and close what nobody will know (the ticker's job); answers how many
    texts a provider told about. A provider that is away costs the tick `TIMEOUT` and nothing else.
    """
    now = clock.now()
    _forget_old(now)
    silent, hopeless = _next_slice(now)
    closed = outcomes.close_unknown(hopeless) if hopeless else 0
    told = []
    if silent:
        _note(silent)
        told = _ask(silent)
        _believe(silent, told)
    if closed or silent:
        log.info("looked_up", asked=len(silent), told=len(told), closed=closed)
    return len(told)


def refresh(text: SentLog) -> bool:
    """Ask about one text now, because somebody wants to know; whether the provider told anything.

    Not where its state is final, where its provider has no status call or knows it under no id, and
    once in `ASK_AGAIN` however many ask. Takes up to `TIMEOUT`: call it outside a transaction.
    """
    sender = text.sender
    if sender is None or not registry.get(sender.gateway).looks_up:
        return False
    if not text.provider_message_id or text.state not in MAY_MOVE:
        return False
    if not _take_turn(text):
        return False
    silent = [Silent(text.pk, text.provider_message_id, sender.pk, text.brand_id)]
    told = _ask(silent)
    _believe(silent, told)
    log.info("looked_up", asked=1, told=len(told), closed=0)
    return bool(told)


def _take_turn(text: SentLog) -> bool:
    """Put the question on record, unless the same was asked a moment ago."""
    with connection.cursor() as cursor:
        cursor.execute(_TAKE_TURN, [text.pk, text.brand_id, ASK_AGAIN])
        return cursor.fetchone() is not None


def _believe(silent: Sequence[Silent], told: Sequence[tuple[UUID, str, str]]) -> None:
    if told:
        with transaction.atomic():
            _heed(silent, told)
            outcomes.receive(told)


def _next_slice(now: dt.datetime) -> tuple[list[Silent], list[UUID]]:
    """The next texts to ask about, and the unknown ones that are too old for it."""
    global _walked  # noqa: PLW0603 - one ticker a process
    start = lower_bound(now - LOOK_BACK)
    values = {
        "after": max(_walked, start) if _walked else start,
        "slice": SLICE,
        "at_most": AT_MOST,
        "gateways": [name for name, gateway in registry.GATEWAYS.items() if gateway.looks_up],
        "silent_since": now - SILENT,
        "asked_before": now - ASK_EVERY,
        "hopeless_since": now - CLOSE_AFTER,
        "closed": outcomes.CLOSED,
    }
    silent, hopeless, end = [], [], None
    with connection.cursor() as cursor:
        cursor.execute(_NEXT, values)
        for kind, text_id, *rest in cursor:
            if kind == "silent":
                silent.append(Silent(text_id, *rest))
            elif kind == "hopeless":
                hopeless.append(text_id)
            else:
                end = text_id
    silent.sort(key=lambda one: one.text_id)
    _walked = silent[-1].text_id if len(silent) == AT_MOST else end
    return silent, hopeless


def _ask(silent: Sequence[Silent]) -> list[tuple[UUID, str, str]]:
    """What providers say, as receipts. Each question is on record before."""
    accounts = _accounts({one.sender_id for one in silent})
    questions: dict[int, tuple[Call, Silent, str]] = {}
    for one in silent:
        if one.sender_id not in accounts:
            continue
        name, known = accounts[one.sender_id]
        call = registry.get(name).lookup_call(one.text_id, one.provider_id, known)
        if call:
            questions[id(call)] = (call, one, name)
    told = []
    with Transport() as transport:
        calls = [call for call, _, _ in questions.values()]
        for call, answer in transport.exchange(calls, in_flight=IN_FLIGHT, timeout=TIMEOUT):
            _, one, name = questions[id(call)]
            found = registry.get(name).read_lookup(answer) if isinstance(answer, Answer) else None
            if found and found.provider_id == one.provider_id:
                told.append((one.text_id, found.state, found.code))
    return told


def _heed(silent: Sequence[Silent], told: Sequence[tuple[UUID, str, str]]) -> None:
    """A code means the same here as in a receipt; told once: the text then moves on."""
    bad = {text_id: code for text_id, state, code in told if state == State.UNDELIVERED}
    by_sender = defaultdict(list)
    for one in silent:
        if one.text_id in bad:
            by_sender[one.sender_id].append((one.text_id, bad[one.text_id]))
    for sender in Sender.objects.filter(pk__in=by_sender).select_related("brand__workspace"):
        refusals.heed_receipts(sender, by_sender[sender.pk])


def _accounts(sender_ids: set[int]) -> Mapping[int, tuple[str, Account]]:
    """Gateway and account by sender, without those that cannot be used at present."""
    found = {}
    for sender in Sender.objects.filter(pk__in=sender_ids).select_related("brand"):
        try:
            found[sender.pk] = (sender.gateway, account(sender.brand, sender))
        except (ImproperlyConfigured, CredentialsUnreadable) as error:
            log.warning("lookup_impossible", sender=sender.pk, error=str(error))
    return found


def _note(silent: Sequence[Silent]) -> None:
    ids = arrays.ids(one.text_id for one in silent)
    brands = arrays.literal(one.brand_id for one in silent)
    with connection.cursor() as cursor:
        cursor.execute(_NOTE, [ids, brands])


def _forget_old(now: dt.datetime) -> None:
    StatusLookup.objects.filter(text_id__lt=lower_bound(now - LOOK_BACK)).delete()


_NEXT = """
    WITH slice AS MATERIALIZED (
        SELECT id, brand_id, sender_id, state, reason, provider_message_id,
               coalesce(sent_at, changed_at) AS moment
        FROM sending_sentlog WHERE id > %(after)s ORDER BY id LIMIT %(slice)s),
    silent AS (
        SELECT slice.id, slice.provider_message_id, slice.sender_id, slice.brand_id
        FROM slice
        JOIN sending_sender AS sender ON sender.id = slice.sender_id
        LEFT JOIN sending_statuslookup AS asked ON asked.text_id = slice.id
        WHERE slice.provider_message_id <> '' AND slice.moment >= %(hopeless_since)s
          AND (slice.state = 'unknown'
               OR slice.state IN ('accepted', 'sent') AND slice.moment < %(silent_since)s)
          AND sender.gateway = ANY(%(gateways)s) AND sender.status <> 'stopped'
          AND (asked.asked_at IS NULL OR asked.asked_at < %(asked_before)s)
        ORDER BY slice.id LIMIT %(at_most)s),
    last AS (SELECT id FROM slice ORDER BY id OFFSET %(slice)s - 1)
    SELECT 'silent', silent.* FROM silent
    UNION ALL
    SELECT 'hopeless', id, '', 0, 0 FROM slice
    WHERE state = 'unknown' AND reason <> %(closed)s AND moment < %(hopeless_since)s
    UNION ALL
    SELECT 'last', id, '', 0, 0 FROM last"""

_NOTE = """
    INSERT INTO sending_statuslookup AS known (text_id, brand_id, asked_at, times)
    SELECT id, brand_id, now(), 1
    FROM unnest(%s::uuid[], %s::bigint[]) AS given(id, brand_id)
    ON CONFLICT (text_id) DO UPDATE SET asked_at = now(), times = known.times + 1"""

_TAKE_TURN = """
    INSERT INTO sending_statuslookup AS known (text_id, brand_id, asked_at, times)
    VALUES (%s, %s, now(), 1)
    ON CONFLICT (text_id) DO UPDATE SET asked_at = now(), times = known.times + 1
    WHERE known.asked_at < now() - %s
    RETURNING text_id"""
