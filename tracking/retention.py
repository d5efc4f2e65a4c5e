"""How long events of shops are kept that nothing counts (KEEP_SHOP_EVENTS_DAYS)."""

import datetime as dt

from django.conf import settings
from django.db import connection

from subscribers import clock

AT_ONCE = 10_000


def forget_shop_events() -> int:
    """Delete a part of the custom events that came too long ago (the ticker's job); how many.

    They are looked at from the oldest on, so that a turn without any costs one look.
    """
    old = clock.now() - dt.timedelta(days=settings.KEEP_SHOP_EVENTS_DAYS)
    with connection.cursor() as cursor:
        cursor.execute(_FORGET, [AT_ONCE, old])
        return cursor.rowcount


_FORGET = """
    DELETE FROM tracking_customevent WHERE id IN (
        SELECT id FROM (SELECT id, received_at FROM tracking_customevent ORDER BY id LIMIT %s)
            AS oldest WHERE received_at < %s)"""
