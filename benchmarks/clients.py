"""HTTP clients against the stub: requests per CPU second of our transport and of aiohttp.

`python benchmarks/clients.py pycurl|aiohttp URL REQUESTS` makes POSTs, 1,000 at a time, and prints
its CPU seconds and its seconds as JSON. Run in a process of its own, so that nothing else counts.
"""

import asyncio
import json
import sys
import time
from pathlib import Path
from uuid import uuid4

IN_FLIGHT = 1000
HEADERS = (
    ("Authorization", "Basic QUMxOnRva2Vu"),
    ("Content-Type", "application/x-www-form-urlencoded"),
)
PATH = "/2010-04-01/Accounts/AC1/Messages.json"
BODY = b"ValidityPeriod=3600&To=%2B12125550100&From=%2B12125550101&Body=" + b"A+text+of+words+" * 6


def through_pycurl(url: str, count: int) -> int:
    """The transport of the sending loop, as it is used there."""
    # Here, as the other client's run is not to pay for it.
    from sending.gateways.base import Answer, Call, Text
    from sending.gateways.transport import Transport

    calls = [
        Call("POST", url + PATH, HEADERS, BODY, (Text(uuid4(), "+1", "x", 60),))
        for _ in range(count)
    ]
    with Transport() as transport:
        answers = transport.exchange(calls, in_flight=IN_FLIGHT, timeout=30)
        return sum(isinstance(answer, Answer) and answer.status == 201 for _, answer in answers)


async def through_aiohttp(url: str, count: int) -> int:
    """As its documentation recommends: one session, a connector with a limit, a task a worker."""
    import aiohttp

    left = iter(range(count))
    done = 0

    async def work(session: "aiohttp.ClientSession") -> None:
        nonlocal done
        for _ in left:
            async with session.post(url + PATH, data=BODY) as answer:
                await answer.read()
                done += answer.status == 201

    connector = aiohttp.TCPConnector(limit=IN_FLIGHT)
    async with aiohttp.ClientSession(connector=connector, headers=dict(HEADERS)) as session:
        await asyncio.gather(*(work(session) for _ in range(IN_FLIGHT)))
    return done


def main(name: str, url: str, count: int) -> None:
    cpu, began = time.process_time(), time.monotonic()
    if name == "pycurl":
        done = through_pycurl(url, count)
    else:
        done = asyncio.run(through_aiohttp(url, count))
    if done != count:
        sys.exit(f"{name}: {done} of {count} requests were answered")
    told = {"cpu": time.process_time() - cpu, "seconds": time.monotonic() - began}
    print(json.dumps(told))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
