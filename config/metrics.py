"""`/metrics`: what an operator's Prometheus reads. Asked of the rows and of Valkey at every scrape,
so that it is the same whichever process answers.

What one of the two cannot say while it is away is left out; `carillon_up` says which is away.
"""

import hmac
from collections.abc import Iterator

import redis
from django.conf import settings
from django.db import Error
from django.http import HttpRequest, HttpResponse
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from sending import gauges, heartbeat

LOOPBACK = {"127.0.0.1", "::1"}


def page(request: HttpRequest) -> HttpResponse:
    """The figures, for whoever has the token; without a token set, for this machine only."""
    if not _may_read(request):
        return HttpResponse(
            "Send METRICS_TOKEN in the header: Authorization: Bearer <token>. Without that setting"
            " only this machine may ask.\n",
            status=403,
            content_type="text/plain",
        )
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Installation())
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


def _may_read(request: HttpRequest) -> bool:
    if settings.METRICS_TOKEN:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ").encode()
        return hmac.compare_digest(given, settings.METRICS_TOKEN.encode())
    # A proxy on this machine speaks for others.
    forwarded = any(name in request.headers for name in ("X-Forwarded-For", "Forwarded"))
    return request.META.get("REMOTE_ADDR") in LOOPBACK and not forwarded


class _Installation(Collector):
    """Reads everything anew for each scrape."""

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("carillon_up", "1 where the server answers.", labels=["server"])
        for server, read, away in (
            ("valkey", _from_valkey, redis.RedisError),
            ("postgresql", _from_postgresql, Error),
        ):
            try:
                yield from list(read())
            except away:
                up.add_metric([server], 0)
            else:
                up.add_metric([server], 1)
        yield up


def _from_valkey() -> Iterator[Metric]:
    lag = heartbeat.lag()
    if lag is not None:
        yield _gauge("carillon_ticker_lag_seconds", "Since the ticker's last round.", lag)
    yield _gauge("carillon_workers", "Workers that gave a sign lately.", gauges.live_workers())


def _from_postgresql() -> Iterator[Metric]:
    yield from _queues(gauges.brand_queues())
    states = GaugeMetricFamily(
        "carillon_recent_texts", "Texts planned within the last hour, by state.", labels=["state"]
    )
    for state, count in gauges.recent_texts().items():
        states.add_metric([state], count)
    yield states
    yield CounterMetricFamily("carillon_texts_sent", "Texts ever sent.", value=gauges.sent_total())
    pauses = CounterMetricFamily(
        "carillon_campaign_pauses", "Campaigns that paused by themselves.", labels=["cause"]
    )
    for cause, count in gauges.automatic_pauses().items():
        pauses.add_metric([cause], count)
    yield pauses


def _queues(found: list[gauges.BrandQueue]) -> Iterator[Metric]:
    due = GaugeMetricFamily("carillon_due_texts", "Texts due now.", labels=["brand", "lane"])
    later = GaugeMetricFamily("carillon_later_texts", "Texts that were put off.", labels=["brand"])
    oldest = GaugeMetricFamily(
        "carillon_oldest_due_seconds", "Age of the oldest due text.", labels=["brand"]
    )
    way = GaugeMetricFamily("carillon_texts_on_the_way", "Texts at a provider.", labels=["brand"])
    rate = GaugeMetricFamily(
        "carillon_texts_per_second", "Texts that departed lately.", labels=["brand"]
    )
    for one in found:
        if one.rate is not None:
            rate.add_metric([one.brand], one.rate)
        for lane, count in one.due.items():
            due.add_metric([one.brand, lane], count)
        later.add_metric([one.brand], one.later)
        oldest.add_metric([one.brand], one.oldest_due)
        way.add_metric([one.brand], one.on_the_way)
    yield from (due, later, oldest, way, rate)


def _gauge(name: str, what: str, value: float) -> Metric:
    return GaugeMetricFamily(name, what, value=value)
