"""Do the books balance? The log against itself, and against the carrier's own log."""

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from campaigns.models import Run
from sending.models import QueuedText, SentLog, State

# The carrier has accepted a text in one of these.
AT_THE_CARRIER = {State.ACCEPTED, State.SENT, State.DELIVERED, State.UNDELIVERED}
IN_DOUBT = {State.UNKNOWN, State.SENDING}


@dataclass(slots=True)
class Books:
    """The comparison; it balances when `differences` is empty."""

    accepted: int = 0  # lines of the carrier's log
    twice: int = 0
    differences: list[str] = field(default_factory=list)


def audit(carrier_log: Path) -> Books:
    """Compare every text of the log with every line of the carrier's."""
    books = Books()
    lines = [json.loads(line) for line in carrier_log.read_text().splitlines()]
    books.accepted = len(lines)
    _compare_with_carrier(books, lines)
    _compare_with_runs(books)
    return books


def _compare_with_carrier(books: Books, lines: list[dict[str, str]]) -> None:
    texts = {
        str(pk): (state, phone, body, provider_id)
        for pk, state, phone, body, provider_id in SentLog.objects.values_list(
            "id", "state", "phone", "body", "provider_message_id"
        ).iterator()
    }
    by_provider_id = {row[3]: pk for pk, row in texts.items() if row[3]}
    accepted: Counter[str] = Counter()
    strangers = []
    for line in lines:
        pk = line.get("reference") or by_provider_id.get(line["provider_id"])
        if pk in texts:
            accepted[pk] += 1
        else:
            strangers.append(line)
    _match_by_words(accepted, strangers, texts)
    books.twice = sum(count - 1 for count in accepted.values() if count > 1)
    if books.twice:
        books.differences.append(f"{books.twice} texts were accepted more than once")
    if strangers:
        books.differences.append(f"{len(strangers)} texts at the carrier are in no log of ours")
    lost = sum(1 for pk, row in texts.items() if row[0] in AT_THE_CARRIER and not accepted[pk])
    if lost:
        books.differences.append(f"{lost} texts that we call accepted never reached the carrier")
    hidden = sum(
        1 for pk in accepted if accepted[pk] and texts[pk][0] not in AT_THE_CARRIER | IN_DOUBT
    )
    if hidden:
        books.differences.append(f"{hidden} texts at the carrier are not called sent here")


def _match_by_words(
    accepted: Counter[str],
    strangers: list[dict[str, str]],
    texts: dict[str, tuple[str, str, str, str]],
) -> None:
    """An answer that was lost left no provider id: then number and words must be those of exactly
    one text in doubt that nothing else accounts for."""
    doubtful: dict[tuple[str, str], list[str]] = {}
    for pk, (state, phone, body, _) in texts.items():
        if state in IN_DOUBT and not accepted[pk]:
            doubtful.setdefault((phone, body), []).append(pk)
    for line in strangers[:]:
        candidates = doubtful.get((line["to"], line["body"]), [])
        if candidates:
            accepted[candidates.pop()] += 1
            strangers.remove(line)


def _compare_with_runs(books: Books) -> None:
    """Planned = the sum of the states, run by run; what waits is in the queue, nothing else is."""
    counted = Counter(SentLog.objects.exclude(run=None).values_list("run_id", flat=True))
    for run in Run.objects.all():
        if counted[run.pk] != run.audience:
            books.differences.append(
                f"run {run.pk} planned {run.audience} people but has {counted[run.pk]} texts"
            )
    planned = set(SentLog.objects.filter(state=State.PLANNED).values_list("id", flat=True))
    queued = set(QueuedText.objects.values_list("id", flat=True))
    if planned != queued:
        books.differences.append(
            f"{len(planned - queued)} planned texts are not in the queue,"
            f" {len(queued - planned)} in the queue are not planned"
        )
