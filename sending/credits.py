"""Credits: the only writer of a workspace's account and of its ledger. 1 credit = 1 segment.

Planning reserves in its own transaction. What became of the texts is not followed text by text: a
job of the ticker (`settle_due`) adds up the rows of each run and posts what the ledger lacks, so a
lost, repeated or late answer cannot be counted twice, and the hot path knows nothing of credits.
Everything here holds the account's lock: the ledger and the rows that planning wrote agree under it.
"""

from __future__ import annotations

import datetime as dt
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

import structlog
from django.db import connection, transaction
from django.db.models import F, Sum

from campaigns.eligibility import Purpose
from campaigns.models import Run
from sending import arrays
from sending.identity import lower_bound, moment_of
from sending.models import CreditAccount, CreditEntry, CreditHold, State
from subscribers import clock
from subscribers.models import Workspace

if TYPE_CHECKING:
    from sending.outcomes import NewText

log = structlog.get_logger("carillon.credits")

Kind = CreditEntry.Kind

# A confirmation answers an opt-out: the law wants it, so it neither costs nor waits for credits.
CHARGED = frozenset({Purpose.CAMPAIGN, Purpose.TEST, Purpose.ANSWER})
HELD = (State.PLANNED, State.SENDING)
WENT_OUT = (State.ACCEPTED, State.SENT, State.DELIVERED, State.UNDELIVERED)
# A text in doubt is held for so long. Then it costs nothing, as nobody knows that it went out; a
# receipt that still comes proves it, and it is debited.
UNKNOWN_FOR = dt.timedelta(hours=72)
SOON, RARELY, DAILY = dt.timedelta(seconds=15), dt.timedelta(hours=1), dt.timedelta(days=1)
LOOK_BACK = dt.timedelta(days=8)  # how long receipts may still change what a run cost
BUDGET_SECONDS = 1.0
MILLISECOND_IDS = 1 << 80  # ids of one millisecond


class Short(Exception):
    """The workspace's credits do not suffice; `missing` more are needed."""

    def __init__(self, missing: int) -> None:
        self.missing = missing
        super().__init__(f"It needs {missing:,} more credits.")


@dataclass(frozen=True, slots=True)
class _Cause:
    """What texts are held together for: a run, without one a request for test sends, and without a
    campaign one answer, whose own id `first_id` is then."""

    campaign_id: int | None
    run_id: int | None
    first_id: UUID


@dataclass(frozen=True, slots=True)
class _Account:
    """An account as planning sees it: a model instance would cost more than the look."""

    id: int
    enforced: bool
    opened_at: dt.datetime
    available: int


def reserve(texts: Iterable[NewText]) -> None:
    """Reserve what new texts may cost. Part of the transaction that adds them to the log.

    Raises Short, which undoes that transaction, where the workspace's credits do not suffice.
    """
    charged = [text for text in texts if text.segments and text.purpose in CHARGED]
    for account, brands in _metered({text.brand_id for text in charged}).items():
        wanted: dict[tuple[int | None, int | None, int], int] = defaultdict(int)
        for text in charged:
            if text.brand_id in brands and text.state == State.PLANNED:
                first = text.id.int >> 80 << 80 if text.campaign_id else text.id.int
                wanted[text.campaign_id, text.run_id, first] += text.segments
        causes = {
            _Cause(campaign_id, run_id, UUID(int=first)): amount
            for (campaign_id, run_id, first), amount in wanted.items()
        }
        counted = {
            cause: amount
            for cause, amount in causes.items()
            if moment_of(cause.first_id) >= account.opened_at
        }
        missing = sum(counted.values()) - account.available
        if account.enforced and counted and missing > 0:
            raise Short(missing)
        for cause, amount in counted.items():
            _post(account.id, cause, reserved=amount)


def _metered(brand_ids: Collection[int]) -> dict[_Account, set[int]]:
    """The accounts that these brands' texts are charged to, locked, in one order."""
    found: dict[_Account, set[int]] = defaultdict(set)
    if brand_ids:
        for brand_id, *account in _rows(_METERED, [list(brand_ids)]):
            found[_Account(*account)].add(brand_id)
    return found


