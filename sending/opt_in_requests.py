"""The text that asks for the YES of a double opt-in: one for each request that consent recorded."""

import datetime as dt

import structlog
from django.db import transaction

from campaigns import content
from campaigns.eligibility import Purpose
from sending import outcomes
from sending.answers import ring_softly
from sending.identity import identify
from sending.models import QueuedText, State
from subscribers import clock, consent, double_opt_in
from subscribers.models import Brand, OptInRequest

log = structlog.get_logger("carillon.opt_in_requests")

BATCH = 500
# It may have to wait for a morning, over a Sunday without hours too.
LIFETIME = dt.timedelta(hours=48)
REQUEST = (
    "Reply YES to get texts from {brand}. Msg & data rates may apply."
    " Reply HELP for help, STOP to stop."
)


def ask_waiting() -> int:
    """Plan the texts of requests that wait for theirs (the ticker's job); answers how many.

    Each text is planned with the mark that it was: a lost or repeated tick asks nobody twice.
    """
    requests = double_opt_in.waiting(BATCH)
    if not requests:
        return 0
    with transaction.atomic():
        consent.lock_people(request.subscriber_id for request in requests)
        open_ones = double_opt_in.take([request.pk for request in requests])
        now = clock.now()
        asked = [request for request in requests if request.pk in open_ones]
        outcomes.plan([_text(request, now) for request in asked if request.expires_at > now])
        double_opt_in.mark_asked(open_ones, now)
    for brand_id in {request.brand_id for request in asked}:
        ring_softly(brand_id)
    log.info("opt_ins_asked", count=len(asked))
    return len(asked)


def body_for(brand: Brand) -> str:
    """What the person reads."""
    return REQUEST.replace("{brand}", brand.name)


def _text(request: OptInRequest, now: dt.datetime) -> outcomes.NewText:
    body = body_for(request.brand)
    return outcomes.NewText(
        id=identify(now, "opt-in-request", request.pk, request.times),
        brand_id=request.brand_id,
        campaign_id=None,
        run_id=None,
        message_id=None,
        subscriber_id=request.subscriber_id,
        purpose=Purpose.OPT_IN,
        phone=request.subscriber.phone,
        body=body,
        segments=content.measure(body).segments,
        state=State.PLANNED,
        reason="",
        expires_at=min(request.expires_at, now + LIFETIME),
        lane=QueuedText.Lane.HIGH,
        due_at=now,
    )
