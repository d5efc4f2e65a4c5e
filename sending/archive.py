"""Old months leave the database: written to files, checked, then dropped with all that names them.

From the oldest month on, up to the first that something still needs. A file is on the disk and was
read back before its month is dropped, by one transaction that also keeps what reports and people's
totals take from the rows (`ARCHIVE_STEPS`). Whoever is interrupted begins the month again.

The files hold no number, no text and no words of a person: somebody who is erased later is in them
only by the id of an empty row, so that erasing never has to look into cold storage.
"""

import datetime as dt
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import UUID

from django.conf import settings
from django.db import OperationalError, connection, transaction
from django.utils.module_loading import import_string

from campaigns.models import Campaign, Run
from sending import archive_files, outcomes, partitions
from sending.archive_files import Written
from sending.archive_models import ArchivedMonth
from sending.credit_models import CreditHold
from sending.identity import lower_bound
from sending.models import QueuedText, SentLog, State

LOG, EVENTS = "sending_sentlog", "tracking_trackingevent"
# What the files hold of each table, in this order: nothing that a person wrote or is reached by.
COLUMNS = {
    LOG: "id brand_id campaign_id run_id message_id subscriber_id sender_id purpose segments state"
    " reason attempts expires_at sent_at changed_at provider_message_id bulk_id error_code",
    EVENTS: "id brand_id subscriber_id text_id kind name code received_at",
}
# Dropping waits for whoever reads the log, and everybody else waits behind it: so not for long.
LOCK_TRIES, LOCK_SECONDS = 5, 2


@dataclass(frozen=True, slots=True)
class Month:
    """A month of the log, UTC, and what it holds."""

    begin: dt.datetime
    texts: int = 0
    events: int = 0
    bytes: int = 0

    @property
    def end(self) -> dt.datetime:
        return (self.begin + dt.timedelta(days=32)).replace(day=1)

    @property
    def ids(self) -> tuple[UUID, UUID]:
        """Ids of the month are >= the first and < the second."""
        return lower_bound(self.begin), lower_bound(self.end)

    def __str__(self) -> str:
        return f"{self.begin:%Y-%m}"


class Kept(Exception):
    """The month stays, and so do those after it; the message is a sentence that says why."""


def old_months(now: dt.datetime) -> Iterator[Month]:
    """Months that ended longer ago than KEEP_TEXTS_DAYS, the oldest first, with what they hold."""
    before = now - dt.timedelta(days=settings.KEEP_TEXTS_DAYS)
    months = {month for table in COLUMNS for month in partitions.months_of(table)}
    for begin in sorted(months):
        if Month(begin).end > before:
            return
        yield _measured(Month(begin))


def archive(month: Month, folder: Path) -> ArchivedMonth:
    """Write a month's files into the folder, then drop it.

    Raises Kept where something needs it or the log is too busy, OSError where no file can be written.
    """
    check(month)
    files = [
        archive_files.write(folder, table, month.begin, columns.split())
        for table, columns in COLUMNS.items()
        if partitions.exists(partitions.name_of(table, month.begin))
    ]
    for _ in range(LOCK_TRIES):
        try:
            return _drop(month, files)
        except OperationalError as error:
            if getattr(error.__cause__, "sqlstate", "") != "55P03":  # lock_not_available
                raise
            time.sleep(LOCK_SECONDS)
    raise Kept(f"{month} stays for now: the log is too busy to drop a part of it. Try again later.")


def check(month: Month) -> None:
    """Raises Kept with the first reason why the month must stay."""
    found = next(_reasons(month), "")
    if found:
        raise Kept(f"{month} stays: {found}")


