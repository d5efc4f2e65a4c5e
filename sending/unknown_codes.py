"""Codes that no gateway's table explains: kept as they came, and counted."""

import re
from collections.abc import Sequence

from django.db import connection

from sending.models import UnknownCode

MOST = 300  # rows of one gateway and source: a provider that makes codes up fills no table
OTHERS = "(others)"
# A provider's words may name the number; whose text it was is nobody else's business.
_NUMBER = re.compile(r"\+?\d[\d\s().-]{5,}\d")
_CODE = re.compile(r"\d{1,8}")


def count(gateway: str, source: UnknownCode.Source, told: Sequence[tuple[str, str]]) -> None:
    """Count codes (code, the provider's words) that came from a gateway. One statement."""
    if not told:
        return
    codes = [_masked(code)[:64] for code, _ in told]
    examples = [_masked(words)[:200] for _, words in told]
    values = {"gateway": gateway, "source": source, "codes": codes, "examples": examples}
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, {**values, "most": MOST, "others": OTHERS})


def _masked(words: str) -> str:
    return words if _CODE.fullmatch(words) else _NUMBER.sub("***", words)


# Sorted by code, so that two workers that count the same ones wait for each other in turn.
_COUNT = """
    WITH given AS (
        SELECT code, count(*) AS times, max(example) AS example
        FROM unnest(%(codes)s::text[], %(examples)s::text[]) AS told(code, example)
        GROUP BY code),
    kept AS (
        SELECT CASE WHEN known.id IS NOT NULL OR (
                   SELECT count(*) FROM sending_unknowncode
                   WHERE gateway = %(gateway)s AND source = %(source)s) < %(most)s
               THEN given.code ELSE %(others)s END AS code, given.times, given.example
        FROM given LEFT JOIN sending_unknowncode AS known
          ON known.gateway = %(gateway)s AND known.source = %(source)s AND known.code = given.code)
    INSERT INTO sending_unknowncode AS known (gateway, source, code, count, example)
    SELECT %(gateway)s, %(source)s, code, sum(times), max(example)
    FROM kept GROUP BY code ORDER BY code
    ON CONFLICT (gateway, source, code) DO UPDATE
    SET count = known.count + excluded.count, last_seen = now(),
        example = CASE excluded.example WHEN '' THEN known.example ELSE excluded.example END"""
