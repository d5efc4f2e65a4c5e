"""The database's clock: the only one that decides. A worker's may be ten minutes off."""

import datetime as dt

from django.db import connection


def now() -> dt.datetime:
    """The moment on the database's clock, aware, not frozen by a transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        return cursor.fetchone()[0]
