"""A provider that answers Twilio's and Mitto's sends after a fixed delay, as cheaply as Python can.

`python benchmarks/stub.py PORT DELAY_MS` prints its port. It reads requests by their Content-Length,
answers each with a fresh id, and counts: `GET /count` answers {"texts": N, "calls": N, "cpu": seconds}.
Answers of the same millisecond leave together, so a call costs some 15 microseconds of CPU.
"""

import asyncio
import json
import re
import sys
import time

LENGTH = re.compile(rb"content-length: *(\d+)", re.I)
TWILIO = (
    b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: 53\r\n\r\n"
    b'{"sid": "SM%032x", "x": 1}'
)


class Stub:
    """What all connections share."""

    def __init__(self, delay: float) -> None:
        self.delay = delay
        self.texts = self.calls = 0
        self.slots: dict[int, list[tuple[asyncio.Transport, bytes]]] = {}
        self.loop = asyncio.get_running_loop()

    def answer_later(self, transport: asyncio.Transport, answer: bytes) -> None:
        due = self.loop.time() + self.delay
        slot = int(due * 500)  # two milliseconds
        waiting = self.slots.get(slot)
        if waiting is None:
            waiting = self.slots[slot] = []
            self.loop.call_at(due, self.flush, slot)
        waiting.append((transport, answer))

    def flush(self, slot: int) -> None:
        for transport, answer in self.slots.pop(slot):
            transport.write(answer)


class Connection(asyncio.Protocol):
    """HTTP/1.1 with keep-alive, one request at a time."""

    def __init__(self, stub: Stub) -> None:
        self.stub = stub
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer = self.buffer + data if self.buffer else data
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        if self.buffer.startswith(b"GET /count"):
            self.count()
            return
        found = LENGTH.search(self.buffer, 0, end)
        whole = end + 4 + (int(found[1]) if found else 0)
        if len(self.buffer) < whole:
            return
        body, path = self.buffer[end + 4 : whole], self.buffer[:80]
        self.buffer = b""
        self.stub.calls += 1
        if b"sendmessagesbulk" in path:
            answer = self.bulk(json.loads(body)["messages"])
        else:
            self.stub.texts += 1
            answer = TWILIO % self.stub.texts
        self.stub.answer_later(self.transport, answer)

    def bulk(self, messages: list[dict[str, str]]) -> bytes:
        first = self.stub.texts
        self.stub.texts += len(messages)
        items = [
            {"trafficAccountId": m["trafficAccountId"], "messageId": f"01KC{first + i:022d}"}
            for i, m in enumerate(messages)
        ]
        text = json.dumps({"bulkId": f"b{first}", "messages": items}).encode()
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text)

    def count(self) -> None:
        self.buffer = b""
        told = {"texts": self.stub.texts, "calls": self.stub.calls, "cpu": time.process_time()}
        text = json.dumps(told).encode()
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(text)
        self.transport.write(head + text)


async def main(port: int, delay_ms: int) -> None:
    loop = asyncio.get_running_loop()
    stub = Stub(delay_ms / 1000)
    server = await loop.create_server(lambda: Connection(stub), "127.0.0.1", port, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
