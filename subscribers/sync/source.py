"""Where a list comes from: a file, or the provider over HTTP. Either way a stream of bytes."""

import gzip
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast
from urllib.parse import quote, quote_plus

import requests
from requests.exceptions import ChunkedEncodingError
from urllib3.exceptions import HTTPError

from subscribers.models import ContactList
from subscribers.sync.lime_xml import ListError

TIMEOUT = (5, 60)  # seconds to connect, and between two reads
MOST_WORDS = 4000  # bytes of a refusal that are looked at


@contextmanager
def from_file(path: Path) -> Iterator[BinaryIO]:
    """A list in a file, gzipped or not. Raises ListError where it cannot be read."""
    try:
        with path.open("rb") as raw:
            zipped = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            if zipped:
                with gzip.open(raw) as unzipped:
                    yield cast(BinaryIO, _Broken(unzipped))
            else:
                yield raw
    except OSError as error:
        raise ListError(f"{path} cannot be read: {error.strerror or error}.") from None


@contextmanager
def from_provider(contacts: ContactList) -> Iterator[BinaryIO]:
    """The list as Lime serves it. Raises ListError; the address is in no message: it holds the key.

    `ev=optedInNumbers`, one answer, no paging (providers.md, A).
    """
    url = f"{contacts.brand.provider_url(contacts.provider)}/limeApi"
    parameters = {
        "ev": "optedInNumbers",
        "user": contacts.credentials.get("user", ""),
        "api_id": contacts.credentials.get("api_id", ""),
        "optInListId": contacts.list_id,
    }
    try:
        with requests.get(url, params=parameters, stream=True, timeout=TIMEOUT) as answer:
            if answer.status_code != 200:
                raise ListError(_refusal(answer, contacts.credentials))
            answer.raw.decode_content = True
            yield cast(BinaryIO, _Broken(answer.raw))
    except requests.RequestException as error:
        raise ListError(
            f"The provider cannot be reached ({type(error).__name__}); try again later."
        ) from None


class _Broken:
    """A connection (or a zipped file) that breaks reads like one that ends: the parser says where."""

    def __init__(self, raw: Any) -> None:
        self.raw = raw

    def read(self, size: int = -1) -> bytes:
        try:
            # `read` would lose what arrived since its last answer when the rest does not come.
            return self.raw.read1(size)
        except (HTTPError, ChunkedEncodingError, OSError, EOFError, zlib.error):
            return b""


def _refusal(answer: requests.Response, credentials: Mapping[str, str]) -> str:
    answer.raw.decode_content = True
    told = _Broken(answer.raw).read(MOST_WORDS).decode(errors="replace")
    for value in credentials.values():  # some servers quote the address that was asked for
        for writing in filter(
            None, (value, quote(value), quote(value, safe=""), quote_plus(value))
        ):
            told = told.replace(writing, "***")
    words = " ".join(told.split())[:200]
    hint = (
        "check the user and api_id of the contact list"
        if answer.status_code < 500
        else ("try again later")
    )
    return f"The provider refused with HTTP {answer.status_code} ({words or 'no words'}); {hint}."
