"""The connection that a server's thread keeps: not tried before it is used, replaced where it broke.

On the short ways before Django (`webhooks/wsgi.py`, `clicks_wsgi.py`) nobody else looks after it.
"""

from collections.abc import Callable

from django.db import InterfaceError, OperationalError, connection


def use[Answer](statements: Callable[[], Answer]) -> Answer:
    """Run statements that may be repeated; again on a new connection where the kept one is broken.

    Raises OperationalError or InterfaceError where the database is away.
    """
    connection.health_check_done = True
    try:
        return statements()
    except (OperationalError, InterfaceError):
        if connection.in_atomic_block:
            raise
        connection.close()
        return statements()
