"""Texts per second through the whole loop, workers, PostgreSQL, Valkey and provider together."""

import time

from django.db import connection

from benchmarks import world
from sending import planning, queues
from sending.models import QueuedText


def through(gateway: str, *, texts: int, delay_ms: int, workers: int) -> dict[str, float]:
    """Send a planned broadcast; first hand-over to last record."""
    world.empty()
    queues.valkey().flushdb()
    brand = world.brand()
    world.sender(brand, gateway)
    world.people(brand, texts)
    campaign = world.broadcast(brand)
    planning.start_due()
    began = time.monotonic()
    while planning.plan_due(budget=60):
        pass
    planned = time.monotonic() - began
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE sending_queuedtext, sending_sentlog")
    stub = world.Stub(delay_ms)
    crew = world.Workers(workers)
    time.sleep(2)  # the workers' start is not part of it
    try:
        queues.ring(brand.pk)
        last = 0.0
        until = time.monotonic() + 120

        def done() -> bool:
            nonlocal last
            if time.monotonic() - last > 1:  # as the ticker does
                queues.ring_due()
                last = time.monotonic()
            return not QueuedText.objects.exists() or time.monotonic() > until

        world.wait_until(done, seconds=130)
        world.wait_until(lambda: world.span_of(campaign)[0] == texts, seconds=30)
        count, span = world.span_of(campaign)
        return {
            "texts_per_second": count / span.total_seconds(),
            "seconds": span.total_seconds(),
            "planning_seconds": planned,
            "worker_mb": crew.memory_mb(),
            "stub_cpu_seconds": stub.count()["cpu"],
            "twice": stub.count()["texts"] - texts,
        }
    finally:
        crew.stop()
        stub.stop()
