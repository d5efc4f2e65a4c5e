"""The switches that stop all sending, of one brand or of the installation: turned here, with a reason.

The gate reads them for every batch, so what has not departed when one is off stays.
"""

import structlog
from django.db import models

from campaigns.models import BrandPolicy, PlatformPolicy

log = structlog.get_logger("carillon.switches")


def off(rules: BrandPolicy | PlatformPolicy, *, reason: str, actor: str) -> bool:
    """Switch sending off; False where it was off already (then the first reason stays)."""
    return _turn(rules, sending_enabled=False, reason=reason, actor=actor)


def on(rules: BrandPolicy | PlatformPolicy, *, actor: str) -> bool:
    """Switch sending on again; False where it was on already."""
    return _turn(rules, sending_enabled=True, reason="", actor=actor)


def _turn(
    rules: BrandPolicy | PlatformPolicy, *, sending_enabled: bool, reason: str, actor: str
) -> bool:
    rows: models.QuerySet = type(rules).objects.filter(  # type: ignore[attr-defined]
        pk=rules.pk, sending_enabled=not sending_enabled
    )
    changed = rows.update(sending_enabled=sending_enabled, off_reason=reason[:200])
    rules.refresh_from_db()
    if changed:
        log.warning(
            "sending_switched_on" if sending_enabled else "sending_switched_off",
            brand=getattr(rules, "brand_id", None),
            reason=reason,
            actor=actor,
        )
    return bool(changed)
