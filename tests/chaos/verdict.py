"""The four conditions of a fault test, from the carrier's own ledger and from our rows."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from sending import books, credits
from sending.models import CreditHold, Departure, QueuedText, SentLog, State
from subscribers.models import Brand

AT_THE_CARRIER = {State.ACCEPTED, State.SENT, State.DELIVERED, State.UNDELIVERED}
OPEN = {State.PLANNED, State.SENDING}


@dataclass(slots=True)
class Verdict:
    """What a scenario left behind. `wrong` names each broken promise; it must be empty."""

    name: str
    seed: int
    texts: int = 0  # people times campaigns: what had to be planned
    kills: int = 0  # processes, servers and wires that were killed, stopped or cut
    twice: int = 0
    lost: int = 0
    unknown: int = 0
    in_doubt: int = 0  # texts in flight at the crashes: the most that may be unknown
    after_stop: int = 0
    seconds: float = 0.0
    wrong: str = ""

    def line(self) -> str:
        """One line for a person."""
        figures = {
            key: value for key, value in asdict(self).items() if key not in ("name", "wrong")
        }
        told = " ".join(f"{key}={value}" for key, value in figures.items())
        return f"{self.name}: {told}{' WRONG: ' + self.wrong if self.wrong else ''}"


@dataclass(frozen=True, slots=True)
class _Row:
    """A text of ours."""

    id: UUID
    state: str
    words: tuple[str, str]  # number and body: nobody is sent the same words twice
    subscriber_id: int
    sent_at: dt.datetime | None
    told: bool  # an unknown text says why


def judge(
    verdict: Verdict,
    *,
    brands: Sequence[Brand],
    ledger: Sequence[Mapping[str, Any]],
    stopped: Mapping[int, dt.datetime],
    in_doubt: Collection[UUID],
) -> None:
    """Fill the figures in and name what is wrong.

    `stopped`: when the STOP of a subscriber had committed. `in_doubt`: what was in flight at the
    crashes. `verdict.texts` is given.
    """
    ids = [brand.pk for brand in brands]
    rows = [
        _Row(pk, state, (phone, body), person, sent_at, bool(reason or code))
        for pk, state, phone, body, person, sent_at, reason, code in SentLog.objects.filter(
            brand_id__in=ids
        ).values_list(
            "id", "state", "phone", "body", "subscriber_id", "sent_at", "reason", "error_code"
        )
    ]
    ours = {row.words[0] for row in rows}
    accepted = Counter((line["to"], line["body"]) for line in ledger if line["to"] in ours)
    known = {row.words for row in rows if row.state in AT_THE_CARRIER}
    doubtful = {row.words for row in rows if row.state == State.UNKNOWN}

    verdict.twice = sum(count - 1 for count in accepted.values())
    verdict.unknown = sum(row.state == State.UNKNOWN for row in rows)
    verdict.in_doubt = len(in_doubt)
    surprising = sum(row.state == State.UNKNOWN and row.id not in in_doubt for row in rows)
    verdict.after_stop = sum(
        row.sent_at is not None and row.subscriber_id in stopped
        and row.sent_at > stopped[row.subscriber_id]
        for row in rows
    )  # fmt: skip
    missing = verdict.texts - len(rows)
    unfinished = sum(row.state in OPEN for row in rows)
    vanished = len(known - accepted.keys())
    verdict.lost = abs(missing) + unfinished + vanished
    _complain(
        verdict,
        {
            "twice": verdict.twice,
            "never planned": max(0, missing),
            "planned too often": max(0, -missing),
            "not in a final state": unfinished,
            "called accepted, unknown to the carrier": vanished,
            "accepted by the carrier, not called sent": len(accepted.keys() - known - doubtful),
            "unknown without a reason": sum(
                row.state == State.UNKNOWN and not row.told for row in rows
            ),
            "unknown that were in flight at no crash": surprising,
            "sent after their STOP": verdict.after_stop,
            "left in the queue": QueuedText.objects.filter(brand_id__in=ids).count(),
            "departures left": Departure.objects.filter(brand_id__in=ids).count(),
        },
    )


def _complain(verdict: Verdict, counts: Mapping[str, int]) -> None:
    verdict.wrong = ", ".join(f"{count} {what}" for what, count in counts.items() if count)


def balance(verdict: Verdict, brands: Sequence[Brand]) -> None:
    """The installation's own books, and its credits: `audit_ledger` for these brands alone."""
    differences = []
    for brand in brands:
        differences += books.audit(books.Scope(brand=brand)).differences
        holds = CreditHold.objects.filter(account__workspace=brand.workspace_id)
        for hold in holds.filter(due_at__isnull=False):
            differences += [told for told in [credits.settle(hold.pk)] if told]
        differences += credits.audit(brand.workspace)
    if differences:
        verdict.wrong = "; ".join([part for part in (verdict.wrong, *differences) if part])
