"""Clicks: a short link leads to where its message's link leads, and its text's person is noted.

The destination comes from our row alone: https, and a host that the brand allows at the time.
"""

import datetime as dt
import json
import re
from dataclasses import dataclass
from uuid import UUID

import structlog
from django.conf import settings
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path, re_path
from django.views.decorators.http import require_safe

from campaigns import links
from sending.gateways import words
from sending.identity import identify, moment_of
from tracking import scanners
from tracking.scanners import PERSON, Visit

log = structlog.get_logger("carillon.clicks")

_CODE = re.compile(rf"[0-9A-Za-z]{{{links.CODE_LENGTH}}}")
LONGEST_AGENT = 200
HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex, nofollow",
}


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


@require_safe
def follow(request: HttpRequest, code: str) -> HttpResponse:
    """302 to the link's destination; 404 where there is none, 429 for who only guesses."""
    visit = Visit(
        method=request.method or "",
        address=address_of(request),
        agent=request.headers.get("User-Agent", ""),
        headers=request.headers,
    )
    if scanners.is_guessing(visit.address):
        return _plain("Too many links that do not exist. Try again in a minute.", 429)
    found = find(code) if _CODE.fullmatch(code) else None
    if found is None:
        scanners.count_miss(visit.address)
        return _plain("This link does not exist.", 404)
    record(found, code, visit)
    return HttpResponseRedirect(found.destination, headers=HEADERS)


def _plain(sentence: str, status: int) -> HttpResponse:
    headers = {**HEADERS, "Retry-After": "60"} if status == 429 else HEADERS
    return HttpResponse(
        f"{sentence}\n", status=status, content_type="text/plain; charset=utf-8", headers=headers
    )


def find(code: str) -> Followed | None:
    """The link of a code; None also where its brand may not lead there (any more)."""
    with connection.cursor() as cursor:
        cursor.execute(_FIND, [code])
        row = cursor.fetchone()
    if row is None:
        return None
    *known, domains = row
    found = Followed(*known)
    secure = found.destination.startswith("https://")
    allowed = links.is_allowed(links.host_of(found.destination), domains)
    return found if secure and allowed else None


def record(found: Followed, code: str, visit: Visit) -> None:
    """Keep a visit: one row, named by what it was. Whoever follows the link is sent on in any case.

    Its id is of the text, the link and the second: a request that is repeated at once is one row,
    and how many people clicked is the number of different subscribers.
    """
    name = scanners.judge(
        visit, sent_at=found.sent_at, delivered_at=found.delivered_at, now=found.now
    )
    second = int(found.now.timestamp())
    event_id = identify(moment_of(found.text_id), "click", found.text_id, found.link_id, second)
    same_burst = scanners.burst(visit, code, str(event_id)) if name == PERSON else []
    raw = {"link": found.link_id, "agent": words.safe(visit.agent)[:LONGEST_AGENT]}
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                _RECORD,
                [
                    event_id,
                    found.brand_id,
                    found.subscriber_id,
                    found.text_id,
                    scanners.BURST if same_burst else name,
                    json.dumps(raw),
                    found.now,
                ],
            )
            if len(same_burst) > 1:  # who began it was taken for a person
                cursor.execute(_WAS_A_BURST, [scanners.BURST, same_burst, PERSON])
    except DatabaseError:
        log.exception("click_not_recorded", text=str(found.text_id))


def address_of(request: HttpRequest) -> str:
    """Who asks: the address that the outermost of our own proxies saw (TRUSTED_PROXIES)."""
    behind = settings.TRUSTED_PROXIES
    told = [part.strip() for part in request.headers.get("X-Forwarded-For", "").split(",")]
    if behind and len(told) >= behind and told[-behind]:
        return told[-behind]
    return request.META.get("REMOTE_ADDR", "")


# The text's partition is found by its id at execution: one look-up in each of four indexes.
_FIND = """
    SELECT short.text_id, short.link_id, short.brand_id, link.destination, text.subscriber_id,
           text.sent_at, CASE WHEN text.state = 'delivered' THEN text.changed_at END,
           clock_timestamp(), coalesce(policy.link_domains, '{}')
    FROM sending_shortlink AS short
    JOIN campaigns_link AS link ON link.id = short.link_id
    LEFT JOIN campaigns_brandpolicy AS policy ON policy.brand_id = short.brand_id
    LEFT JOIN sending_sentlog AS text ON text.id = short.text_id
    WHERE short.code = %s"""

# Whose clicks change is counted again: `activity.py`.
_RECORD = """
    WITH kept AS (
        INSERT INTO tracking_trackingevent
            (id, brand_id, subscriber_id, text_id, kind, name, raw, received_at)
        VALUES (%s, %s, %s, %s, 'click', %s, %s, %s) ON CONFLICT (id) DO NOTHING
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
    re_path(rf"^(?P<code>{_CODE.pattern})$", follow, name="short-link-of-brand"),
]
