"""Texts per second through the whole loop, workers, PostgreSQL, Valkey and provider together."""

import contextlib
import time
from collections.abc import Iterator

from django.db import connection
from django.db.models import Max

from benchmarks import world
from campaigns.models import Campaign
from sending import planning, queues
from sending.models import Departure, QueuedText, SentLog
from subscribers import clock


def planned(campaign: Campaign) -> float:
    """Plan a launched broadcast completely; seconds."""
    planning.start_due()
    began = time.monotonic()
    while planning.plan_due(budget=60):
        pass
    return time.monotonic() - began


@contextlib.contextmanager
def crew(workers: int, delay_ms: int) -> Iterator[tuple[world.Workers, world.Stub]]:
    """Workers that are up, and the provider."""
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE sending_queuedtext, sending_sentlog")
    stub = world.Stub(delay_ms)
    running = world.Workers(workers)
    time.sleep(2)  # their start is not part of it
    try:
        yield running, stub
    finally:
        running.stop()
        stub.stop()


def until_empty(seconds: float) -> None:
    """Ring what is due every second, as the ticker does, until nothing is queued or on its way."""
    rung = 0.0

    def done() -> bool:
        nonlocal rung
        if time.monotonic() - rung > 1:
            queues.ring_due()
            rung = time.monotonic()
        return not QueuedText.objects.exists() and not Departure.objects.exists()

    world.wait_until(done, seconds=seconds)


def through(gateway: str, *, texts: int, delay_ms: int, workers: int) -> dict[str, float]:
    """Send a planned broadcast; first hand-over to last record."""
    world.empty()
    brand = world.brand()
    world.sender(brand, gateway)
    world.people(brand, texts)
    campaign = world.broadcast(brand)
    planning_seconds = planned(campaign)
    with crew(workers, delay_ms) as (running, stub):
        until_empty(240)
        count, span = world.span_of(campaign)
        if count != texts:
            raise RuntimeError(f"{texts} texts were planned, {count} accepted")
        return {
            "texts_per_second": count / span.total_seconds(),
            "seconds": span.total_seconds(),
            "planning_seconds": planning_seconds,
            "worker_mb": running.memory_mb(),
            "stub_cpu_seconds": stub.count()["cpu"],
            "twice": stub.count()["texts"] - texts,
        }


def fairness(*, small: int = 1000, each: int = 20, large: int = 100_000) -> dict[str, float]:
    """Many small brands while one has a large queue: when is the last small one done?"""
    world.empty()
    big = world.brand("big")
    world.sender(big, "twilio")
    world.people(big, large)
    planned(world.broadcast(big))
    for number in range(small):
        brand = world.brand(f"s{number}", big.workspace)
        world.sender(brand, "twilio", in_flight=50)
        world.people(brand, each, first=large + number * each)
        world.broadcast(brand)
    planned(Campaign.objects.latest("pk"))
    with crew(2, 200):
        began = clock.now()
        rung = 0.0

        def done() -> bool:
            nonlocal rung
            if time.monotonic() - rung > 1:
                queues.ring_due()
                rung = time.monotonic()
            return not QueuedText.objects.exclude(brand=big).exists()

        world.wait_until(done, seconds=240)
        time.sleep(1)
        rows = SentLog.objects.exclude(brand=big)
        last = rows.aggregate(last=Max("sent_at"))["last"]
        return {
            "last_small_brand_seconds": (last - began).total_seconds(),
            "small_texts": rows.filter(state="accepted").count(),
            "large_done": SentLog.objects.filter(brand=big, state="accepted").count(),
        }


def planning_row(people: int, log_rows: int) -> dict[str, float]:
    """Planning an audience while the log is long."""
    world.empty()
    brand = world.brand()
    world.sender(brand, "twilio")
    world.people(brand, people)
    world.history(brand, log_rows)
    campaign = world.broadcast(brand)
    return {"seconds": planned(campaign), "people": people, "log_rows": log_rows}
