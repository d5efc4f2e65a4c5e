"""Deliveries: made of events, taken under a lease, and what came of each attempt.

The only writer of deliveries, attempts and endpoints' circuits. Each function is one transaction,
and none is open during a request. `courier.py` puts them together.
"""

import datetime as dt
import random
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import structlog
from django.db import connection, transaction

from sending import arrays
from subscribers import clock
from tracking.outbound import statements
from tracking.outbound.models import WebhookDelivery, WebhookEndpoint
from tracking.outbound.post import GONE, Result
from tracking.outbound.schedule import KEEP_TRYING, Circuit, next_wait

log = structlog.get_logger("carillon.webhooks_out")

# A request takes 10 seconds at most, a slow look-up of its name some more.
LEASE = dt.timedelta(seconds=60)
PER_ENDPOINT = 4  # requests to one endpoint at a time, of one process
MOST_REPLAYED = 10_000

State = WebhookDelivery.State


@dataclass(frozen=True, slots=True)
class Taken:
    """A delivery that this process holds until its lease ends."""

    id: int
    token: UUID
    endpoint_id: int
    event_id: int
    attempts: int  # with this one
    probe: bool


def spread(at_most: int = 500) -> int:
    """Make the deliveries of new events; answers how many events. Each event is spread once."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statements.SPREAD, {"at_most": at_most, "keep_trying": KEEP_TRYING})
        return int(cursor.fetchone()[0])


@transaction.atomic
def claim(flying: Mapping[int, int], *, per_endpoint: int, at_most: int) -> list[Taken]:
    """Lease due deliveries: of each endpoint as many as its room allows, of a paused one a probe.

    `flying`: how many requests to each endpoint this process has under way. Nobody else gets what
    is answered here before the lease ends. The attempt is counted before it is made.
    """
    token = uuid.uuid4()
    values = {
        "token": token,
        "lease": LEASE,
        "endpoints": list(flying),
        "counts": list(flying.values()),
        "per_endpoint": per_endpoint,
        "at_most": at_most,
    }
    with connection.cursor() as cursor:
        cursor.execute(statements.PROBE, values)
        values["probes"] = [row[0] for row in cursor.fetchall()]
        cursor.execute(statements.CLAIM, values)
        return [
            Taken(pk, token, endpoint, event, attempts, endpoint in values["probes"])
            for pk, endpoint, event, attempts in cursor.fetchall()
        ]


@transaction.atomic
def record(done: Sequence[tuple[Taken, Result]]) -> None:
    """Write what came of attempts, guarded by their leases, and what it says of their endpoints."""
    if not done:
        return
    now = clock.now()
    endpoints = {
        one.pk: one
        for one in WebhookEndpoint.objects.select_for_update(no_key=True, of=("self",))
        .filter(pk__in={taken.endpoint_id for taken, _ in done})
        .defer("secrets")
        .order_by("pk")
    }
    # Who deleted the endpoint meanwhile has deleted its deliveries as well.
    known = [(taken, result) for taken, result in done if taken.endpoint_id in endpoints]
    with connection.cursor() as cursor:
        # An erasure that runs at this moment waits, and then blanks what is written here.
        cursor.execute(statements.HOLD_EVENTS, [[taken.event_id for taken, _ in known]])
        cursor.execute(statements.NOTE_ATTEMPTS, _attempts(known))
        cursor.execute(statements.SETTLE, _settlements(known, now))
    for taken, result in known:
        _heed(endpoints[taken.endpoint_id], taken, result, now)
    WebhookEndpoint.objects.bulk_update(
        endpoints.values(), ["failures", "paused_until", "enabled", "status_reason"]
    )


def _attempts(done: Sequence[tuple[Taken, Result]]) -> dict[str, Any]:
    return {
        "deliveries": [taken.id for taken, _ in done],
        "statuses": [result.status for _, result in done],
        "times": [result.milliseconds for _, result in done],
        "errors": arrays.words(result.error[:200] for _, result in done),
        "answers": arrays.words(result.answer for _, result in done),
    }


def _settlements(done: Sequence[tuple[Taken, Result]], now: dt.datetime) -> dict[str, Any]:
    """Each delivery's next instant; none where it succeeded or was tried for the last time."""
    states, dues = [], []
    for taken, result in done:
        wait = next_wait(taken.attempts, draw=random.random(), asked=result.retry_after)  # noqa: S311 - jitter
        due = None if result.succeeded or wait is None else now + wait
        states.append(State.DELIVERED if result.succeeded else State.WAITING)
        dues.append(due)
    return {
        "deliveries": [taken.id for taken, _ in done],
        "tokens": arrays.ids(taken.token for taken, _ in done),
        "states": [str(state) for state in states],
        "dues": dues,
    }


def _heed(endpoint: WebhookEndpoint, taken: Taken, result: Result, now: dt.datetime) -> None:
    """What an attempt says of its endpoint: its circuit, and 410 that it is no more."""
    before = Circuit(endpoint.failures, endpoint.paused_until)
    after = before.succeeded() if result.succeeded else before.failed(now, probe=taken.probe)
    endpoint.failures, endpoint.paused_until = after.failures, after.paused_until
    if result.status == GONE:
        endpoint.enabled = False
        endpoint.status_reason = "It answered 410 Gone: it was switched off."
        log.warning("webhook_endpoint_gone", endpoint=endpoint.pk)
    elif after.paused_until is None and endpoint.enabled:
        if before.paused_until is not None:
            log.info("webhook_endpoint_resumed", endpoint=endpoint.pk)
        endpoint.status_reason = ""
    elif after != before and endpoint.enabled:
        endpoint.status_reason = (
            f"Paused after {after.failures} failures in a row. The last: {result.error}"[:200]
        )
        log.warning("webhook_endpoint_paused", endpoint=endpoint.pk, failures=after.failures)


def replay(ids: Sequence[int]) -> int:
    """Deliver ended deliveries again, each with its own webhook-id; answers how many there were."""
    with connection.cursor() as cursor:
        cursor.execute(statements.REPLAY, {"deliveries": list(ids), "keep_trying": KEEP_TRYING})
        return cursor.rowcount


def give_up() -> int:
    """End deliveries whose three days are over while their endpoint was paused or switched off."""
    with connection.cursor() as cursor:
        cursor.execute(statements.GIVE_UP)
        return cursor.rowcount
