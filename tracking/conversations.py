"""A person and a brand: what both wrote, in the order of time, and the answers that people give.

The only writer of answers and of what still needs one.
"""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

import structlog
from django.db import transaction
from django.db.models import QuerySet

from campaigns import references
from sending import answers, funnel
from sending.answers import Planned, Refused
from sending.identity import lower_bound, moment_of
from sending.models import SentLog, State
from subscribers import clock
from subscribers.models import Brand, Subscriber
from tracking.models import GivenAnswer, Reply

log = structlog.get_logger("carillon.conversations")

PAGE = 50

COLOURS: dict[str, str] = {
    State.DELIVERED: "good",
    State.FAILED: "bad",
    State.UNDELIVERED: "bad",
    State.SKIPPED: "bad",
    State.EXPIRED: "bad",
    State.CANCELLED: "bad",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One text: theirs, or ours with its state in words, who answered and what colour it has."""

    at: dt.datetime
    theirs: bool
    body: str
    state: str = ""
    colour: str = ""
    by: str = ""


@dataclass(frozen=True, slots=True)
class Conversation:
    """A page of it, the oldest line first. `earlier`: ask for what was before; None: that is all."""

    lines: list[Line]
    earlier: dt.datetime | None


def of(brand: Brand, person: Subscriber, *, before: dt.datetime | None = None) -> Conversation:
    """The latest page of what a person and a brand wrote, or the one before an instant.

    Pages are cut by when a text was planned, in whole milliseconds; on a page, lines stand as they
    were sent. Three queries, however long it is.
    """
    texts = SentLog.objects.filter(subscriber=person, brand=brand)
    replies = Reply.objects.filter(subscriber=person, brand=brand)
    if before is not None:
        texts = texts.filter(id__lt=lower_bound(before))
        replies = replies.filter(received_at__lt=before)
    ours = [(moment_of(one.id), one) for one in texts.order_by("-id")[: PAGE + 1]]
    theirs = [
        (_milliseconds(one.received_at), one)
        for one in replies.order_by("-received_at", "-pk")[: PAGE + 1]
    ]
    merged: list[tuple[dt.datetime, SentLog | Reply]] = [*ours, *theirs]
    merged.sort(key=lambda one: one[0], reverse=True)
    shown, earlier = _cut(merged)
    lines = sorted(_lines([row for _, row in shown]), key=lambda line: line.at)
    return Conversation(lines, earlier)


def _milliseconds(moment: dt.datetime) -> dt.datetime:
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def _cut[Row](
    merged: list[tuple[dt.datetime, Row]],
) -> tuple[list[tuple[dt.datetime, Row]], dt.datetime | None]:
    """A page, and where the next begins: texts of one millisecond stay together."""
    if len(merged) <= PAGE:
        return merged, None
    oldest = merged[PAGE - 1][0]
    page = [one for one in merged if one[0] >= oldest]
    return page, oldest if len(page) < len(merged) else None


def _lines(rows: list[SentLog | Reply]) -> Iterator[Line]:
    texts = [row.id for row in rows if isinstance(row, SentLog)]
    given = {one.text_id: one for one in GivenAnswer.objects.filter(text_id__in=texts)}
    for row in rows:
        if isinstance(row, Reply):
            yield Line(row.received_at, theirs=True, body=row.body)
            continue
        answer = given.get(row.id)
        # A confirmation's id begins with a span of time, not with its own moment.
        planned = answer.answered_at if answer else moment_of(row.id)
        if row.run_id is None and answer is None:
            planned = row.changed_at
        words = str(State(row.state).label)
        if row.reason and row.state != State.DELIVERED:
            words = f"{words}: {funnel.words(row.reason)}"
        yield Line(
            row.sent_at or planned,
            theirs=False,
            body=row.body or "(no words were kept)",
            state=words,
            colour=COLOURS.get(row.state, ""),
            by=answer.answered_by if answer else "",
        )


def latest_reply(brand: Brand, person: Subscriber) -> Reply | None:
    """What an answer on a conversation's page answers."""
    replies = Reply.objects.filter(subscriber=person, brand=brand).select_related(
        "brand__workspace"
    )
    return replies.order_by("-received_at", "-pk").first()


@transaction.atomic
def answer(reply: Reply, body: str, *, key: str, by: str, reference: str = "") -> Planned:
    """Answer a reply by text; what the person wrote before needs no answer any more.

    The same `key` again sends nothing again; what an integrator calls this send (`reference`) is
    used up by it. `by`: who answers. Raises references.Used, answers.Refused, credits.Short.
    """
    taken = references.take(reply.brand_id, reference, references.Use.ANSWER, reply.pk)
    planned = answers.answer(recipient(reply), body, key=key)
    references.covers(taken, [planned.id])
    _, new = GivenAnswer.objects.get_or_create(
        reply=reply, key=key, defaults={"text_id": planned.id, "answered_by": by}
    )
    if new:
        # Those after it may ask something else.
        needs_no_answer(
            Reply.objects.filter(
                brand=reply.brand_id,
                subscriber=reply.subscriber_id,
                received_at__lte=reply.received_at,
            )
        )
        log.info("answered", reply=reply.pk, brand=reply.brand.slug, by=by)
    return planned


def why_not(reply: Reply) -> str:
    """Why a reply cannot be answered now, as a sentence; '' where it can."""
    try:
        answers.leaves_at(recipient(reply), now=clock.now())
    except Refused as refused:
        return str(refused)
    return ""


def recipient(reply: Reply) -> answers.To:
    """Whom an answer to a reply is for. Raises answers.Refused where nobody knows the number."""
    if not reply.phone:
        raise Refused("This person was erased: nobody knows the number any more.")
    return answers.To(
        reply.brand,
        reply.phone,
        subscriber_id=reply.subscriber_id,
        cause=reply.pk,
        at=reply.received_at,
    )


def needs_no_answer(replies: QuerySet[Reply]) -> int:
    """These replies leave the list of what is to be answered; answers how many left it."""
    return replies.filter(answered_at=None).update(answered_at=clock.now())


def needs_an_answer(reply: Reply) -> None:
    """It is no opt-out after all: somebody may want to answer it."""
    Reply.objects.filter(pk=reply.pk).exclude(answers__isnull=False).update(answered_at=None)
