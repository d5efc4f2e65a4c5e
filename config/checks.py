"""Rules about settings: checked by every management command before it starts."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from sending.pipeline import SPARE


@register
def lease_outlives_its_calls(**options: Any) -> list[CheckMessage]:
    """A worker starts no call that could end after its lease: there must be time for two in a row."""
    needed = 2 * settings.SENDING_CALL_TIMEOUT_SECONDS + SPARE
    if needed <= settings.SENDING_LEASE_SECONDS:
        return []
    return [
        Error(
            f"SENDING_LEASE_SECONDS is {settings.SENDING_LEASE_SECONDS:g}: with this"
            f" SENDING_CALL_TIMEOUT_SECONDS it must be {needed:g} or more.",
            id="config.E001",
        )
    ]
