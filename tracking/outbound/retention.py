"""What has been told is kept for 30 days, with its attempts, so that it can be told again."""

import datetime as dt

from django.db import connection

from tracking.outbound import deliveries, statements

KEEP = dt.timedelta(days=30)
AT_ONCE = 5000


def forget_old() -> int:
    """Give up what is too late, and forget what ended long ago (the ticker's job)."""
    deliveries.give_up()
    with connection.cursor() as cursor:
        cursor.execute(statements.FORGET, {"keep": KEEP, "at_most": AT_ONCE})
        return cursor.rowcount
