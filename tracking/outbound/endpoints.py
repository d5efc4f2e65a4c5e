"""Endpoints: their secrets, switching them on and off, trying them out, telling them again."""

import datetime as dt

from django.db import connection, transaction

from tracking.outbound import deliveries, payloads, signing
from tracking.outbound.models import OutboundEvent, WebhookDelivery, WebhookEndpoint
from tracking.outbound.schedule import KEEP_TRYING

MOST_ENDPOINTS = 50  # of one workspace


class NotAllowed(Exception):
    """This cannot be done with the endpoint. The text is a sentence."""


def create(endpoint: WebhookEndpoint) -> None:
    """Save a new endpoint, checked and with a secret. Raises NotAllowed where there are too many."""
    others = WebhookEndpoint.objects.filter(workspace_id=endpoint.workspace_id)
    if others.count() >= MOST_ENDPOINTS:
        raise NotAllowed(f"A workspace has at most {MOST_ENDPOINTS} webhook endpoints.")
    endpoint.secrets = new_secrets()
    endpoint.save()


def new_secrets() -> dict[str, str]:
    """What a new endpoint signs with."""
    return signing.fresh()


def secret_of(endpoint: WebhookEndpoint) -> str:
    """The secret that signs what is sent to it from now on."""
    return str(endpoint.secrets["current"])


@transaction.atomic
def rotate(endpoint_id: int, *, now: dt.datetime) -> None:
    """Make a new secret; the one before it signs as well for 24 hours, and no earlier one does."""
    endpoint = WebhookEndpoint.objects.select_for_update().get(pk=endpoint_id)
    endpoint.secrets = signing.rotated(endpoint.secrets, now)
    endpoint.save(update_fields=["secrets"])


def forget_failures(endpoint_id: int) -> None:
    """Somebody changed the endpoint or switched it on: it is tried at once."""
    WebhookEndpoint.objects.filter(pk=endpoint_id).update(
        failures=0, paused_until=None, status_reason=""
    )


def state_of(endpoint: WebhookEndpoint, now: dt.datetime) -> str:
    """`on`, `off`, `paused` (after failures), or `trying` (paused before, its next attempt decides)."""
    if not endpoint.enabled:
        return "off"
    if endpoint.paused_until is None:
        return "on"
    return "paused" if endpoint.paused_until > now else "trying"


@transaction.atomic
def send_example(endpoint: WebhookEndpoint, kind: str, *, now: dt.datetime) -> WebhookDelivery:
    """Queue an example event for an endpoint. Raises NotAllowed where the endpoint is off."""
    if not endpoint.enabled:
        raise NotAllowed("This endpoint is switched off: switch it on first.")
    event = payloads.example(endpoint, kind)
    event.save()
    return WebhookDelivery.objects.create(
        event=event, endpoint=endpoint, give_up_at=now + KEEP_TRYING
    )


def replay(
    endpoint: WebhookEndpoint,
    *,
    since: dt.datetime,
    until: dt.datetime,
    states: list[str],
) -> int:
    """Deliver again what was made in [since, until) and ended in `states`, the oldest first.

    Answers how many: MOST_REPLAYED at most, then it is asked for again.
    """
    ended = WebhookDelivery.objects.filter(
        endpoint=endpoint, state__in=states, created_at__gte=since, created_at__lt=until
    )
    ids = ended.order_by("pk").values_list("pk", flat=True)[: deliveries.MOST_REPLAYED]
    return deliveries.replay(list(ids))


@transaction.atomic
def delete(endpoint: WebhookEndpoint) -> None:
    """Delete an endpoint with its deliveries; one that is under way may still arrive."""
    with connection.cursor() as cursor:
        cursor.execute(_DELETE, [endpoint.pk])
    examples = OutboundEvent.objects.filter(workspace_id=endpoint.workspace_id, source="example")
    examples.filter(deliveries=None).delete()
    endpoint.delete()


_DELETE = """
    WITH ours AS MATERIALIZED (
        SELECT id FROM tracking_webhookdelivery WHERE endpoint_id = %s),
    attempts AS (
        DELETE FROM tracking_webhookattempt WHERE delivery_id IN (SELECT id FROM ours))
    DELETE FROM tracking_webhookdelivery WHERE id IN (SELECT id FROM ours)"""
