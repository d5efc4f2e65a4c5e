"""Whom an event of a shop is about: by click id, phone, e-mail or keyword, in that order.

Only within the event's brand: a person must be subscribed to it, or have been, and a click id and a
keyword must be of its own texts and campaigns. Two people with one e-mail address are nobody.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db import connection, transaction

from subscribers.models import Erasure
from tracking.models import Purchase

By = Purchase.MatchedBy

# A buyer whom nobody knows may become a subscriber; then the order is theirs.
KEEP_CONTACT = dt.timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Clue:
    """What an event says of its person. `phone` is E.164; empty where nothing is said."""

    brand_id: int
    click_id: str = ""
    phone: str = ""
    email: str = ""
    keyword: str = ""


@dataclass(frozen=True, slots=True)
class Match:
    """Who it is, and by what. `text_id`: the text of a click id that was found."""

    subscriber_id: int | None = None
    by: str = By.NOTHING
    text_id: UUID | None = None


def match(clues: Sequence[Clue]) -> list[Match]:
    """A match for each clue, in order, by one statement."""
    if not clues:
        return []
    with connection.cursor() as cursor:
        cursor.execute(
            _MATCH,
            [
                [clue.brand_id for clue in clues],
                [clue.click_id for clue in clues],
                [clue.phone for clue in clues],
                [clue.email for clue in clues],
                [clue.keyword for clue in clues],
            ],
        )
        return [_best(*row) for row in cursor.fetchall()]


def _best(
    clicked: int | None,
    text_id: UUID | None,
    phoned: int | None,
    mailed: int | None,
    named: int | None,
) -> Match:
    if clicked:
        return Match(clicked, By.CLICK, text_id)
    if phoned:
        return Match(phoned, By.PHONE)
    if mailed:
        return Match(mailed, By.EMAIL)
    return Match(by=By.KEYWORD) if named else Match()


def erased(hashes: Sequence[bytes]) -> set[bytes]:
    """Those of the hashed numbers whose person was erased: nothing is kept of them."""
    found = Erasure.objects.filter(phone_hash__in=hashes).values_list("phone_hash", flat=True)
    return {bytes(one) for one in found}


@transaction.atomic
def match_waiting() -> int:
    """Give orders of strangers to those who became subscribers since, and forget how to reach the
    rest after a week (the ticker's job). Answers how many were matched."""
    with connection.cursor() as cursor:
        cursor.execute(_FORGET, [KEEP_CONTACT])
        cursor.execute(_MATCH_WAITING)
        return cursor.rowcount


# Of people, by alias `given` with brand_id, phone and email.
_BY_PHONE = """
    SELECT person.id FROM subscribers_brand AS brand
    JOIN subscribers_subscriber AS person
        ON person.workspace_id = brand.workspace_id AND person.phone = given.phone
    JOIN subscribers_subscription AS own
        ON own.subscriber_id = person.id AND own.brand_id = brand.id
    WHERE brand.id = given.brand_id AND given.phone <> ''"""
# NOT (... = '') as the index says it.
_BY_EMAIL = """
    SELECT min(person.id) AS id FROM subscribers_brand AS brand
    JOIN subscribers_subscriber AS person
        ON person.workspace_id = brand.workspace_id
        AND lower(person.email) = lower(given.email) AND NOT (person.email = '')
    JOIN subscribers_subscription AS own
        ON own.subscriber_id = person.id AND own.brand_id = brand.id
    WHERE brand.id = given.brand_id AND given.email <> '' HAVING count(*) = 1"""

_MATCH = f"""
    SELECT clicked.subscriber_id, clicked.text_id, phoned.id, mailed.id, named.id
    FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::text[], %s::text[]) WITH ORDINALITY
        AS given(brand_id, code, phone, email, keyword, place)
    LEFT JOIN LATERAL (
        SELECT text.subscriber_id, text.id AS text_id FROM sending_shortlink AS short
        JOIN sending_sentlog AS text ON text.id = short.text_id
        JOIN subscribers_subscriber AS person
            ON person.id = text.subscriber_id AND person.erased_at IS NULL
        WHERE short.code = given.code AND short.brand_id = given.brand_id) AS clicked ON true
    LEFT JOIN LATERAL ({_BY_PHONE}) AS phoned ON true
    LEFT JOIN LATERAL ({_BY_EMAIL}) AS mailed ON true
    LEFT JOIN LATERAL (
        SELECT campaign.id FROM campaigns_campaign AS campaign
        WHERE campaign.brand_id = given.brand_id AND given.keyword <> ''
          AND lower(campaign.utm_campaign) = lower(given.keyword) LIMIT 1) AS named ON true
    ORDER BY given.place"""

_FORGET = """
    UPDATE tracking_purchase SET phone = '', email = ''
    WHERE subscriber_id IS NULL AND (NOT phone = '' OR NOT email = '')
      AND received_at < clock_timestamp() - %s"""

_MATCH_WAITING = f"""
    WITH found AS MATERIALIZED (
        SELECT given.id, coalesce(phoned.id, mailed.id) AS subscriber_id,
               CASE WHEN phoned.id IS NULL THEN 'email' ELSE 'phone' END AS matched_by
        FROM tracking_purchase AS given
        LEFT JOIN LATERAL ({_BY_PHONE}) AS phoned ON true
        LEFT JOIN LATERAL ({_BY_EMAIL}) AS mailed ON true
        WHERE given.subscriber_id IS NULL AND (NOT given.phone = '' OR NOT given.email = '')
          AND coalesce(phoned.id, mailed.id) IS NOT NULL
        ORDER BY given.id FOR UPDATE OF given SKIP LOCKED),
    matched AS (
        UPDATE tracking_purchase AS purchase
        SET subscriber_id = found.subscriber_id, matched_by = found.matched_by,
            phone = '', email = '', due_at = clock_timestamp()
        FROM found WHERE found.id = purchase.id RETURNING purchase.subscriber_id)
    INSERT INTO tracking_touchedperson (subscriber_id) SELECT subscriber_id FROM matched"""
