"""Clicks: a short link leads to where its message's link leads, and its text's person is noted.

The destination comes from our row alone: https, and a host that the brand allows at the time.
Requests that come at the same time are answered together: they share the look-up, the row's
statement and its commit.
"""

import datetime as dt
import json
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import structlog
from django.conf import settings
from django.db import DatabaseError, InterfaceError, OperationalError, connection
from django.http import HttpRequest, HttpResponse
from django.urls import path, re_path
from django.utils.encoding import iri_to_uri
from django.views.decorators.http import require_safe

from campaigns import links
from sending.gateways import words
from sending.identity import identify, moment_of
from subscribers import arrays
from tracking import kept_connection, scanners
from tracking.scanners import PERSON, Visit
from tracking.together import Together

log = structlog.get_logger("carillon.clicks")

CODE = re.compile(rf"[0-9A-Za-z]{{{links.CODE_LENGTH}}}")
LONGEST_AGENT = 200
HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex, nofollow",
}


@dataclass(frozen=True, slots=True)
class Reply:
    """What is answered to who follows a link."""

    status: int
    body: str = ""
    headers: dict[str, str] = field(default_factory=lambda: HEADERS)


@dataclass(frozen=True, slots=True)
class Followed:
    """A short link that was found, and what its text was doing when it was followed."""

    text_id: UUID
    link_id: int
    brand_id: int
    destination: str
    subscriber_id: int | None
    sent_at: dt.datetime | None
    delivered_at: dt.datetime | None
    now: dt.datetime


@dataclass(frozen=True, slots=True)
class Click:
    """A visit of a short link that was found."""

    found: Followed
    code: str
    visit: Visit


@dataclass(slots=True)
class _Asked:
    code: str
    visit: Visit
    reply: Reply = field(init=False)


_NONE = Reply(404, "This link does not exist.\n")
_GUESSING = Reply(
    429,
    "Too many links that do not exist. Try again in a minute.\n",
    {**HEADERS, "Retry-After": "60"},
)
_AWAY = Reply(
    503, "This link cannot be followed right now. Try again.\n", {**HEADERS, "Retry-After": "5"}
)


@require_safe
def follow(request: HttpRequest, code: str) -> HttpResponse:
    """302 to the link's destination; 404 where there is none, 429 for who only guesses."""
    visit = Visit(
        method=request.method or "",
        address=address_of(
            request.headers.get("X-Forwarded-For", ""), request.META.get("REMOTE_ADDR", "")
        ),
        agent=request.headers.get("User-Agent", ""),
        headers=request.headers,
    )
    reply = answer(code, visit)
    plain = {"Content-Type": "text/plain; charset=utf-8"}
    return HttpResponse(reply.body, status=reply.status, headers=reply.headers | plain)


def answer(code: str, visit: Visit) -> Reply:
    """Where a link leads; the click is kept by then."""
    asked = _Asked(code, visit)
    try:
        _together.add(asked)
    except (OperationalError, InterfaceError):
        log.warning("database_away")
        return _AWAY
    return asked.reply


def _answer_all(all_asked: Sequence[_Asked]) -> None:
    guessing = scanners.guessing({one.visit.address for one in all_asked})
    asking = [one for one in all_asked if one.visit.address not in guessing]
    codes = {one.code for one in asking if CODE.fullmatch(one.code)}
    found = kept_connection.use(lambda: find(codes)) if codes else {}
    for one in all_asked:
        one.reply = _GUESSING if one.visit.address in guessing else _NONE
    for one in asking:
        if one.code in found:
            location = {"Location": iri_to_uri(found[one.code].destination)}
            one.reply = Reply(302, headers=HEADERS | location)
    scanners.count_misses([one.visit.address for one in asking if one.code not in found])
    record([Click(found[one.code], one.code, one.visit) for one in asking if one.code in found])


_together: Together[_Asked] = Together(_answer_all)


def find(codes: Collection[str]) -> dict[str, Followed]:
    """The links of codes; none also where its brand may not lead there (any more)."""
    with connection.cursor() as cursor:
        cursor.execute(_FIND, [list(codes)])
        rows = cursor.fetchall()
    found = {code: (Followed(*known), domains) for code, *known, domains in rows}
    return {code: one for code, (one, domains) in found.items() if _leads(one, domains)}


def _leads(found: Followed, domains: Collection[str]) -> bool:
    secure = found.destination.startswith("https://")
    return secure and links.is_allowed(links.host_of(found.destination), domains)


