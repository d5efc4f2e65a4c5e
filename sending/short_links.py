"""Short links: the code of each, and its row. The only writer.

A code is a keyed hash of the text and the link: a text that is planned again gets the same one, and
without the key nobody can tell one code from another, or guess one.
"""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from uuid import UUID

from django.conf import settings
from django.db import connection

from campaigns.links import CODE_LENGTH
from sending import arrays

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_PAIRS = [first + second for first in ALPHABET for second in ALPHABET]
_BYTES = 16  # of the hash: so many that its remainder is as good as even


@dataclass(frozen=True, slots=True)
class NewLink:
    """A short link as planned with its text."""

    code: str
    text_id: UUID
    link_id: int


def code_of(text_id: UUID, link_id: int) -> str:
    """12 characters of base62: 71 bits."""
    named = text_id.bytes + link_id.to_bytes(8, "big")
    digest = hashlib.blake2b(named, digest_size=_BYTES, key=_key(settings.SECRET_KEY)).digest()
    number, pairs = int.from_bytes(digest, "big"), []
    for _ in range(CODE_LENGTH // 2):
        number, pair = divmod(number, len(_PAIRS))
        pairs.append(_PAIRS[pair])
    return "".join(pairs)


@lru_cache(maxsize=4)
def _key(secret: str) -> bytes:
    return hashlib.blake2b(secret.encode(), digest_size=32, person=b"short links").digest()


def keep(brand_id: int, new: Collection[NewLink]) -> None:
    """Write the short links of texts, in the transaction that plans them. None: no statement."""
    if not new:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            _KEEP,
            [
                brand_id,
                arrays.literal(one.code for one in new),
                arrays.ids(one.text_id for one in new),
                arrays.literal(one.link_id for one in new),
            ],
        )


_KEEP = """
    INSERT INTO sending_shortlink (code, text_id, link_id, brand_id)
    SELECT given.code, given.text_id, given.link_id, %s
    FROM unnest(%s::text[], %s::uuid[], %s::bigint[]) AS given(code, text_id, link_id)
    ON CONFLICT (code) DO NOTHING"""
