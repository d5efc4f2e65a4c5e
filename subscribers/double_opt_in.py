"""Double opt-in: who was asked for a YES, and until when it counts. Part of `consent`'s writers.

`sending` pulls what is to be asked (`waiting`) and says when it has planned the text (`mark_asked`).
Callers hold the people's locks (`consent.lock_people`), except where it is said.
"""

import datetime as dt
from collections.abc import Collection, Sequence

from django.db import connection

from subscribers import clock
from subscribers import consent_statements as statements
from subscribers.consent_statements import OptIn
from subscribers.models import Brand, ConsentEvent, OptInRequest, Subscriber, Subscription

# Texts that ask one person for one brand, however often a form is filled in, until they answer.
MOST_REQUESTS = 3


def ask(brand: Brand, rows: Sequence[OptIn], *, source: str, days: int) -> list[int]:
    """Record that people want a brand's texts, and that their YES is waited for `days` days.

    Answers whose subscription or request changed. Nobody is asked who opted out, is suppressed or
    is subscribed, nor while a request is open, nor more than MOST_REQUESTS times; what a list
    tells again is no new wish.
    """
    if not rows:
        return []
    now = clock.now()
    values = {
        **statements.values_of(brand, rows, source, ConsentEvent.Kind.REQUEST),
        "now": now,
        "expires": now + dt.timedelta(days=days),
        "most": MOST_REQUESTS,
    }
    with connection.cursor() as cursor:
        cursor.execute(statements.INSERT_EVENTS, values)
        values["new"] = [row[0] for row in cursor.fetchall()]
        cursor.execute(_PENDING, values)
        pending = {row[0] for row in cursor.fetchall()}
        cursor.execute(_REQUEST, values)
        return sorted(pending | {row[0] for row in cursor.fetchall()})


def open_request(subscriber: Subscriber, brand: Brand, *, at: dt.datetime) -> OptInRequest | None:
    """The request that a YES at that moment answers: asked, not expired, of a pending person."""
    waits = Subscription.objects.filter(
        subscriber=subscriber, brand=brand, status=Subscription.Status.PENDING
    )
    if not waits.exists():
        return None
    return OptInRequest.objects.filter(
        subscriber=subscriber, brand=brand, asked_at__isnull=False, expires_at__gt=at
    ).first()


def close(subscriber_ids: Collection[int], brand_id: int | None) -> None:
    """These people have answered, whatever they said; to every brand where none is named."""
    requests = OptInRequest.objects.filter(subscriber__in=subscriber_ids)
    if brand_id is not None:
        requests = requests.filter(brand=brand_id)
    requests.delete()


def waiting(at_most: int) -> list[OptInRequest]:
    """Requests whose text is not planned yet, oldest first, with brand and subscriber. No locks."""
    requests = OptInRequest.objects.filter(asked_at__isnull=True).order_by("pk")
    return list(requests.select_related("brand", "subscriber")[:at_most])


def take(request_ids: Collection[int]) -> set[int]:
    """Those of the requests that are still to be asked, locked. Lock their people first."""
    rows = OptInRequest.objects.filter(pk__in=request_ids, asked_at__isnull=True).order_by("pk")
    return set(rows.select_for_update().values_list("pk", flat=True))


def mark_asked(request_ids: Collection[int], at: dt.datetime) -> None:
    """Their texts are planned: part of the transaction that plans them."""
    OptInRequest.objects.filter(pk__in=request_ids).update(asked_at=at)


# Whoever said no, or must not be texted, is not asked.
_MAY_BE_ASKED = f"""
    SELECT DISTINCT ON (given.subscriber_id) given.subscriber_id, given.evidence
    FROM {statements.ROWS}
    LEFT JOIN subscribers_subscription AS known
        ON known.subscriber_id = given.subscriber_id AND known.brand_id = %(brand)s
    WHERE given.subscriber_id = ANY(%(new)s::bigint[])
      AND coalesce(known.status, 'pending') = 'pending'
      AND NOT EXISTS (SELECT FROM subscribers_suppression AS no
          WHERE no.phone_hash = given.phone_hash
            AND (no.brand_id IS NULL OR no.brand_id = %(brand)s))
    ORDER BY given.subscriber_id, given.occurred_at DESC"""

_PENDING = f"""
    INSERT INTO subscribers_subscription (subscriber_id, brand_id, status)
    SELECT asked.subscriber_id, %(brand)s, 'pending' FROM ({_MAY_BE_ASKED}) AS asked
    ON CONFLICT DO NOTHING RETURNING subscriber_id"""

_REQUEST = f"""
    INSERT INTO subscribers_optinrequest AS known
        (subscriber_id, brand_id, requested_at, expires_at, times, source, evidence)
    SELECT asked.subscriber_id, %(brand)s, %(now)s, %(expires)s, 1, %(source)s,
           asked.evidence
    FROM ({_MAY_BE_ASKED}) AS asked
    ON CONFLICT (subscriber_id, brand_id) DO UPDATE
    SET requested_at = EXCLUDED.requested_at, expires_at = EXCLUDED.expires_at,
        times = known.times + 1, asked_at = NULL, source = EXCLUDED.source,
        evidence = EXCLUDED.evidence
    WHERE known.expires_at <= %(now)s AND known.times < %(most)s
    RETURNING subscriber_id"""
