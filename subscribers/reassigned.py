"""Numbers that were given to somebody else: whoever has one now never agreed to anything.

An outside check knows (in the United States the FCC's Reassigned Numbers Database, 47 CFR
64.1200(m)). It is a function named in REASSIGNED_NUMBER_CHECK; here it is asked in batches, with no
transaction open, and what it says is written down.
"""

import datetime as dt
from collections.abc import Callable, Collection, Sequence

import structlog
from django.conf import settings
from django.db import connection, transaction
from django.utils.module_loading import import_string

from subscribers import clock, suppressions
from subscribers.models import Brand, ConsentSource, Subscriber
from subscribers.suppressions import Unwanted

log = structlog.get_logger("carillon.reassigned")

BATCH = 500
REASON = "number reassigned"

# Pairs of an E.164 number and the moment of its consent; answers the numbers reassigned since.
type Check = Callable[[Sequence[tuple[str, dt.datetime]]], Collection[str]]


class NoCheck(Exception):
    """There is nobody to ask. The text is a sentence that says what to do."""


def configured() -> Check:
    """The check of the installation. Raises NoCheck where there is none, or it cannot be found."""
    path = settings.REASSIGNED_NUMBER_CHECK
    if not path:
        raise NoCheck(
            "Nobody can be asked: set REASSIGNED_NUMBER_CHECK to the dotted path of a function."
        )
    try:
        return import_string(path)
    except ImportError as error:
        raise NoCheck(f"REASSIGNED_NUMBER_CHECK cannot be used: {error}.") from None


def check_brand(brand: Brand, *, older_than: dt.timedelta, check: Check) -> tuple[int, int]:
    """Ask about a brand's subscribers whose number was last checked longer ago, or never.

    Answers how many were asked about and how many were reassigned: those are suppressed in the
    whole workspace. What `check` raises ends the run; batches before it are kept.
    """
    before = clock.now() - older_than
    asked = reassigned = after = 0
    while batch := _next(brand, before, after):
        after = batch[-1][0]
        told = set(check([(phone, consented_at) for _, phone, consented_at in batch]))
        # Only what was asked about: a mistaken answer must not bar strangers.
        gone = [Unwanted(phone, REASON) for _, phone, _ in batch if phone in told]
        _note(brand, [pk for pk, _, _ in batch], gone)
        asked, reassigned = asked + len(batch), reassigned + len(gone)
    log.info("numbers_checked", brand=brand.slug, asked=asked, reassigned=reassigned)
    return asked, reassigned


def _next(brand: Brand, before: dt.datetime, after: int) -> list[tuple[int, str, dt.datetime]]:
    with connection.cursor() as cursor:
        cursor.execute(_NEXT, [brand.pk, after, before, BATCH])
        return cursor.fetchall()


@transaction.atomic
def _note(brand: Brand, ids: list[int], gone: list[Unwanted]) -> None:
    now = clock.now()
    suppressions.suppress_many(
        brand.workspace,
        gone,
        brand=None,
        at=now,
        source=ConsentSource.PROVIDER,
        evidence={"check": settings.REASSIGNED_NUMBER_CHECK},
    )
    Subscriber.objects.filter(pk__in=ids).update(reassigned_checked_at=now)


_NEXT = """
    SELECT person.id, person.phone, subscription.opted_in_at
    FROM subscribers_subscription AS subscription
    JOIN subscribers_subscriber AS person ON person.id = subscription.subscriber_id
    WHERE subscription.brand_id = %s AND subscription.subscriber_id > %s
      AND subscription.status = 'opted_in'
      AND (person.reassigned_checked_at IS NULL OR person.reassigned_checked_at < %s)
    ORDER BY subscription.subscriber_id LIMIT %s"""
