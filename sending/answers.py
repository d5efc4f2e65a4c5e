"""Texts that answer a person: they have no run, their cause is the text that they answer."""

import datetime as dt
import unicodedata
from dataclasses import dataclass, replace
from uuid import UUID

import redis
import structlog
from django.db import transaction

from campaigns import content, policy
from campaigns.eligibility import REASON_TEXT, Action, Decision, Purpose, decide
from sending import facts, outcomes, queues
from sending.identity import identify
from sending.models import QueuedText, SentLog, State
from subscribers import clock, consent
from subscribers.models import Brand
from subscribers.secrets import phone_hash

log = structlog.get_logger("carillon.answers")

# A confirmation counts as part of the opt-out only within minutes (47 CFR 64.1200(a)(12)).
ANSWER_WITHIN = dt.timedelta(minutes=5)
# HELP is answered once in so long: two programs that answer each other must not go on for ever.
HELP_AGAIN_AFTER = dt.timedelta(minutes=5)

# A person answers within so long of their text, and it leaves within so long: what somebody wrote
# invites an answer, not texts for ever. The caps look no further back (`facts.LOOK_BACK`).
ANSWERABLE_FOR = dt.timedelta(hours=72)

OPTED_OUT = "{brand}: You are unsubscribed and will get no more texts. Reply START to return."
OPTED_OUT_OF_ALL = (
    "{brand}: You are unsubscribed from all brands of {workspace} and will get no more texts."
    " Reply START to return to {brand}."
)
OPTED_IN = (
    "{brand}: You are subscribed. Msg & data rates may apply. Reply HELP for help, STOP to stop."
)
HELP = "{brand}: Reply STOP to get no more texts. Msg & data rates may apply."


@dataclass(frozen=True, slots=True)
class To:
    """Whom an answer is for: a number of a brand (E.164), its subscriber where there is one, and
    the cause (the id of their text) and its moment."""

    brand: Brand
    phone: str
    subscriber_id: int | None
    cause: object
    at: dt.datetime


def confirm_opt_out(to: To, *, everywhere: bool) -> bool:
    """Queue the one confirmation of an opt-out: of the brand's texts, or the whole workspace's.

    Repeating it with the same cause adds nothing.
    """
    wording = OPTED_OUT_OF_ALL if everywhere else OPTED_OUT
    return _answer(to, wording, identify(to.at, "opt-out", to.brand.pk, to.cause))


def confirm_opt_in(to: To) -> bool:
    """Queue the confirmation of a START or YES. Repeating it with the same cause adds nothing."""
    return _answer(to, OPTED_IN, identify(to.at, "opt-in", to.brand.pk, to.cause))


