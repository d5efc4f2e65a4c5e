"""The stub alone, and the clients that could drive it: is it cheap enough not to be the limit?"""

import json
import os
import subprocess
import sys

from django.conf import settings

from benchmarks import rivals, world

CLIENTS = world.ROOT / "benchmarks" / "clients.py"


def stub_alone(requests: int) -> dict[str, float]:
    """The stub without a delay, driven by pycurl multi and nothing else."""
    used = _driven("pycurl", requests, delay_ms=0)
    return {
        "requests_per_second": requests / used["seconds"],
        "requests_per_stub_cpu_second": requests / used["stub_cpu"],
        "stub_microseconds": used["stub_cpu"] / requests * 1e6,
    }


def clients(requests: int) -> dict[str, float]:
    """Requests per CPU second of the transport and of aiohttp, 1,000 in flight, 200 ms each."""
    rivals.install_python("aiohttp")
    curl = _driven("pycurl", requests, delay_ms=200)
    other = _driven("aiohttp", requests, delay_ms=200)
    return {
        "pycurl_per_cpu_second": requests / curl["cpu"],
        "aiohttp_per_cpu_second": requests / other["cpu"],
        "ratio": other["cpu"] / curl["cpu"],
        "pycurl_per_second": requests / curl["seconds"],
        "aiohttp_per_second": requests / other["seconds"],
    }


def _driven(client: str, requests: int, *, delay_ms: int) -> dict[str, float]:
    stub = world.Stub(delay_ms)
    try:
        before = stub.count()["cpu"]
        done = subprocess.run(
            [sys.executable, str(CLIENTS), client, settings.FAKE_CARRIER_URL, str(requests)],
            env={**os.environ, "PYTHONPATH": str(rivals.FOLDER / "python")},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        return {**json.loads(done.stdout), "stub_cpu": stub.count()["cpu"] - before}
    finally:
        stub.stop()
