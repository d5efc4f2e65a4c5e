"""Which sender a text leaves from: by weight, and the same one for the same person."""

import hashlib
import math
from collections import defaultdict
from collections.abc import Collection, Sequence

import structlog
from django.core.exceptions import ImproperlyConfigured

from sending.models import Sender
from subscribers.models import Brand

log = structlog.get_logger("carillon.routing")


def active_senders(brands: Collection[Brand]) -> dict[int, list[Sender]]:
    """The senders of brands that may be used now, by brand: in use, and not failing. One query.

    A brand whose provider has no address has none: it is known now, not when texts departed.
    """
    in_use = Sender.objects.filter(
        brand__in=brands, status=Sender.Status.ACTIVE, weight__gt=0, share__gt=0
    )
    found: dict[int, list[Sender]] = defaultdict(list)
    for sender in in_use.select_related("account").order_by("pk"):
        found[sender.brand_id].append(sender)
    for brand in brands:
        try:
            for sender in found.get(brand.pk, ()):
                brand.provider_url(sender.gateway)
        except ImproperlyConfigured:
            log.exception("brand_cannot_send", brand=brand.slug)
            del found[brand.pk]
    return dict(found)


def sender_for(person: str, senders: Sequence[Sender]) -> Sender:
    """The person's sender: weighted rendezvous hashing, so that losing one moves only its people.

    A sender that comes back with a part of its weight gets back the same people as with all of it,
    only fewer.
    """
    return max(senders, key=lambda sender: _score(person, sender))


def _score(person: str, sender: Sender) -> float:
    digest = hashlib.blake2b(f"{sender.pk}:{person}".encode(), digest_size=8).digest()
    uniform = (int.from_bytes(digest, "big") + 1) / (2**64 + 1)
    return -sender.weight * sender.share / math.log(uniform)
