"""Of a very large audience a forecast decides about a part, chosen by hash, and says so.

Deciding about a million people takes half a minute; a page must answer. A part of half a million
tells a share of 50 % to within 0.2 points.
"""

import datetime as dt
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from django.db import connection

from campaigns import audience
from campaigns.models import Run

MOST_DECIDED = 1_000_000  # people


@dataclass(frozen=True, slots=True)
class Sample:
    """Every `step`-th person of so many (0: not counted, as all are taken)."""

    step: int = 1
    people: int = 0

    def of(self, subscriber_ids: Sequence[int]) -> list[int]:
        """Those of the people who are in it: always the same ones."""
        if self.step == 1:
            return list(subscriber_ids)
        return [pk for pk in subscriber_ids if zlib.crc32(b"%d" % pk) % self.step == 0]


def of_run(run: Run, *, most: int, now: dt.datetime) -> Sample:
    """The sample of the people whom a run has still to plan, so that about `most` are decided about.

    A brand that has no more people than that is not counted further. `now`: the brand's clock.
    """
    count = _count(_OF_BRAND, [run.brand_id, run.cursor, most + 1])
    if count <= most:
        return Sample()
    found = audience.condition(run.campaign, now=now)
    if found is None:
        count = _count(_ALL_OF_BRAND, [run.brand_id, run.cursor])
    else:
        text = _ALL_OF_AUDIENCE.format(found.text)
        count = _count(text, [run.brand_id, run.cursor, *found.parameters])
    return Sample(max(1, -(-count // most)), count)


def _count(statement: str, values: list[object]) -> int:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchone()[0]


_OF_BRAND = """
    SELECT count(*) FROM (
        SELECT FROM subscribers_subscription AS own
        WHERE own.brand_id = %s AND own.subscriber_id > %s LIMIT %s) AS first"""
_ALL_OF_BRAND = """
    SELECT count(*) FROM subscribers_subscription AS own
    WHERE own.brand_id = %s AND own.subscriber_id > %s"""
_ALL_OF_AUDIENCE = """
    SELECT count(*) FROM subscribers_subscription AS own
    JOIN subscribers_subscriber AS person ON person.id = own.subscriber_id
    WHERE own.brand_id = %s AND own.subscriber_id > %s AND {}"""
