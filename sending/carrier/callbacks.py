"""Receipts and replies on their way back to the sender.

Whatever the receiver does, a post is tried a few times and then given up and counted; the number of
those pending tells a demo when everything is quiet.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

logger = logging.getLogger(__name__)

BACKOFF = (0.2, 0.5, 1.0, 2.0, 4.0)  # seconds before each further try
TIMEOUT = aiohttp.ClientTimeout(total=15)
BATCH = 100
BATCH_EVERY = 0.05  # seconds


@dataclass(frozen=True, slots=True)
class Post:
    """One callback: a POST with `body`, or a GET when it has none."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where one sender of one gateway wants its receipts and inbound texts.

    `fields` renames the fields of a Lime receipt; `method` is GET or POST, for Lime only; `token`
    signs Twilio's posts until an authentication token was learned from a request.
    """

    receipts_url: str = ""
    inbound_url: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, hash=False)
    token: str = field(default="", repr=False)
    fields: Mapping[str, str] = field(default_factory=dict, hash=False)
    method: str = "POST"


Builder = Callable[[Sequence[Any]], Post]


class Callbacks:
    """A queue of posts with a bounded number on the wire at once."""

    def __init__(self, *, concurrency: int = 32) -> None:
        self.pending = 0
        self.delivered = 0
        self.given_up = 0
        self._concurrency = concurrency
        self._queue: asyncio.Queue[Sequence[Post]] = asyncio.Queue()
        self._buffers: dict[str, tuple[Builder, list[Any]]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Begin to deliver."""
        connector = aiohttp.TCPConnector(limit=self._concurrency)
        self._session = aiohttp.ClientSession(connector=connector, timeout=TIMEOUT)
        workers = [self._work(self._session) for _ in range(self._concurrency)]
        self._tasks = [asyncio.create_task(work) for work in (*workers, self._flush_always())]

    async def stop(self) -> None:
        """Give up what is pending."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    def later(self, delay: float, posts: Sequence[Post]) -> None:
        """Deliver posts one after the other, `delay` seconds from now at the earliest."""
        if posts:
            self.pending += len(posts)
            asyncio.get_running_loop().call_later(delay, self._queue.put_nowait, posts)

    def batched(self, delay: float, key: str, build: Builder, things: Sequence[Any]) -> None:
        """Deliver things, `delay` seconds from now, in posts that `build` makes of up to 100.

        Things with one key share a builder and therefore posts.
        """
        if things:
            self.pending += len(things)
            loop = asyncio.get_running_loop()
            loop.call_later(delay, self._buffer, key, build, things)

    def _buffer(self, key: str, build: Builder, things: Sequence[Any]) -> None:
        self._buffers.setdefault(key, (build, []))[1].extend(things)

    async def _flush_always(self) -> None:
        while True:
            await asyncio.sleep(BATCH_EVERY)
            buffers, self._buffers = self._buffers, {}
            for build, things in buffers.values():
                chunks = [things[at : at + BATCH] for at in range(0, len(things), BATCH)]
                self.pending += len(chunks) - len(things)
                # One key's posts stay in order, so that "sent" does not overtake "delivered".
                self._queue.put_nowait([build(chunk) for chunk in chunks])

    async def _work(self, session: aiohttp.ClientSession) -> None:
        while True:
            for post in await self._queue.get():
                try:
                    await self._deliver(session, post)
                finally:
                    self.pending -= 1

    async def _deliver(self, session: aiohttp.ClientSession, post: Post) -> None:
        for wait in (*BACKOFF, None):
            if await self._attempt(session, post):
                self.delivered += 1
                return
            if wait is not None:
                await asyncio.sleep(wait)
        self.given_up += 1
        logger.warning("callback given up after %d tries", len(BACKOFF) + 1)

    async def _attempt(self, session: aiohttp.ClientSession, post: Post) -> bool:
        """Whether the receiver answered with less than 500; a refusal (4xx) is an answer."""
        method = "GET" if post.body is None else "POST"
        with contextlib.suppress(aiohttp.ClientError, TimeoutError, ValueError):
            request = session.request(
                method, post.url, data=post.body, headers=post.headers, allow_redirects=False
            )
            async with request as response:
                await response.read()
                return response.status < 500
        return False
