"""Texts that answer a person: they have no run, their cause is the text that they answer."""

import datetime as dt

import redis
import structlog
from django.db import transaction

from campaigns import content
from campaigns.eligibility import Purpose
from sending import outcomes, queues
from sending.identity import identify
from sending.models import QueuedText, State
from subscribers.models import Brand

log = structlog.get_logger("carillon.answers")

# A confirmation counts as part of the opt-out only within minutes (47 CFR 64.1200(a)(12)).
CONFIRM_WITHIN = dt.timedelta(minutes=5)
CONFIRMATION = "{brand}: You are unsubscribed and will get no more texts. Reply START to return."


def confirm_opt_out(
    brand: Brand, phone: str, *, subscriber_id: int | None, cause: object, at: dt.datetime
) -> bool:
    """Queue the one confirmation of an opt-out. `cause` names the text that said it.

    Repeating it with the same cause adds nothing. `phone` is E.164, `at` the moment of the cause.
    """
    body = CONFIRMATION.format(brand=brand.name)
    text = outcomes.NewText(
        id=identify(at, "opt-out", brand.pk, cause),
        brand_id=brand.pk,
        campaign_id=None,
        run_id=None,
        message_id=None,
        subscriber_id=subscriber_id,
        purpose=Purpose.CONFIRMATION,
        phone=phone,
        body=body,
        segments=content.measure(body).segments,
        state=State.PLANNED,
        reason="",
        expires_at=at + CONFIRM_WITHIN,
        lane=QueuedText.Lane.HIGH,
        due_at=at,
    )
    new = outcomes.plan([text])
    transaction.on_commit(lambda: ring_softly(brand.pk))
    return bool(new)


def ring_softly(brand_id: int) -> None:
    """Ring at once where Valkey answers; else the ticker rings once it is back."""
    try:
        queues.ring(brand_id)
    except redis.RedisError:
        log.warning("valkey_away", brand=brand_id)
