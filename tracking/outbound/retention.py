"""What has been told is kept for KEEP_WEBHOOKS_DAYS, with its attempts, so that it can be told again."""

import datetime as dt

from django.conf import settings
from django.db import connection

from tracking.outbound import deliveries, statements

KEEP = dt.timedelta(days=settings.KEEP_WEBHOOKS_DAYS)
AT_ONCE = 5000


def forget_old() -> int:
    """Give up what is too late, and forget what ended long ago (the ticker's job)."""
    deliveries.give_up()
    with connection.cursor() as cursor:
        cursor.execute(statements.FORGET, {"keep": KEEP, "at_most": AT_ONCE})
        return cursor.rowcount
