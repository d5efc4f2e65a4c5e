"""One sender's bucket as Valkey knows it, past what this process holds of it."""

from sending import limits
from sending.models import Sender


def take(sender: Sender, want: int) -> tuple[int, float]:
    """(segments that were granted, seconds until there is one again)."""
    granted, wait, _ = limits._run([limits._Request(sender, want=want)])[0]
    return granted, wait


def settle(sender: Sender, *, granted: int, used: int) -> None:
    limits.settle_all([sender], granted={sender.pk: granted}, used={sender.pk: used})