def record(clicks: Sequence[Click]) -> None:
    """Keep visits: a row each, named by what it was. Whoever follows a link is sent on in any case.

    A row's id is of the text, the link and the second: a request that is repeated at once is one
    row, and how many people clicked is the number of different subscribers.
    """
    if not clicks:
        return
    rows = [_row(click) for click in clicks]
    persons = [at for at, row in enumerate(rows) if row["name"] == PERSON]
    bursts = scanners.bursts(
        [(clicks[at].visit, clicks[at].code, str(rows[at]["id"])) for at in persons]
    )
    began: set[str] = set()  # who began a burst was taken for a person
    for at, same_burst in zip(persons, bursts, strict=True):
        if same_burst:
            rows[at]["name"] = scanners.BURST
        if len(same_burst) > 1:
            began |= set(same_burst)
    # In the order of the ids: two processes that keep the same wait, but not for each other.
    _keep(sorted(rows, key=lambda row: str(row["id"])), began)


def _row(click: Click) -> dict[str, object]:
    found = click.found
    second = int(found.now.timestamp())
    return {
        "id": str(
            identify(moment_of(found.text_id), "click", found.text_id, found.link_id, second)
        ),
        "brand_id": found.brand_id,
        "subscriber_id": found.subscriber_id,
        "text_id": str(found.text_id),
        "name": scanners.judge(
            click.visit, sent_at=found.sent_at, delivered_at=found.delivered_at, now=found.now
        ),
        "raw": {"link": found.link_id, "agent": words.safe(click.visit.agent)[:LONGEST_AGENT]},
        "received_at": found.now.isoformat(),
    }


def _keep(rows: Sequence[dict[str, object]], began: Iterable[str]) -> None:
    """Together, or each alone where the database refuses one."""
    try:
        kept_connection.use(lambda: _write(rows, sorted(began)))
    except (DatabaseError, InterfaceError) as error:
        if len(rows) == 1 or isinstance(error, OperationalError | InterfaceError):
            log.exception("click_not_recorded", texts=[row["text_id"] for row in rows])
            return
        for row in rows:
            _keep([row], began)


def _write(rows: Sequence[dict[str, object]], began: Sequence[str]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            _RECORD,
            {
                "ids": arrays.literal(row["id"] for row in rows),
                "brands": arrays.literal(row["brand_id"] for row in rows),
                "people": arrays.literal(row["subscriber_id"] for row in rows),
                "texts": arrays.literal(row["text_id"] for row in rows),
                "names": arrays.literal(row["name"] for row in rows),
                "raw": arrays.words([json.dumps(row["raw"]) for row in rows]),
                "times": arrays.literal(row["received_at"] for row in rows),
            },
        )
        if began:
            cursor.execute(_WAS_A_BURST, [scanners.BURST, list(began), PERSON])


def address_of(forwarded: str, peer: str) -> str:
    """Who asks: the address that the outermost of our own proxies saw (TRUSTED_PROXIES).

    `forwarded` is the request's X-Forwarded-For, `peer` who is connected.
    """
    behind = settings.TRUSTED_PROXIES
    told = [part.strip() for part in forwarded.split(",")]
    if behind and len(told) >= behind and told[-behind]:
        return told[-behind]
    return peer


# A function, whose plan is kept: the migration 0012 has it.
_FIND = """
    SELECT code, text_id, link_id, brand_id, destination, subscriber_id, sent_at, delivered_at,
           clock_timestamp(), domains
    FROM tracking_follow(%s::text[])"""

# Whose clicks change is counted again: `activity.py`.
_RECORD = """
    WITH kept AS (
        INSERT INTO tracking_trackingevent
            (id, brand_id, subscriber_id, text_id, kind, name, raw, received_at)
        SELECT id, brand_id, subscriber_id, text_id, 'click', name, raw, received_at
        FROM unnest(%(ids)s::uuid[], %(brands)s::bigint[], %(people)s::bigint[], %(texts)s::uuid[],
                %(names)s::text[], %(raw)s::jsonb[], %(times)s::timestamptz[])
            AS given(id, brand_id, subscriber_id, text_id, name, raw, received_at)
        ON CONFLICT (id) DO NOTHING
        RETURNING subscriber_id)
    INSERT INTO tracking_touchedperson (subscriber_id)
    SELECT subscriber_id FROM kept WHERE subscriber_id IS NOT NULL"""

_WAS_A_BURST = """
    WITH changed AS (
        UPDATE tracking_trackingevent SET name = %s WHERE id = ANY(%s::uuid[]) AND name = %s
        RETURNING subscriber_id)
    INSERT INTO tracking_touchedperson (subscriber_id)
    SELECT DISTINCT subscriber_id FROM changed WHERE subscriber_id IS NOT NULL"""

urlpatterns = [
    path("l/<str:code>", follow, name="short-link"),
    re_path(rf"^(?P<code>{CODE.pattern})$", follow, name="short-link-of-brand"),
]
