"""How long an integrator waits: the launch of a campaign through the web server."""

import os
import subprocess
import time

import requests

from benchmarks import world
from campaigns.models import Campaign, Message
from config import processes
from subscribers.key_models import ApiKey, Scope


def enqueue(people: int, calls: int) -> dict[str, float]:
    """POST /api/campaigns/{id}/enqueue, one call after the other, each for a draft of its own."""
    world.empty()
    brand = world.brand()
    world.sender(brand, "twilio")
    world.people(brand, people)
    drafts = Campaign.objects.bulk_create(
        Campaign(brand=brand, name=f"Draft {number}") for number in range(calls + 1)
    )
    Message.objects.bulk_create(Message(campaign=draft, body=world.BODY) for draft in drafts)
    _, key = ApiKey.objects.create_key(
        name="bench", workspace=brand.workspace, scopes=[str(scope) for scope in Scope]
    )
    port = processes.free_port()
    server = subprocess.Popen(
        processes.web_command("127.0.0.1", port), cwd=world.ROOT, env=dict(os.environ)
    )
    session = requests.Session()
    session.headers["Authorization"] = f"Api-Key {key}"
    try:
        world.wait_until(lambda: _answers(port), seconds=60)
        _timed(session, port, drafts[0])  # both workers have imported everything by then
        _timed(session, port, drafts[0])
        waits = sorted(_timed(session, port, draft) for draft in drafts[1:])
    finally:
        server.terminate()
        server.wait(30)
    return {
        "p95_ms": waits[int(len(waits) * 0.95)],
        "median_ms": waits[len(waits) // 2],
        "calls": len(waits),
        "people": people,
    }


def _answers(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/healthz", timeout=5).status_code < 500
    except requests.RequestException:
        return False


def _timed(session: requests.Session, port: int, draft: Campaign) -> float:
    """Milliseconds of one launch."""
    began = time.monotonic()
    answer = session.post(f"http://127.0.0.1:{port}/api/campaigns/{draft.pk}/enqueue", timeout=30)
    took = (time.monotonic() - began) * 1000
    if answer.status_code != 202:
        raise RuntimeError(f"enqueue answered {answer.status_code}: {answer.text[:300]}")
    return took