def _first_id(identity: UUID) -> UUID:
    return UUID(int=identity.int >> 80 << 80)


def settle_due(budget: float = BUDGET_SECONDS) -> int:
    """Post what became of reserved texts (the ticker's job); answers how many causes were settled."""
    until, settled = time.monotonic() + budget, 0
    due = CreditHold.objects.filter(due_at__lte=clock.now()).order_by("due_at")
    for pk in due.values_list("pk", flat=True)[:1000]:
        settle(pk)
        settled += 1
        if time.monotonic() > until:
            break
    return settled


@transaction.atomic
def settle(hold_id: int) -> str:
    """Make the ledger say what a hold's texts say; '' or a sentence where it cannot.

    Repeating it posts nothing. A debit is never taken back: rows that are gone (their month is
    archived) say nothing about what they cost.
    """
    account_id = CreditHold.objects.values_list("account_id", flat=True).get(pk=hold_id)
    CreditAccount.objects.select_for_update(no_key=True).get(pk=account_id)
    # Locked before its texts are read: a `look_again` is either seen or comes after.
    hold = CreditHold.objects.select_for_update(no_key=True).get(pk=hold_id)
    rows = _rows_of(hold)
    debit = rows.went_out - hold.debited
    if debit < 0:
        CreditHold.objects.filter(pk=hold_id).update(due_at=None)
        log.error("credits_disagree", hold=hold_id, debited=hold.debited, by_rows=rows.went_out)
        return f"{hold}: {hold.debited:,} debited, but {rows.went_out:,} by its texts."
    more = rows.held - (hold.held - debit)
    if debit or more:
        cause = _Cause(hold.campaign_id, hold.run_id, hold.first_id)
        _post(account_id, cause, reserved=max(more, 0), debited=debit, released=max(-more, 0))
    else:
        CreditHold.objects.filter(pk=hold_id).update(due_at=_next_look(hold))
    return ""


def _next_look(hold: CreditHold) -> dt.datetime | None:
    """When nothing had changed: the longer that is so, the later."""
    now = clock.now()
    if hold.held:
        return now + min(max((now - hold.changed_at) / 2, SOON), RARELY)
    return now + DAILY if moment_of(hold.first_id) > now - LOOK_BACK else None


def look_again(text_ids: Iterable[UUID]) -> None:
    """Settle what these texts belong to at the ticker's next turn: they were queued again by hand."""
    ids = list(text_ids)
    firsts = {*ids, *map(_first_id, ids)}
    CreditHold.objects.filter(first_id__in=firsts).update(due_at=clock.now())


@dataclass(frozen=True, slots=True)
class _Rows:
    """Segments of a hold's texts."""

    held: int
    went_out: int


def _rows_of(hold: CreditHold) -> _Rows:
    with connection.cursor() as cursor:
        cursor.execute(
            _ROWS,
            {
                "held": [str(state) for state in HELD],
                "went_out": [str(state) for state in WENT_OUT],
                "doubtful_since": clock.now() - UNKNOWN_FOR,
                "first": hold.first_id,
                "end": UUID(int=hold.first_id.int + (MILLISECOND_IDS if hold.campaign_id else 1)),
                "campaign": hold.campaign_id,
                "run": hold.run_id,
                "charged": [str(purpose) for purpose in CHARGED],
            },
        )
        return _Rows(*cursor.fetchone())


def _post(
    account_id: int, cause: _Cause, *, reserved: int = 0, debited: int = 0, released: int = 0
) -> None:
    """Add entries and move the sums with them. The caller holds the account's lock."""
    moves = {Kind.RESERVE: reserved, Kind.DEBIT: debited, Kind.RELEASE: released}
    posted = {kind: amount for kind, amount in moves.items() if amount}
    with connection.cursor() as cursor:
        cursor.execute(
            _POST,
            {
                "account": account_id,
                "campaign": cause.campaign_id,
                "run": cause.run_id,
                "first": cause.first_id,
                "reserved": reserved,
                "debited": debited,
                "released": released,
                "kinds": arrays.literal(posted),
                "amounts": arrays.literal(posted.values()),
                "count": len(posted),
                "soon": SOON,
            },
        )