@transaction.atomic
def _drop(month: Month, files: list[Written]) -> ArchivedMonth:
    first, end = month.ids
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('archive'))")
        names = [partitions.name_of(table, month.begin) for table in COLUMNS]
        names = [name for name in names if partitions.exists(name)]
        if not names:
            raise Kept(f"{month} was archived by another command meanwhile. Run this one again.")
        for name in names:  # nobody writes to them any more; reading goes on
            cursor.execute(f'LOCK TABLE "{name}" IN SHARE MODE')
        check(month)
        for written in files:
            if archive_files.state_of(written.of, written.table) != (written.rows, written.latest):
                raise Kept(f"{month} stays for now: it changed while it was written. Try again.")
        for step in settings.ARCHIVE_STEPS:
            import_string(step)(month.begin, month.end)
        # Whatever a provider still tells of these texts finds none, and waits in vain.
        for statement in _NAMED_BY:
            cursor.execute(statement, [first, end])
        counted = {written.of: written.rows for written in files}
        row = ArchivedMonth.objects.create(
            month=month.begin.date(),
            texts=counted.get(LOG, 0),
            events=counted.get(EVENTS, 0),
            files=[asdict(written) | {"latest": str(written.latest)} for written in files],
        )
        for name in names:
            cursor.execute(f'DROP TABLE "{name}"')
    return row


def _measured(month: Month) -> Month:
    counted = []
    size = 0
    with connection.cursor() as cursor:
        for table in COLUMNS:
            name = partitions.name_of(table, month.begin)
            if not partitions.exists(name):
                counted.append(0)
                continue
            cursor.execute(f'SELECT count(*), pg_total_relation_size(%s) FROM "{name}"', [name])
            rows, held = cursor.fetchone()
            counted.append(rows)
            size += held
    return Month(month.begin, counted[0], counted[1], size)


def _reasons(month: Month) -> Iterator[str]:
    """Why a month must stay, as ends of a sentence: what is not final, and what will be read again."""
    first, end = month.ids
    texts = SentLog.objects.filter(id__gte=first, id__lt=end)
    count = texts.filter(state__in=(State.PLANNED, State.SENDING)).count()
    count = count or QueuedText.objects.filter(id__gte=first, id__lt=end).count()
    if count:
        yield (
            f"{count:,} of its texts are planned or on their way. Resume or cancel their campaigns:"
            f" {_campaigns(texts.filter(state=State.PLANNED))}."
        )
    count = texts.filter(state=State.UNKNOWN).exclude(reason=outcomes.CLOSED).count()
    if count:
        yield f"{count:,} of its texts are unknown and not closed: the ticker does it after 72 hours."
    runs = Run.objects.filter(started_at__gte=month.begin, started_at__lt=month.end)
    run = runs.filter(finished_at=None).order_by("pk").first()
    if run:
        yield f"run {run.pk} of campaign {run.campaign_id} is not finished. Resume or cancel it."
    over = (Campaign.Status.COMPLETED, Campaign.Status.CANCELLED)
    run = runs.filter(campaign__kind=Campaign.Kind.BROADCAST).exclude(campaign__status__in=over)
    if found := run.order_by("pk").first():
        yield f"campaign {found.campaign_id} is not over. Resume or cancel it."
    holds = CreditHold.objects.filter(first_id__gte=first, first_id__lt=end, due_at__isnull=False)
    if holds.exists():
        yield "credits of its texts are not settled: is the ticker running?"
    for step in settings.ARCHIVE_CHECKS:
        yield from import_string(step)(month.begin, month.end)


def _campaigns(texts: object) -> str:
    ids = texts.exclude(campaign=None).values_list("campaign_id", flat=True)  # type: ignore[attr-defined]
    return ", ".join(str(pk) for pk in sorted(ids.distinct()[:5])) or "none of a campaign"


# Rows beside the log that hold a text's id, and nothing once it is gone.
_NAMED_BY = (
    "DELETE FROM sending_providermessage WHERE text_id >= %s AND text_id < %s",
    "DELETE FROM sending_shortlink WHERE text_id >= %s AND text_id < %s",
    "DELETE FROM sending_statuslookup WHERE text_id >= %s AND text_id < %s",
)
