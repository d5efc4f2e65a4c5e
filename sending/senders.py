"""A sender's state: a person pauses and resumes it, a provider's refusal stops it."""

from collections.abc import Collection, Iterable

from django.conf import settings

from sending.gateways import registry
from sending.models import Sender

# The credentials of each gateway, those that it cannot do without first.
CREDENTIALS: dict[str, tuple[str, ...]] = {
    name: (*gateway.credential_names, *gateway.optional_credential_names)
    for name, gateway in registry.GATEWAYS.items()
}
OPTIONAL: frozenset[str] = frozenset(
    name for gateway in registry.GATEWAYS.values() for name in gateway.optional_credential_names
)


def offered(sender: Sender) -> set[str]:
    """The buttons that a sender in this state has."""
    if sender.status != Sender.Status.ACTIVE:
        return {"resume"}
    return {"pause"} if sender.share == 100 else {"pause", "use_fully"}


def pause(senders: Iterable[Sender], reason: str = "") -> int:
    """Take senders out of use until somebody resumes them; answers how many were in use."""
    return _move(senders, Sender.Status.PAUSED, from_states=(Sender.Status.ACTIVE,), reason=reason)


def resume(senders: Iterable[Sender]) -> int:
    """Use senders again, also those that an error stopped; answers how many were not in use."""
    resting = (Sender.Status.PAUSED, Sender.Status.STOPPED)
    return _move(senders, Sender.Status.ACTIVE, from_states=resting)


def stop(sender_id: int, reason: str) -> None:
    """Take a sender out of use after its provider refused it; a person puts it back."""
    Sender.objects.filter(pk=sender_id, status=Sender.Status.ACTIVE).update(
        status=Sender.Status.STOPPED, status_reason=reason[:200]
    )


def callback_url(sender: Sender) -> str:
    """The public address of a sender's webhooks: `/status` and `/inbound` are below it."""
    return f"{settings.PUBLIC_URL}/webhooks/{sender.gateway}/{sender.webhook_token}"


def in_use(sender_ids: Collection[int]) -> set[int]:
    """Which of these may still send, by the rows as they are now."""
    rows = Sender.objects.filter(pk__in=sender_ids, status=Sender.Status.ACTIVE)
    return set(rows.values_list("pk", flat=True))


def _move(
    senders: Iterable[Sender], to: str, *, from_states: tuple[str, ...], reason: str = ""
) -> int:
    chosen = [sender.pk for sender in senders]
    return Sender.objects.filter(pk__in=chosen, status__in=from_states).update(
        status=to, status_reason=reason[:200]
    )
