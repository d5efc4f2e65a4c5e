"""Rules about settings: checked by every management command before it starts."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from sending.pipeline import SPARE
from sending.repeats import LOOK_BACK
from tracking.outbound.schedule import KEEP_TRYING


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


# The longest that anything looks back at texts, and a month: only whole ones go.
LEAST_DAYS_OF_TEXTS = LOOK_BACK.days + 31


@register
def nothing_is_forgotten_that_is_looked_at(**options: Any) -> list[CheckMessage]:
    """The forecast looks back farthest at texts; what is told to endpoints is tried for three days."""
    least = {"KEEP_TEXTS_DAYS": LEAST_DAYS_OF_TEXTS, "KEEP_WEBHOOKS_DAYS": KEEP_TRYING.days + 1}
    return [
        Error(f"{name} is {getattr(settings, name)}: it must be {days} or more.", id="config.E002")
        for name, days in least.items()
        if getattr(settings, name) < days
    ]
