"""`/metrics`: figures from the rows, for whoever may read them, whatever is away."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from prometheus_client.parser import text_string_to_metric_families

from campaigns.models import AutomaticPause
from sending import gauges, queues
from sending.models import Sender, State
from subscribers.models import Brand
from tests import sending_world as world

ROOT = Path(__file__).parents[2]

type Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture(autouse=True)
def counted_anew() -> None:
    gauges._recent = (float("-inf"), {})


def read(client: Client, **headers: str) -> Samples:
    answer = client.get("/metrics", headers=headers)
    assert answer.status_code == 200
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def of(samples: Samples, name: str, **labels: str) -> float | None:
    return samples.get((name, tuple(sorted(labels.items()))))


def test_a_brands_queue_is_told(brand: Brand, sender: Sender, client: Client) -> None:
    texts = world.planned_texts(brand, 5)
    world.pass_gate(brand, sender, at_most=2)
    queues.note_departed({brand.pk: 2})
    AutomaticPause.objects.create(
        campaign=texts[0].campaign, cause="errors", bad=1, of=2, limit=20, since=texts[0].changed_at
    )

    told = read(client)

    name = {"brand": "of_wswd/wswd"}
    assert of(told, "carillon_due_texts", lane="bulk", **name) == 3
    assert of(told, "carillon_due_texts", lane="high", **name) == 0
    assert of(told, "carillon_texts_on_the_way", **name) == 2
    assert of(told, "carillon_texts_per_second", **name) > 0
    assert of(told, "carillon_oldest_due_seconds", **name) > 0
    assert of(told, "carillon_recent_texts", state=State.SENDING) == 2
    assert of(told, "carillon_texts_sent_total") == 2
    assert of(told, "carillon_campaign_pauses_total", cause="errors") == 1
    assert of(told, "carillon_campaign_pauses_total", cause="opt_outs") == 0
    assert of(told, "carillon_up", server="postgresql") == 1


def test_unknown_texts_are_counted(brand: Brand, client: Client) -> None:
    for _ in range(3):
        world.make_text(brand, State.UNKNOWN)

    assert of(read(client), "carillon_recent_texts", state="unknown") == 3


def test_the_ticker_tells_how_long_its_last_round_is_ago(installed: None, client: Client) -> None:
    assert of(read(client), "carillon_ticker_lag_seconds") is None

    call_command("ticker", once=True)

    assert 0 <= of(read(client), "carillon_ticker_lag_seconds") < 60


def test_more_brands_cost_no_more_queries_and_at_most_so_many_labels(
    brand: Brand, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cost() -> int:
        gauges._recent = (float("-inf"), {})
        with CaptureQueriesContext(connection) as queries:
            read(client)
        return len(queries)

    world.make_text(brand)
    one = cost()
    for number in range(4):
        world.make_text(world.make_brand(f"b{number}", workspace=brand.workspace))
    world.make_text(brand)
    assert cost() == one

    monkeypatch.setattr(gauges, "MOST_BRANDS", 2)
    due = {
        dict(labels)["brand"]: value
        for (name, labels), value in read(client).items()
        if name == "carillon_due_texts" and dict(labels)["lane"] == "normal"
    }
    assert due == {"of_wswd/wswd": 2, "of_wswd/b0": 1, "others": 3}


def test_without_valkey_the_rows_are_still_told(
    brand: Brand, client: Client, settings: Any
) -> None:
    world.make_text(brand)
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    queues._client = None
    try:
        told = read(client)
    finally:
        queues._client = None

    assert of(told, "carillon_up", server="valkey") == 0
    assert of(told, "carillon_up", server="postgresql") == 1
    assert of(told, "carillon_due_texts", brand="of_wswd/wswd", lane="normal") == 1
    assert of(told, "carillon_texts_per_second", brand="of_wswd/wswd") is None
    assert of(told, "carillon_ticker_lag_seconds") is None


def test_without_postgresql_it_still_answers(installed: None) -> None:
    ask = (
        "import django; django.setup()\n"
        "from django.test import Client\n"
        "answer = Client().get('/metrics')\n"
        "print(answer.status_code, answer.text)"
    )
    away = os.environ | {
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "DATABASE_URL": "postgresql://carillon@127.0.0.1:1/carillon",
    }
    told = subprocess.run(
        [sys.executable, "-c", ask],
        cwd=ROOT, env=away, capture_output=True, text=True, check=True, timeout=60,
    ).stdout  # fmt: skip

    assert told.startswith("200 ")
    assert 'carillon_up{server="postgresql"} 0.0' in told
    assert 'carillon_up{server="valkey"} 1.0' in told
    assert "carillon_workers 0.0" in told


@pytest.mark.parametrize(
    ("address", "headers", "status"),
    [
        ("127.0.0.1", {}, 200),
        ("127.0.0.1", {"X-Forwarded-For": "203.0.113.9"}, 403),
        ("203.0.113.9", {}, 403),
        ("203.0.113.9", {"Authorization": "Bearer guess"}, 403),
    ],
)
def test_without_a_token_only_this_machine_may_ask(
    installed: None, client: Client, address: str, headers: dict[str, str], status: int
) -> None:
    assert client.get("/metrics", headers=headers, REMOTE_ADDR=address).status_code == status


def test_with_a_token_whoever_has_it_may_ask_and_nobody_else(
    installed: None, client: Client, settings: Any
) -> None:
    settings.METRICS_TOKEN = "t" * 32

    refused = client.get("/metrics")
    answered = client.get(
        "/metrics",
        headers={"Authorization": f"Bearer {'t' * 32}", "Host": "10.0.0.7:8000"},
        REMOTE_ADDR="203.0.113.9",
    )

    assert (refused.status_code, answered.status_code) == (403, 200)
    assert "METRICS_TOKEN" in refused.text
    assert "t" * 32 not in refused.text
