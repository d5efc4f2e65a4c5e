"""One subscriber, created or changed, as the API, the admin and imports see it."""

import datetime as dt
from collections.abc import Sequence
from typing import Any

from subscribers import clock, consent, phones, timezones
from subscribers.models import Brand, ConsentSource, Subscriber, Workspace

UnknownTimeZone = timezones.UnknownTimeZone


def upsert(
    workspace: Workspace,
    fields: dict[str, Any],
    *,
    subscribe: dict[Brand, bool],
    evidence: dict[str, Any],
    within: Sequence[Brand] | None = None,
) -> Subscriber:
    """Create or change the subscriber with `fields["phone"]`; only the given fields change.

    `status` OPTOUT opts out of the whole workspace, or of the brands in `within` where it is given
    (there may be none); ACTIVE opts nobody in again. `subscribe` opts in to or out of brands, but a person who
    opted out stays out. Call it in a transaction. Raises InvalidPhone, UnknownTimeZone.
    """
    fields = dict(fields)
    phone = phones.parse(fields.pop("phone"))
    status = fields.pop("status", None)
    subscriber, created = Subscriber.objects.get_or_create(
        workspace=workspace, phone=phone.e164, defaults={**fields, **derived(phone, fields)}
    )
    now = clock.now()
    if not created:
        subscriber = Subscriber.objects.select_for_update(no_key=True).get(pk=subscriber.pk)
        stored = ("timezone", "postcode", "traits")
        known = {name: getattr(subscriber, name) for name in stored} | fields
        for name, value in {**fields, **derived(phone, known), "updated_at": now}.items():
            setattr(subscriber, name, value)
        subscriber.save()
    if status == Subscriber.Status.OPTOUT:
        for left in [None] if within is None else within:
            consent.opt_out(
                workspace,
                phone.e164,
                brand=left,
                at=now,
                source=ConsentSource.API,
                reason="status OPTOUT through the API",
                evidence=evidence,
            )
    for brand, wanted in subscribe.items():
        _subscribe(subscriber, brand, wanted=wanted, at=now, evidence=evidence)
    subscriber.refresh_from_db()
    return subscriber


def _subscribe(
    subscriber: Subscriber, brand: Brand, *, wanted: bool, at: dt.datetime, evidence: dict[str, Any]
) -> None:
    if not wanted:
        if not subscriber.subscriptions.filter(brand=brand).exists():
            return  # never asked for: that is no opt-out, which would bar a later opt-in
        consent.opt_out(
            subscriber.workspace,
            subscriber.phone,
            brand=brand,
            at=at,
            source=ConsentSource.API,
            reason="unsubscribed through the API",
            evidence=evidence,
        )
        return
    left = subscriber.subscriptions.filter(brand=brand, status="opted_out").exists()
    if not left and not consent.is_suppressed(subscriber.workspace, subscriber.phone, brand):
        consent.opt_in(subscriber, brand, at=at, source=ConsentSource.API, evidence=evidence)


def derived(phone: phones.Phone, fields: dict[str, Any]) -> dict[str, Any]:
    """What is worked out once from a number and what is known of its owner, and then stored."""
    traits = fields.get("traits") or {}
    place = timezones.locate(
        phone,
        timezone=fields.get("timezone") or "",
        state=str(traits.get("state") or ""),
        postcode=fields.get("postcode") or str(traits.get("postcode") or traits.get("zip") or ""),
    )
    return {
        "number_kind": phone.kind.value,
        "country": phone.country,
        "zones": list(place.zones),
        "jurisdictions": list(place.jurisdictions),
    }
