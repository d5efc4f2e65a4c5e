"""Accounts at providers: what they have used today, and what an operator is told about it."""

import itertools

import redis
from django.db import connection

from sending import arrays, limits
from sending.models import ProviderAccount, Sender
from subscribers import clock
from subscribers.models import Brand


def remember_use() -> int:
    """Keep what Valkey counts of each account's day (the ticker's job), lest it be lost there.

    Answers how many accounts have sent anything lately. Raises redis.RedisError.
    """
    remembered = 0
    for some in itertools.batched(ProviderAccount.objects.order_by("pk").iterator(), 1000):
        told = limits.used_today(some)
        remembered += len(told)
        if told:
            days = arrays.literal(day for day, _ in told.values())
            counts = arrays.literal(used for _, used in told.values())
            with connection.cursor() as cursor:
                cursor.execute(_REMEMBER, [arrays.literal(told), days, counts])
    return remembered


def held_back_by(brand: Brand) -> list[str]:
    """Which accounts of a brand's senders have used up their day, a sentence each."""
    accounts = list(
        ProviderAccount.objects.filter(
            senders__brand=brand, senders__status=Sender.Status.ACTIVE, daily_cap__isnull=False
        ).distinct()
    )
    try:
        told = limits.used_today(accounts) if accounts else {}
    except redis.RedisError:  # of which the queue's state speaks itself
        return []
    today = clock.now().date()
    return [
        f"Account {account.name} has sent its {account.daily_cap:,} segments of today and sends again"
        " at 00:00 UTC."
        for account in accounts
        if account.daily_cap is not None
        and told.get(account.pk, (None, 0))[0] == today
        and told[account.pk][1] >= account.daily_cap
    ]


_REMEMBER = """
    UPDATE sending_provideraccount AS account SET used = told.used, used_on = told.day
    FROM unnest(%s::bigint[], %s::date[], %s::int[]) AS told(id, day, used)
    WHERE account.id = told.id
      AND (account.used_on, account.used) IS DISTINCT FROM (told.day, told.used)"""
