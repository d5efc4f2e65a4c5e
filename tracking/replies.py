"""Texts from people: kept once, matched to person and campaign, and obeyed when they say STOP."""

import datetime as dt

import structlog
from django.db import transaction

from campaigns import keywords as keywords_of_campaigns
from sending import answers, outcomes
from sending.identity import identify, lower_bound
from sending.models import MAY_HAVE_ARRIVED, Sender, SentLog
from subscribers import clock, consent, consent_rules, free_wording, keywords, phones, upsert
from subscribers.keywords import Meaning
from subscribers.models import ConsentSource, Subscriber, Subscription
from subscribers.secrets import phone_hash
from tracking import conversations
from tracking.models import PossibleOptOut, Reply, TouchedPerson, TrackingEvent
from tracking.webhooks.base import Inbound, UnreadableError

log = structlog.get_logger("carillon.replies")

ANSWERED_BY_ITSELF = (Meaning.OPT_OUT, Meaning.OPT_IN, Meaning.HELP)
# A reply belongs to the campaign whose keyword it names, else to that of the last text that the
# person got within this time.
ANSWERS_WITHIN = dt.timedelta(days=7)


@transaction.atomic
def receive(sender: Sender, told: Inbound) -> Reply | None:
    """Keep an inbound text and do what it asks; None where it was told before.

    An opt-out suppresses, cancels what is planned and is answered by one confirmation, all in
    this transaction; so does one in free wording, which a person looks at afterwards. Raises UnreadableError where the number is none.
    """
    try:
        phone = phones.parse(told.phone).e164
    except phones.InvalidPhone:
        raise UnreadableError("The number that it comes from is not a phone number.") from None
    brand = sender.brand
    now = clock.now()
    subscriber = Subscriber.objects.filter(workspace=brand.workspace_id, phone=phone).first()
    # Locked before looking: of two texts at once the second must see what the first one did.
    if subscriber:
        consent.lock_people([subscriber.pk])
    consent.lock_numbers([phone_hash(brand.workspace_id, phone)])
    named = keywords_of_campaigns.named_by(brand, told.body)
    text = _last_text(sender, subscriber, now, campaign_id=named)
    meaning = keywords.meaning(told.body)
    reply, new = Reply.objects.get_or_create(
        sender=sender,
        provider_id=told.provider_id[:64],
        defaults={
            "brand": brand,
            "subscriber": subscriber,
            "campaign_id": named or (text and text.campaign_id),
            "text_id": text and text.id,
            "phone": phone,
            "body": told.body[:4000],
            "meaning": meaning if meaning in Reply.Meaning.values else Reply.Meaning.OTHER,
            "received_at": now,
            "answered_at": now if meaning in ANSWERED_BY_ITSELF else None,
        },
    )
    if not new:
        return None
    _track(reply)
    _obey(reply, meaning)
    return reply


def _obey(reply: Reply, meaning: Meaning) -> None:
    if meaning is Meaning.OPT_OUT:
        _opt_out(reply, ConsentSource.KEYWORD, "opted out by text")
    elif meaning is Meaning.OPT_IN:
        _opt_in(reply)
    elif meaning is Meaning.OPT_IN_PENDING_ONLY:
        _confirm(reply)
    elif meaning is Meaning.HELP:
        answers.help_person(conversations.recipient(reply))
    elif free_wording.asks_to_stop(reply.body):
        everywhere = _opt_out(reply, ConsentSource.FREE_TEXT, "opted out in own words")
        PossibleOptOut.objects.create(reply=reply, brand=reply.brand, everywhere=everywhere)
        conversations.needs_no_answer(Reply.objects.filter(pk=reply.pk))


def _opt_out(reply: Reply, source: str, reason: str) -> bool:
    """Suppress, cancel, confirm once; answers whether it counts for the whole workspace."""
    brand, workspace = reply.brand, reply.brand.workspace
    everywhere = consent_rules.stop_covers_workspace(workspace, reply.received_at)
    scope = None if everywhere else brand
    before = consent.is_suppressed(workspace, reply.phone, scope)
    consent.opt_out(
        workspace,
        reply.phone,
        brand=scope,
        at=reply.received_at,
        source=source,
        reason=reason,
        evidence=_evidence(reply),
    )
    if reply.subscriber_id:
        brands = workspace.brands.values_list("pk", flat=True) if everywhere else [brand.pk]
        outcomes.cancel_for_person(reply.subscriber_id, brands, "opted_out")
    if not before:
        answers.confirm_opt_out(conversations.recipient(reply), everywhere=everywhere)
    log.info("opted_out", brand=brand.slug, reply=reply.pk, by=source)
    return everywhere


def _opt_in(reply: Reply) -> None:
    """START: the person is back, or is somebody new; confirmed where that changed something."""
    brand = reply.brand
    person = reply.subscriber or upsert.upsert(
        brand.workspace, {"phone": reply.phone}, subscribe={}, evidence={}
    )
    consent.lock_people([person.pk])
    opt_in = consent.OptIn(person.pk, bytes(person.phone_hash), reply.received_at, _evidence(reply))
    was_in = Subscription.objects.filter(
        subscriber=person, brand=brand, status=Subscription.Status.OPTED_IN
    ).exists()
    barred = consent.is_suppressed(brand.workspace, reply.phone, brand)
    consent.opt_in_many(brand, [opt_in], source=ConsentSource.KEYWORD)
    now_barred = consent.is_suppressed(brand.workspace, reply.phone, brand)
    if not now_barred and (barred or not was_in):
        answers.confirm_opt_in(conversations.recipient(reply))


def _confirm(reply: Reply) -> None:
    """YES: counts only where it was asked for."""
    if reply.subscriber and consent.confirm(
        reply.subscriber, reply.brand, at=reply.received_at, evidence=_evidence(reply)
    ):
        answers.confirm_opt_in(conversations.recipient(reply))
        conversations.needs_no_answer(Reply.objects.filter(pk=reply.pk))


def _last_text(
    sender: Sender, subscriber: Subscriber | None, now: dt.datetime, *, campaign_id: int | None
) -> SentLog | None:
    """The last text that may have arrived lately, of the campaign where one is named."""
    if subscriber is None:
        return None
    texts = SentLog.objects.filter(
        subscriber=subscriber,
        id__gte=lower_bound(now - ANSWERS_WITHIN),
        brand_id=sender.brand_id,
        state__in=MAY_HAVE_ARRIVED,
    )
    if campaign_id is not None:
        texts = texts.filter(campaign_id=campaign_id)
    return texts.order_by("-id").first()


def _track(reply: Reply) -> None:
    TrackingEvent.objects.create(
        id=identify(reply.received_at, "reply", reply.pk),
        brand_id=reply.brand_id,
        subscriber_id=reply.subscriber_id,
        text_id=reply.text_id,
        kind=TrackingEvent.Kind.REPLY,
        name=reply.meaning,
    )
    if reply.subscriber_id:
        TouchedPerson.objects.create(subscriber_id=reply.subscriber_id)


def _evidence(reply: Reply) -> dict[str, object]:
    return {"reply": reply.pk, "wording": reply.body[:200], "sender": reply.sender.address}
