"""Texts from people: kept once, matched to person and campaign, and obeyed when they say STOP."""

import datetime as dt

import structlog
from django.db import transaction

from sending import answers, outcomes
from sending.identity import identify, lower_bound
from sending.models import MAY_HAVE_ARRIVED, Sender, SentLog
from subscribers import clock, consent, keywords, phones
from subscribers.keywords import Meaning
from subscribers.models import ConsentSource, Subscriber
from tracking.models import Reply, TrackingEvent
from tracking.webhooks.base import Inbound, UnreadableError

log = structlog.get_logger("carillon.replies")

# A reply belongs to the last text that the person got within this time.
ANSWERS_WITHIN = dt.timedelta(days=7)


@transaction.atomic
def receive(sender: Sender, told: Inbound) -> Reply | None:
    """Keep an inbound text and do what it asks; None where it was told before.

    An opt-out suppresses, cancels what is planned and is answered by one confirmation, all in
    this transaction. Raises UnreadableError where the number is none.
    """
    try:
        phone = phones.parse(told.phone).e164
    except phones.InvalidPhone:
        raise UnreadableError("The number that it comes from is not a phone number.") from None
    brand = sender.brand
    now = clock.now()
    subscriber = Subscriber.objects.filter(workspace=brand.workspace_id, phone=phone).first()
    text = _last_text(sender, subscriber, now)
    meaning = keywords.meaning(told.body)
    reply, new = Reply.objects.get_or_create(
        sender=sender,
        provider_id=told.provider_id[:64],
        defaults={
            "brand": brand,
            "subscriber": subscriber,
            "campaign_id": text and text.campaign_id,
            "text_id": text and text.id,
            "phone": phone,
            "body": told.body[:4000],
            "meaning": meaning if meaning in Reply.Meaning.values else Reply.Meaning.OTHER,
            "received_at": now,
        },
    )
    if not new:
        return None
    _track(reply)
    if meaning is Meaning.OPT_OUT:
        _opt_out(reply)
    elif meaning is Meaning.OPT_IN and subscriber:
        consent.opt_in(
            subscriber, brand, at=now, source=ConsentSource.KEYWORD, evidence=_evidence(reply)
        )
    return reply


def _opt_out(reply: Reply) -> None:
    brand = reply.brand
    # Locked before looking: two texts at once must not both be confirmed.
    if reply.subscriber_id:
        consent.lock_people([reply.subscriber_id])
    before = consent.is_suppressed(brand.workspace, reply.phone, brand)
    consent.opt_out(
        brand.workspace,
        reply.phone,
        brand=brand,
        at=reply.received_at,
        source=ConsentSource.KEYWORD,
        reason="opted out by text",
        evidence=_evidence(reply),
    )
    if reply.subscriber_id:
        outcomes.cancel_for_person(reply.subscriber_id, [brand.pk], "opted_out")
    if not before:
        answers.confirm_opt_out(
            brand,
            reply.phone,
            subscriber_id=reply.subscriber_id,
            cause=reply.pk,
            at=reply.received_at,
        )
    log.info("opted_out", brand=brand.slug, reply=reply.pk)


def _last_text(sender: Sender, subscriber: Subscriber | None, now: dt.datetime) -> SentLog | None:
    if subscriber is None:
        return None
    return (
        SentLog.objects.filter(
            subscriber=subscriber,
            id__gte=lower_bound(now - ANSWERS_WITHIN),
            brand_id=sender.brand_id,
            state__in=MAY_HAVE_ARRIVED,
        )
        .order_by("-id")
        .first()
    )


def _track(reply: Reply) -> None:
    TrackingEvent.objects.create(
        id=identify(reply.received_at, "reply", reply.pk),
        brand_id=reply.brand_id,
        subscriber_id=reply.subscriber_id,
        text_id=reply.text_id,
        kind=TrackingEvent.Kind.REPLY,
        name=reply.meaning,
    )


def _evidence(reply: Reply) -> dict[str, object]:
    return {"reply": reply.pk, "wording": reply.body[:200], "sender": reply.sender.address}