def help_person(to: To) -> bool:
    """Queue the brand's help text, unless the number was helped minutes ago.

    Each answer's id names a span of time, and the spans before and after it stay free. Call it
    under the number's lock (`consent.lock_numbers`).
    """
    spans = int(to.at.timestamp() // HELP_AGAIN_AFTER.total_seconds())
    earlier, own = (_help_id(to, span) for span in (spans - 1, spans))
    if SentLog.objects.filter(pk=earlier).exists():
        return False
    return _answer(to, to.brand.help_text or HELP, own)


def _help_id(to: To, span: int) -> UUID:
    start = dt.datetime.fromtimestamp(span * HELP_AGAIN_AFTER.total_seconds(), dt.UTC)
    return identify(start, "help", to.brand.pk, phone_hash(to.brand.workspace_id, to.phone).hex())


class Refused(Exception):
    """This person must not be answered, now or at all. The text is a sentence."""


@dataclass(frozen=True, slots=True)
class Planned:
    """An answer that will leave: the text's id, when at the earliest (in real time, whatever the
    brand's clock), whether that is later than now, and whether it is new."""

    id: UUID
    leaves_at: dt.datetime
    later: bool
    new: bool


@transaction.atomic
def answer(to: To, body: str, *, key: str) -> Planned:
    """Queue what a person at the brand answers to a text (`to.cause`, written at `to.at`).

    The same cause and `key` again add nothing and answer the first text. The person is locked: no
    opt-out commits in between, and the gate decides again. Raises Refused where the rules of
    `Purpose.ANSWER` or the words forbid it, credits.Short.
    """
    if to.subscriber_id is not None:
        consent.lock_people([to.subscriber_id])
    text_id = identify(to.at, "answer", to.brand.pk, to.cause, key)
    words = _sendable(body)
    now = clock.now()
    first = SentLog.objects.filter(pk=text_id).first()
    if first is not None:
        if first.body and first.body != words:
            raise Refused("This request sent another answer before: ask for this one by a new key.")
        queued = QueuedText.objects.filter(pk=text_id, due_at__lt=queues.PARKED).first()
        due = max(queued.due_at, now) if queued else now
        return Planned(text_id, due, later=due > now, new=False)
    due = leaves_at(to, now=now)
    until = to.at + ANSWERABLE_FOR
    new = outcomes.plan([_text(to, words, text_id, Purpose.ANSWER, expires_at=until, due_at=due)])
    transaction.on_commit(lambda: ring_softly(to.brand.pk))
    return Planned(text_id, due, later=due > now, new=bool(new))


def leaves_at(to: To, *, now: dt.datetime) -> dt.datetime:
    """When an answer that is given now leaves at the earliest, in real time. Raises Refused."""
    if to.subscriber_id is None:
        raise Refused("Nobody is known with this number: only subscribers can be answered.")
    last = to.at + ANSWERABLE_FOR
    if now >= last:
        raise Refused("It was written more than 3 days ago: too long ago to answer by text.")
    decision = _decide(to, to.subscriber_id, now)
    due = decision.until - to.brand.clock_shift if decision.until else now
    _refuse(decision, due, last)
    return due


def _sendable(body: str) -> str:
    words = body.replace("\r\n", "\n").replace("\t", " ").strip()
    if not words:
        raise Refused("Write what the person shall read.")
    if len(words) > content.LONGEST_BODY:
        raise Refused(f"An answer has at most {content.LONGEST_BODY:,} characters.")
    if any(unicodedata.category(char) in ("Cc", "Cs") for char in words.replace("\n", "")):
        raise Refused("The answer holds a character that no text can carry.")
    return words


def _decide(to: To, subscriber_id: int, now: dt.datetime) -> Decision:
    """The decision as the gate takes it. The installation's daily total is the gate's alone."""
    shift = to.brand.clock_shift
    rules = policy.build(
        to.brand, None, platform_remaining=1, today=now.date(), purpose=Purpose.ANSWER
    )
    person = facts.gather(to.brand, [subscriber_id], now=now).get(subscriber_id)
    if person is None or person.phone != to.phone:
        raise Refused("This person has another number by now.")
    return decide(replace(person.facts, wrote_at=to.at + shift), rules, now + shift)


def _refuse(decision: Decision, due: dt.datetime, last: dt.datetime) -> None:
    why = REASON_TEXT[decision.reason]
    if decision.action is Action.SKIP or (
        decision.action is Action.DEFER and decision.until is None
    ):
        raise Refused(f"This person cannot be answered: {why[0].lower()}{why[1:]}.")
    if due >= last:
        raise Refused(f"It could not leave within 3 days of their text: {why[0].lower()}{why[1:]}.")


def _answer(to: To, wording: str, text_id: UUID) -> bool:
    names = {"{brand}": to.brand.name, "{workspace}": to.brand.workspace.name}
    body = wording
    for name, value in names.items():  # no format(): a brand's own text may hold any brace
        body = body.replace(name, value)
    until = to.at + ANSWER_WITHIN
    text = _text(to, body, text_id, Purpose.CONFIRMATION, expires_at=until, due_at=to.at)
    new = outcomes.plan([text])
    transaction.on_commit(lambda: ring_softly(to.brand.pk))
    return bool(new)


def _text(
    to: To,
    body: str,
    text_id: UUID,
    purpose: Purpose,
    *,
    expires_at: dt.datetime,
    due_at: dt.datetime,
) -> outcomes.NewText:
    return outcomes.NewText(
        id=text_id,
        brand_id=to.brand.pk,
        campaign_id=None,
        run_id=None,
        message_id=None,
        subscriber_id=to.subscriber_id,
        purpose=purpose,
        phone=to.phone,
        body=body,
        segments=content.measure(body).segments,
        state=State.PLANNED,
        reason="",
        expires_at=expires_at,
        lane=QueuedText.Lane.HIGH,
        due_at=due_at,
    )


def ring_softly(brand_id: int) -> None:
    """Ring at once where Valkey answers; else the ticker rings once it is back."""
    try:
        queues.ring(brand_id)
    except redis.RedisError:
        log.warning("valkey_away", brand=brand_id)
