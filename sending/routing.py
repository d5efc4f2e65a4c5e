"""Which sender a text leaves from: by weight, and the same one for the same person."""

import hashlib
import math
from collections.abc import Sequence

from sending.models import Sender
from subscribers.models import Brand


def active_senders(brand: Brand) -> list[Sender]:
    """The brand's senders that may be used now: in use, and not failing.

    Raises ImproperlyConfigured for a provider without an address: now, not when texts departed.
    """
    in_use = Sender.objects.filter(brand=brand, status=Sender.Status.ACTIVE, weight__gt=0)
    senders = list(in_use.filter(share__gt=0).select_related("account").order_by("pk"))
    for sender in senders:
        brand.provider_url(sender.gateway)
    return senders


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
