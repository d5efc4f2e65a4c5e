"""The two probes: what they need, and what they say when something is away."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from campaigns import policy, switches
from tests.sending.valkey_proxy import ValkeyProxy

ROOT = Path(__file__).parents[2]

# A process of its own, as an orchestrator meets it: its settings cannot be changed while it runs.
ASK = """
import json, sys, django
django.setup()
from django.test import Client
answers = [Client(headers={"Host": "evil.test"}).get(path) for path in sys.argv[1:]]
print(json.dumps([[answer.status_code, answer.json()] for answer in answers]))
"""


@pytest.fixture
def dead() -> str:
    """host:port where nobody listens any more."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"127.0.0.1:{taken.getsockname()[1]}"


def ask(*paths: str, **environ: str) -> list[tuple[int, dict[str, Any]]]:
    """What another process answers with these variables."""
    known = os.environ | {"DJANGO_SETTINGS_MODULE": "config.settings"} | environ
    done = subprocess.run(
        [sys.executable, "-c", ASK, *paths],
        cwd=ROOT, env=known, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    return [(status, body) for status, body in json.loads(done.stdout)]


@pytest.mark.django_db
def test_readyz_is_ok_when_both_servers_answer(client: Client) -> None:
    answer = client.get("/readyz")

    assert answer.status_code == 200
    assert answer.json() == {"status": "ok", "postgresql": "ok", "valkey": "ok"}


@pytest.mark.django_db
@pytest.mark.parametrize("url", ["redis://{}", "redis://{}/0", "unix:///nowhere/valkey.sock"])
def test_readyz_is_503_and_says_what_follows_when_valkey_is_away(
    client: Client, settings: Settings, dead: str, url: str
) -> None:
    settings.REDIS_URL = url.format(dead)

    answer = client.get("/readyz")

    assert answer.status_code == 503
    assert answer.json() == {
        "status": "unavailable",
        "postgresql": "ok",
        "valkey": "unreachable: nothing is sent until it is back",
    }


def test_readyz_is_503_when_postgresql_is_away_and_healthz_lives_on_without_it(dead: str) -> None:
    secret = f"postgresql://carillon:s3cret@{dead}/carillon"

    (readyz, healthz) = ask("/readyz", "/healthz", DATABASE_URL=secret)

    status, body = readyz
    assert status == 503
    assert body == {
        "status": "unavailable",
        "postgresql": "unreachable: nothing can be read or planned until it is back",
        "valkey": "ok",
    }
    assert healthz == (200, {"status": "ok"})


def test_healthz_needs_neither_the_database_nor_a_host_that_is_allowed(client: Client) -> None:
    # Without the mark, pytest-django fails a test that touches the database.
    answer = client.get("/healthz", headers={"Host": "10.0.0.7:8000"})

    assert answer.status_code == 200
    assert answer.json() == {"status": "ok"}
    assert client.get("/admin/", headers={"Host": "10.0.0.7:8000"}).status_code == 400


def test_other_paths_are_no_probes(client: Client) -> None:
    assert client.get("/healthz/").status_code == 404
    assert client.get("/healthzz").status_code == 404


@pytest.mark.django_db
def test_readyz_notes_that_sending_is_switched_off_and_stays_ok(client: Client) -> None:
    switches.off(policy.platform(), reason="carrier incident", actor="a test")

    answer = client.get("/readyz")

    assert answer.status_code == 200
    assert answer.json() == {
        "status": "ok",
        "postgresql": "ok",
        "valkey": "ok",
        "note": "sending is switched off for the whole installation: carrier incident",
    }


@pytest.mark.django_db
def test_readyz_notices_valkey_that_is_cut_and_that_comes_back(
    client: Client, settings: Settings
) -> None:
    real = settings.REDIS_URL
    with ValkeyProxy(real, scripts=0) as proxy:
        settings.REDIS_URL = proxy.url
        assert client.get("/readyz").json()["valkey"] == "ok"
    assert client.get("/readyz").status_code == 503

    settings.REDIS_URL = real
    assert client.get("/readyz").status_code == 200
