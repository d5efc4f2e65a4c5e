"""Many subscribers through the API: two clients at two web workers, people new and then changed.

As JSON, 10,000 rows a request, and as a stream of NDJSON, half of the people in one request. Of a
hundred people one opts out, and everybody else joins the brand.
"""

import http.client
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import batched
from time import monotonic
from typing import Any

from django.db import connection

from benchmarks import cpu, load, world
from subscribers import phones, timezones
from subscribers.key_models import ApiKey, Scope
from subscribers.models import Brand

CLIENTS = 2
ROWS = 10_000  # of a JSON request
JSON, NDJSON = "application/json", "application/x-ndjson"
_STATES = ("NY", "FL", "CA", "TX", "WA", "IL", "GA", "OH")


def loaded(people: int) -> dict[str, float]:
    """Subscribers a second, new and again with other values, by JSON and by NDJSON."""
    told: dict[str, float] = {}
    for name, content_type, bodies in (("json", JSON, _json), ("stream", NDJSON, _ndjson)):
        world.empty()
        brand = world.brand()
        key = _key(brand)
        numbers = _numbers(people)
        with load.installation() as (port, web, ticker):
            _post(port, key, content_type, bodies(_rows(numbers[:CLIENTS], 1)))  # all is imported
            for step, changed in (("new", 2), ("changed", 3)):
                given = bodies(_rows(numbers[CLIENTS:], changed))
                used = cpu.Meter(web=load.family(web), ticker=[ticker])
                seconds = _post(port, key, content_type, given)
                about = used.read(people)
                told[f"{name}_{step}_per_second"] = people / seconds
                for part in ("web", "postgresql"):
                    told[f"{name}_{step}_cpu_{part}"] = about[f"cpu_{part}"]
                _check(people, changed)
    return told


def _key(brand: Brand) -> str:
    _, key = ApiKey.objects.create_key(
        name="bench",
        workspace=brand.workspace,
        scopes=[str(scope) for scope in Scope],
        per_minute=1_000_000,
    )
    return key


def _numbers(people: int) -> list[str]:
    """Numbers of all area codes of the United States that a person may have."""
    codes = sorted(code for code, row in timezones.area_codes().items() if row.country == "US")
    found: list[str] = []
    line = 0
    while len(found) < people:
        number = f"+1{codes[line % len(codes)]}{200 + line // 10_000 % 700}{line % 10_000:04}"
        line += 1
        try:
            found.append(phones.parse(number).e164)
        except phones.InvalidPhone:
            continue
    return found


def _rows(numbers: Sequence[str], changed: int) -> list[dict[str, Any]]:
    return [
        {
            "phone": number,
            "firstName": f"Name{place % 500}",
            "lastName": f"Family{place % 5000}",
            "email": f"person{place}@example.com",
            "hasPurchased": place % 4 == 0,
            "totalPurchases": place % 7 + changed,
            "totalRevenue": place % 1000 + 0.5,
            "lastPurchaseAt": f"2026-01-0{changed}T10:00:00Z",
            "acq_source": "facebook",
            "acq_campaign": f"spring {place % 20}",
            "form_title": "Spring sale",
            "traits": {"state": _STATES[place % len(_STATES)], "size": place % 12},
            "subscribe_bench": place % 100 != 7,
        }
        for place, number in enumerate(numbers)
    ]


def _json(rows: list[dict[str, Any]]) -> list[bytes]:
    return [json.dumps({"subscribers": part}).encode() for part in batched(rows, ROWS)]


def _ndjson(rows: list[dict[str, Any]]) -> list[bytes]:
    halves = batched(rows, -(-len(rows) // CLIENTS))
    return [b"\n".join(json.dumps(row).encode() for row in half) for half in halves]


def _post(port: int, key: str, content_type: str, bodies: list[bytes]) -> float:
    """Send the bodies by so many clients; seconds. RuntimeError where a row is refused."""
    waiting = iter(bodies)
    headers = {"Authorization": f"Api-Key {key}", "Content-Type": content_type}
    began = monotonic()
    with ThreadPoolExecutor(CLIENTS) as pool:
        clients = [pool.submit(_client(port, headers, waiting)) for _ in range(CLIENTS)]
        for client in clients:
            client.result()
    return monotonic() - began


def _client(port: int, headers: dict[str, str], waiting: Any) -> Callable[[], None]:
    def send() -> None:
        for body in waiting:
            server = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
            server.request("POST", "/api/subscribers/bulk", body, headers)
            answer = server.getresponse()
            told = answer.read()
            server.close()
            if answer.status != 200 or b'"refused"' in told.replace(b'"refused":0', b""):
                raise RuntimeError(f"bulk answered {answer.status}: {told[:300]!r}")

    return send


def _check(people: int, changed: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT count(*), count(*) FILTER (WHERE last_purchase_at::date = %s::date)
               FROM subscribers_subscriber""",
            [f"2026-01-0{changed}"],
        )
        found = cursor.fetchone()
    if found != (people, people - CLIENTS):
        raise RuntimeError(f"people, those changed: {found} instead of {people:,}")
