"""The loop of `manage.py deliver_webhooks`: take what is due, post it in threads, write what came of it.

Threads do nothing but the request: all queries are the loop's own. One endpoint gets a few of the
threads, and a single one while most are busy, so that slow endpoints do not hold up the others.
"""

import contextlib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

import structlog
from django.db import OperationalError

from subscribers import clock
from subscribers.secrets import CredentialsUnreadable
from tracking.outbound import deliveries, payloads, signing
from tracking.outbound.addresses import Resolve
from tracking.outbound.deliveries import PER_ENDPOINT, Taken
from tracking.outbound.models import WebhookEndpoint
from tracking.outbound.post import Result, post

log = structlog.get_logger("carillon.webhooks_out")

THREADS = 64
IDLE = 0.5  # seconds between looks where nothing is due
BUSY = 0.05

_UNREADABLE = Result(None, 0, "Its secret cannot be read with CREDENTIAL_KEYS: rotate it.")
_NO_EVENT = Result(None, 0, "The event is gone.")


class Courier:
    """Posts of one process. `turn` again and again; `finish` before it goes."""

    def __init__(
        self, threads: ThreadPoolExecutor, *, size: int = THREADS, resolve: Resolve | None = None
    ) -> None:
        self._threads = threads
        self._size = size
        self._resolve = resolve
        self._flying: dict[Future[Result], Taken] = {}
        self._landed: list[tuple[Taken, Result]] = []

    def turn(self) -> bool:
        """Spread, take and start what there is room for; False where there was nothing to do."""
        recorded = self._record(BUSY if self._flying else 0)
        spread = deliveries.spread()
        started = self._start()
        return bool(recorded or spread or started or self._flying)

    def finish(self) -> None:
        """Wait for what is under way and write it down."""
        while self._flying or self._landed:
            self._record(1.0)

    def _record(self, patience: float) -> int:
        """What landed is kept until it is written: the database may be away for a moment."""
        if self._flying:
            done, _ = wait(self._flying, timeout=patience, return_when=FIRST_COMPLETED)
            self._landed += [(self._flying.pop(one), one.result()) for one in done]
        deliveries.record(self._landed)
        count = len(self._landed)
        self._landed = []
        return count

    def _start(self) -> int:
        room = self._size - len(self._flying)
        if room <= 0:
            return 0
        flying = Counter(taken.endpoint_id for taken in self._flying.values())
        crowded = len(self._flying) > self._size // 2
        taken = deliveries.claim(flying, per_endpoint=1 if crowded else PER_ENDPOINT, at_most=room)
        if taken:
            self._launch(taken)
        return len(taken)

    def _launch(self, taken: list[Taken]) -> None:
        now = clock.now()
        told = payloads.build(one.event_id for one in taken)
        endpoints = _endpoints({one.endpoint_id for one in taken})
        for one in taken:
            url, secrets = endpoints.get(one.endpoint_id, ("", None))
            payload = told.get(one.event_id)
            if payload is None or secrets is None:
                self._landed.append((one, _NO_EVENT if payload is None else _UNREADABLE))
                continue
            keys = signing.in_force(secrets, now)
            headers = signing.headers(payload.webhook_id, payload.body, keys=keys, now=now)
            job = self._threads.submit(post, url, payload.body, headers, resolve=self._resolve)
            self._flying[job] = one


def _endpoints(ids: set[int]) -> dict[int, tuple[str, dict[str, str] | None]]:
    """URL and secrets by id; no secrets where no key opens them (any more)."""
    rows = WebhookEndpoint.objects.filter(pk__in=ids)
    try:
        return {one.pk: (one.url, one.secrets) for one in rows}
    except CredentialsUnreadable:  # of one of them: then one by one
        return {one.pk: (one.url, _secrets(one)) for one in rows.defer("secrets")}


def _secrets(endpoint: WebhookEndpoint) -> dict[str, str] | None:
    try:
        return dict(endpoint.secrets)
    except CredentialsUnreadable:
        log.error("webhook_secret_unreadable", endpoint=endpoint.pk)
        return None


@contextlib.contextmanager
def hired(*, size: int = THREADS, resolve: Resolve | None = None) -> Iterator[Courier]:
    """A courier with threads of its own; what it has under way is written down at the end."""
    with ThreadPoolExecutor(size, thread_name_prefix="webhook") as threads:
        courier = Courier(threads, size=size, resolve=resolve)
        yield courier
        with contextlib.suppress(OperationalError):  # else their leases end, and they are repeated
            courier.finish()


def deliver_due(*, resolve: Resolve | None = None) -> None:
    """Deliver until nothing is due or under way: for a look by hand, and for tests."""
    with hired(resolve=resolve) as courier:
        while courier.turn():
            pass
