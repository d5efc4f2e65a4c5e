"""Giving out API keys, and changing one for another while both work."""

import datetime as dt

from django.db import transaction

from subscribers.key_models import ApiKey

OVERLAP = dt.timedelta(hours=24)


class NotRotatable(Exception):
    """The key is revoked or has expired; the message says so."""


@transaction.atomic
def rotate(key: ApiKey, *, now: dt.datetime, overlap: dt.timedelta = OVERLAP) -> tuple[ApiKey, str]:
    """Make a key that may do the same, and let the old one expire after `overlap`.

    Answers the new row and what its holder keeps: it cannot be shown again. The new key expires
    as long after `now` as the old one did after it was made. Raises NotRotatable.
    """
    key = ApiKey.objects.select_for_update().get(pk=key.pk)
    if key.revoked or (key.expiry_date and key.expiry_date <= now):
        raise NotRotatable(f"{key.name} is revoked or has expired: make a new key instead.")
    lifetime = key.expiry_date - key.created if key.expiry_date else None
    successor, secret = ApiKey.objects.create_key(
        name=key.name,
        workspace=key.workspace,
        scopes=key.scopes,
        test=key.test,
        per_minute=key.per_minute,
        events_per_minute=key.events_per_minute,
        expiry_date=now + lifetime if lifetime else None,
        replaces=key,
    )
    successor.brands.set(key.brands.all())
    ends = now + overlap
    key.expiry_date = min(key.expiry_date, ends) if key.expiry_date else ends
    key.save(update_fields=["expiry_date"])
    return successor, secret