@transaction.atomic
def grant(
    workspace: Workspace, amount: int, *, note: str, actor: str, reference: str
) -> CreditEntry:
    """Give credits, or correct the account where `amount` is negative; opens it where there is none.

    The same `reference` again changes nothing and answers the first entry.
    """
    CreditAccount.objects.get_or_create(workspace=workspace)
    account = CreditAccount.objects.select_for_update(no_key=True).get(workspace=workspace)
    entry, new = CreditEntry.objects.get_or_create(
        reference=reference,
        defaults={
            "workspace": workspace,
            "kind": Kind.GRANT if amount > 0 else Kind.ADJUST,
            "amount": amount,
            "note": note,
            "actor": actor,
        },
    )
    if new:
        CreditAccount.objects.filter(pk=account.pk).update(granted=F("granted") + amount)
        log.info("credits_granted", workspace=workspace.pk, amount=amount, actor=actor)
    return entry


def audit(workspace: Workspace) -> list[str]:
    """Each difference between a workspace's account, its ledger and its texts. Changes nothing.

    Texts that moved since the last `settle_due` are differences too.
    """
    with transaction.atomic():
        account = (
            CreditAccount.objects.select_for_update(no_key=True).filter(workspace=workspace).first()
        )
        if account is None:
            return []
        return [*_sums_differ(account), *_texts_differ(account)]


def differences() -> list[str]:
    """Settle everything, then say what still does not add up, in every workspace."""
    found = []
    for account in CreditAccount.objects.select_related("workspace").order_by("pk"):
        live = CreditHold.objects.filter(account=account, due_at__isnull=False)
        told = [settle(pk) for pk in live.values_list("pk", flat=True)]
        with transaction.atomic():
            CreditAccount.objects.select_for_update(no_key=True).get(pk=account.pk)
            account.refresh_from_db()
            told += [*_sums_differ(account), *_runs_without_hold(account)]
        found += [f"{account.workspace}: {sentence}" for sentence in told if sentence]
    return found


def _sums_differ(account: CreditAccount) -> Iterator[str]:
    """The account and each hold against the ledger's entries."""
    entries = CreditEntry.objects.filter(workspace=account.workspace_id)
    by_kind: dict[str, int] = dict(entries.values_list("kind").annotate(Sum("amount")).order_by())
    total = {kind: by_kind.get(kind, 0) for kind in Kind}
    said = {
        "granted": total[Kind.GRANT] + total[Kind.ADJUST],
        "reserved": total[Kind.RESERVE] - total[Kind.DEBIT] - total[Kind.RELEASE],
        "spent": total[Kind.DEBIT],
    }
    for name, amount in said.items():
        if getattr(account, name) != amount:
            yield f"{name} is {getattr(account, name):,}, the ledger says {amount:,}."
    for hold_id, *sums in _rows(_HOLDS_THAT_DIFFER, [account.pk]):
        yield f"hold {hold_id} differs from its entries: {sums}."


def _texts_differ(account: CreditAccount) -> Iterator[str]:
    """Each hold that texts may still change, against its texts."""
    for hold in CreditHold.objects.filter(account=account, due_at__isnull=False).order_by("pk"):
        rows = _rows_of(hold)
        if hold.held != rows.held:
            yield f"{hold}: {hold.held:,} held, but {rows.held:,} by its texts."
        if hold.debited != rows.went_out:
            yield f"{hold}: {hold.debited:,} debited, but {rows.went_out:,} by its texts."
    yield from _runs_without_hold(account)


