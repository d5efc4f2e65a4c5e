"""Which months of the log were archived."""

import datetime as dt

from django.db import models
from django.db.models.functions import Now


class ArchivedMonth(models.Model):
    """A month whose texts and events are in files and no longer in the database.

    Written by `archive.py`, in the transaction that drops the month. Months go from the oldest on,
    so everything before the end of the last one is gone.
    """

    month = models.DateField(primary_key=True, help_text="Its first day, UTC.")
    texts = models.BigIntegerField()
    events = models.BigIntegerField()
    files = models.JSONField(
        default=list, help_text="Name, rows, bytes and SHA-256 of each file as it was written."
    )
    archived_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return f"{self.month:%Y-%m}"


def kept_since() -> dt.datetime | None:
    """The start of the first month that is not archived (UTC); None where none ever was."""
    last = ArchivedMonth.objects.order_by("-month").values_list("month", flat=True).first()
    if last is None:
        return None
    following = (last + dt.timedelta(days=32)).replace(day=1)
    return dt.datetime.combine(following, dt.time(), dt.UTC)
