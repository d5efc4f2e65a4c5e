"""A provider's words and ids, made fit to be kept.

They come from outside and end in the log: some error pages repeat the credentials they were sent,
and one NUL or lone surrogate (JSON can spell both) would make PostgreSQL refuse the whole batch that
it is recorded with.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

SHORTEST_SECRET = 4  # what is shorter stands in ordinary words as well
LONGEST_ID = 128


def safe(words: str, *, secrets: Iterable[str] = ()) -> str:
    """`words` without `secrets` and without characters that cannot be stored."""
    for secret in secrets:
        if len(secret) >= SHORTEST_SECRET:
            words = words.replace(secret, "***")
    return words.replace("\0", "").encode("utf-8", "replace").decode()


def of_body(body: bytes, *, secrets: Iterable[str] = ()) -> str:
    """A body as safe words, whatever its encoding."""
    return safe(body.decode("utf-8", "replace"), secrets=secrets)


def scalar(value: Any) -> str:
    """An id or a code as a safe, bounded string; what is neither string nor integer is ""."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    return safe(str(value)).strip()[:LONGEST_ID]


def json_value(body: bytes) -> Any:
    """The parsed body, or None when it is not JSON or nested beyond reason."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
