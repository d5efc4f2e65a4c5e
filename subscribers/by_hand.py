"""What a person of the staff changes by hand; who did it is kept as evidence."""

from typing import Any

from subscribers import clock, consent, upsert
from subscribers.models import ConsentSource, Subscriber, Suppression
from subscribers.secrets import phone_hash


def suppress(wanted: Suppression, *, actor: str) -> Suppression:
    """Opt a number out of a brand, or of the workspace where no brand is named; answers the row.

    `wanted` is unsaved; its phone is E.164. Suppressing a number again is harmless.
    """
    consent.opt_out(
        wanted.workspace,
        wanted.phone,
        brand=wanted.brand,
        at=clock.now(),
        source=ConsentSource.OPERATOR,
        reason=wanted.reason,
        evidence={"actor": actor, "reason": wanted.reason},
    )
    return Suppression.objects.get(
        workspace=wanted.workspace,
        brand=wanted.brand,
        phone_hash=phone_hash(wanted.workspace_id, wanted.phone),
    )


def save_person(person: Subscriber, fields: dict[str, Any], *, actor: str) -> Subscriber:
    """Create or change a subscriber with these fields, and what follows from them (time zones).

    Subscribes nobody. Call it in a transaction.
    """
    return upsert.upsert(
        person.workspace,
        # The traits may name a state, which has a say in the zones.
        {"traits": person.traits, **fields, "phone": person.phone},
        subscribe={},
        evidence={"actor": actor},
    )
