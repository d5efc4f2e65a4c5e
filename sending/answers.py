"""Texts that answer a person: they have no run, their cause is the text that they answer."""

import datetime as dt
from dataclasses import dataclass
from uuid import UUID

import redis
import structlog
from django.db import transaction

from campaigns import content
from campaigns.eligibility import Purpose
from sending import outcomes, queues
from sending.identity import identify
from sending.models import QueuedText, SentLog, State
from subscribers.models import Brand
from subscribers.secrets import phone_hash

log = structlog.get_logger("carillon.answers")

# A confirmation counts as part of the opt-out only within minutes (47 CFR 64.1200(a)(12)).
ANSWER_WITHIN = dt.timedelta(minutes=5)
# HELP is answered once in so long: two programs that answer each other must not go on for ever.
HELP_AGAIN_AFTER = dt.timedelta(minutes=5)

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


def _answer(to: To, wording: str, text_id: UUID) -> bool:
    names = {"{brand}": to.brand.name, "{workspace}": to.brand.workspace.name}
    body = wording
    for name, value in names.items():  # no format(): a brand's own text may hold any brace
        body = body.replace(name, value)
    text = outcomes.NewText(
        id=text_id,
        brand_id=to.brand.pk,
        campaign_id=None,
        run_id=None,
        message_id=None,
        subscriber_id=to.subscriber_id,
        purpose=Purpose.CONFIRMATION,
        phone=to.phone,
        body=body,
        segments=content.measure(body).segments,
        state=State.PLANNED,
        reason="",
        expires_at=to.at + ANSWER_WITHIN,
        lane=QueuedText.Lane.HIGH,
        due_at=to.at,
    )
    new = outcomes.plan([text])
    transaction.on_commit(lambda: ring_softly(to.brand.pk))
    return bool(new)


def ring_softly(brand_id: int) -> None:
    """Ring at once where Valkey answers; else the ticker rings once it is back."""
    try:
        queues.ring(brand_id)
    except redis.RedisError:
        log.warning("valkey_away", brand=brand_id)
