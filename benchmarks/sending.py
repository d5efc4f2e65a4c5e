"""Texts per second through the whole loop, workers, PostgreSQL, Valkey and provider together."""

import contextlib
import os
import time
from collections.abc import Iterator, Sequence

from django.db import connection
from django.db.models import Max

from benchmarks import cpu, world
from campaigns.models import Campaign
from sending import queues, turns
from sending.models import Departure, QueuedText, SentLog
from subscribers import clock


@contextlib.contextmanager
def crew(workers: int, delay_ms: int) -> Iterator[tuple[world.Workers, world.Stub]]:
    """Workers that are up, and the provider."""
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE sending_queuedtext, sending_sentlog")
    stub = world.Stub(delay_ms)
    running = world.Workers(workers)
    try:
        # Their start is not part of it.
        world.wait_until(lambda: queues.valkey().zcard(turns.WORKERS) >= workers, seconds=60)
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
    planning_seconds = world.planned(campaign)
    with crew(workers, delay_ms) as (running, stub):
        meter = cpu.Meter(workers=running.pids(), stub=[stub.process.pid], ringing=[os.getpid()])
        until_empty(max(240, texts / 1000))
        used = meter.read(texts)
        count, span = world.span_of(campaign)
        if count != texts:
            raise RuntimeError(f"{texts} texts were planned, {count} accepted")
        seconds = span.total_seconds()
        return {
            "texts_per_second": count / seconds,
            "seconds": seconds,
            "planning_seconds": planning_seconds,
            "worker_mb": running.memory_mb(),
            "twice": stub.count()["texts"] - texts,
            "stub_share": used["cpu_stub"] / seconds,
            **used,
        }


def fairness(*, small: int = 1000, each: int = 20, large: int = 100_000) -> dict[str, float]:
    """Many small brands while one has a large queue: when is the last small one done?"""
    world.empty()
    big = world.brand("big")
    world.sender(big, "twilio")
    world.people(big, large)
    world.planned(world.broadcast(big))
    for number in range(small):
        brand = world.brand(f"s{number}", big.workspace)
        world.sender(brand, "twilio", in_flight=50)
        world.people(brand, each, first=large + number * each)
        world.broadcast(brand)
    world.planned(Campaign.objects.latest("pk"))
    with crew(2, 200) as (running, stub):
        meter = cpu.Meter(workers=running.pids(), stub=[stub.process.pid], ringing=[os.getpid()])
        began = clock.now()
        rung = 0.0

        def done() -> bool:
            nonlocal rung
            if time.monotonic() - rung > 1:
                queues.ring_due()
                rung = time.monotonic()
            return not QueuedText.objects.exclude(brand=big).exists()

        world.wait_until(done, seconds=240)
        used = meter.read(small * each)
        time.sleep(1)
        rows = SentLog.objects.exclude(brand=big)
        last = rows.aggregate(last=Max("sent_at"))["last"]
        return {
            "last_small_brand_seconds": (last - began).total_seconds(),
            "small_texts": rows.filter(state="accepted").count(),
            "large_done": SentLog.objects.filter(brand=big, state="accepted").count(),
            **used,
        }


def growth(sizes: Sequence[int]) -> dict[str, float]:
    """Texts per second of ever larger broadcasts, and how far apart the slowest and the fastest are."""
    rates = {
        size: through("twilio", texts=size, delay_ms=200, workers=2)["texts_per_second"]
        for size in sizes
    }
    told = {f"at_{size}": rate for size, rate in rates.items()}
    return {"spread": max(rates.values()) / min(rates.values()) - 1, **told}