def _runs_without_hold(account: CreditAccount) -> Iterator[str]:
    """Runs of the last days that should have reserved something and have not."""
    since = max(account.opened_at, clock.now() - LOOK_BACK)
    runs = Run.objects.filter(brand__workspace=account.workspace_id, started_at__gte=since)
    held = CreditHold.objects.filter(account=account, run__isnull=False)
    for run in runs.exclude(pk__in=held.values("run_id")).order_by("pk"):
        rows = _rows_of(
            CreditHold(
                run_id=run.pk, campaign_id=run.campaign_id, first_id=lower_bound(run.started_at)
            )
        )
        if rows.held or rows.went_out:
            yield f"run {run.pk}: its texts cost {rows.held + rows.went_out:,}, nothing is reserved."


def _rows(statement: str, values: list[object]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchall()


# Bounds given as values: only a constant prunes the partitions while planning.
_ROWS = """
    SELECT coalesce(sum(segments) FILTER (
               WHERE state = ANY(%(held)s)
                  OR state = 'unknown' AND coalesce(sent_at, now()) > %(doubtful_since)s), 0),
           coalesce(sum(segments) FILTER (WHERE state = ANY(%(went_out)s)), 0)
    FROM sending_sentlog
    WHERE id >= %(first)s AND id < %(end)s AND campaign_id IS NOT DISTINCT FROM %(campaign)s::bigint
      AND run_id IS NOT DISTINCT FROM %(run)s::bigint AND purpose = ANY(%(charged)s)"""

_METERED = """
    SELECT brand.id, account.id, account.enforced, account.opened_at,
           account.granted - account.reserved - account.spent
    FROM sending_creditaccount AS account
    JOIN subscribers_brand AS brand ON brand.workspace_id = account.workspace_id
    WHERE brand.id = ANY(%s) ORDER BY account.id, brand.id FOR NO KEY UPDATE OF account"""

_POST = """
    WITH hold AS (
        INSERT INTO sending_credithold AS known
            (account_id, campaign_id, run_id, first_id, reserved, debited, released, entries, due_at)
        VALUES (%(account)s, %(campaign)s, %(run)s, %(first)s, %(reserved)s, %(debited)s,
                %(released)s, %(count)s, clock_timestamp() + %(soon)s)
        ON CONFLICT (campaign_id, run_id, first_id) DO UPDATE
        SET reserved = known.reserved + EXCLUDED.reserved,
            debited = known.debited + EXCLUDED.debited,
            released = known.released + EXCLUDED.released,
            entries = known.entries + EXCLUDED.entries,
            changed_at = now(), due_at = EXCLUDED.due_at
        RETURNING id, entries - %(count)s AS before),
    account AS (
        UPDATE sending_creditaccount
        SET reserved = reserved + %(reserved)s - %(debited)s - %(released)s,
            spent = spent + %(debited)s
        WHERE id = %(account)s RETURNING workspace_id)
    INSERT INTO sending_creditentry (workspace_id, kind, amount, hold_id, reference)
    SELECT account.workspace_id, given.kind, given.amount, hold.id,
           format('hold:%%s:%%s', hold.id, hold.before + given.place)
    FROM account, hold, unnest(%(kinds)s::text[], %(amounts)s::bigint[])
        WITH ORDINALITY AS given(kind, amount, place)"""

_HOLDS_THAT_DIFFER = """
    SELECT hold.id, hold.reserved, hold.debited, hold.released
    FROM sending_credithold AS hold
    LEFT JOIN (SELECT hold_id, count(*) AS entries,
                   coalesce(sum(amount) FILTER (WHERE kind = 'reserve'), 0) AS reserved,
                   coalesce(sum(amount) FILTER (WHERE kind = 'debit'), 0) AS debited,
                   coalesce(sum(amount) FILTER (WHERE kind = 'release'), 0) AS released
               FROM sending_creditentry GROUP BY hold_id) AS said ON said.hold_id = hold.id
    WHERE hold.account_id = %s
      AND (hold.reserved, hold.debited, hold.released, hold.entries)
          IS DISTINCT FROM (said.reserved, said.debited, said.released, said.entries)
    ORDER BY hold.id"""
