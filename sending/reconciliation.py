"""Our log against a provider's own list of what it accepted. Only the fake carrier has one to ask.

The list is read into a temporary table, page by page, before the audit's snapshot is taken; what the
carrier accepted meanwhile is read once more, so that neither side is ahead of the other unnoticed.
"""

import datetime as dt
import json
from collections.abc import Callable, Iterator, Sequence
from itertools import batched, islice
from pathlib import Path
from typing import Any
from uuid import UUID

import requests
from django.db import connection

from sending.differences import counted, sentence
from sending.models import State

# The carrier has accepted a text in one of these, and may have in one of those.
AT_THE_CARRIER = (State.ACCEPTED, State.SENT, State.DELIVERED, State.UNDELIVERED)
IN_DOUBT = (State.UNKNOWN, State.SENDING)
PAGE = 5_000  # lines
TIMEOUT = 10  # seconds for a page

type Line = dict[str, Any]
# Pages of the list from line number N on.
type CarrierLog = Callable[[int], Iterator[Sequence[Line]]]


class CarrierAway(Exception):
    """The list cannot be read: its server does not answer."""


def over_http(url: str) -> CarrierLog:
    """The list of the fake carrier at `url`."""

    def pages(after: int) -> Iterator[Sequence[Line]]:
        while True:
            try:
                answer = requests.get(
                    f"{url}/_carrier/log", params={"after": after, "limit": PAGE}, timeout=TIMEOUT
                )
                answer.raise_for_status()
                page = answer.json()
            except (requests.RequestException, ValueError):
                raise CarrierAway(f"The fake carrier at {url} does not answer.") from None
            if not page["lines"]:
                return
            yield page["lines"]
            after = page["next"]

    return pages


def in_file(path: Path) -> CarrierLog:
    """The list in a file of the carrier's."""

    def pages(after: int) -> Iterator[Sequence[Line]]:
        with path.open() as file:
            for chunk in batched(islice(file, after, None), PAGE):
                yield [json.loads(line) for line in chunk]

    return pages


class Reconciliation:
    """One comparison. The methods go in their order: read, match, differences, lost."""

    def __init__(self, carrier: CarrierLog) -> None:
        self._carrier = carrier
        self._lines = 0

    def read(self) -> int:
        """Read the list; answers how many texts were accepted."""
        with connection.cursor() as cursor:
            cursor.execute(_MAKE_TABLES)
        self._lines = self._load(late=False)
        return self._lines

    def match(self, cursor: Any) -> None:
        """Find each line's text: by our reference, by the carrier's id, or by number and words.

        The last is for answers that were lost: their texts have no id of the carrier's.
        """
        values = {
            "at_the_carrier": [str(state) for state in AT_THE_CARRIER],
            "in_doubt": [str(state) for state in IN_DOUBT],
        }
        cursor.execute("ANALYZE audit_line")
        for statement in (_BY_REFERENCE, _BY_PROVIDER_ID, _BY_WORDS):
            cursor.execute(statement, values)

    def count_twice(self, cursor: Any, texts: str, values: dict[str, object]) -> int:
        """How many more times than once the carrier accepted texts."""
        cursor.execute(_COUNT_TWICE.format(texts=texts), values)
        return cursor.fetchone()[0]

    def differences(
        self,
        cursor: Any,
        texts: str,
        values: dict[str, object],
        *,
        since: dt.datetime | None,
        whole: bool,
    ) -> Iterator[str]:
        """What the snapshot already tells. `texts`: the condition on texts, with its `values`.

        A line of no text is told only when the `whole` log is looked at: it names no brand.
        """
        values = values | {
            "since": since,
            "at_the_carrier": [str(state) for state in AT_THE_CARRIER],
            "may_be": [str(state) for state in (*AT_THE_CARRIER, *IN_DOUBT)],
        }
        cursor.execute(_NOTE_LOST.format(texts=texts), values)
        checks = {
            "texts were accepted more than once": _TWICE,
            "texts at the carrier are not called sent here": _HIDDEN,
        }
        if whole:
            checks["texts at the carrier are in no log of ours"] = _STRANGERS
        for says, statement in checks.items():
            cursor.execute(counted(statement.format(texts=texts)), values)
            yield from sentence(says, cursor.fetchall())

    def lost(self) -> Iterator[str]:
        """Texts that we call accepted and that are on no line, not even of those added since."""
        self._load(late=True)
        with connection.cursor() as cursor:
            for statement in _FOUND_LATE:
                cursor.execute(statement)
            cursor.execute(counted("SELECT id FROM audit_lost"))
            rows = cursor.fetchall()
            cursor.execute(_DROP_TABLES)
        yield from sentence("texts that we call accepted never reached the carrier", rows)

    def _load(self, *, late: bool) -> int:
        number = self._lines
        for page in self._carrier(number):
            with (
                connection.cursor() as cursor,
                cursor.copy(
                    "COPY audit_line (number, late, at, provider_id, reference, phone, body)"
                    " FROM STDIN"
                ) as copy,
            ):
                for line in page:
                    copy.write_row((number, late, *_row(line)))
                    number += 1
        return number


def _row(line: Line) -> tuple[object, ...]:
    try:
        reference = UUID(line.get("reference") or "")
    except ValueError:
        reference = None
    return line["at"], line["provider_id"], reference, line["to"], line["body"].replace("\0", "")


_MAKE_TABLES = """
    DROP TABLE IF EXISTS audit_line, audit_lost;
    CREATE TEMP TABLE audit_line (
        number bigint, late boolean, at timestamptz, provider_id text, reference uuid, phone text,
        body text, text_id uuid)"""
_DROP_TABLES = "DROP TABLE IF EXISTS audit_line, audit_lost"

_BY_REFERENCE = """
    UPDATE audit_line AS line SET text_id = text.id
    FROM sending_sentlog AS text WHERE text.id = line.reference"""
_BY_PROVIDER_ID = """
    UPDATE audit_line AS line SET text_id = text.id
    FROM sending_sentlog AS text
    WHERE line.text_id IS NULL AND text.provider_message_id = line.provider_id
      AND line.provider_id <> ''"""
# One text for one line, those first that must be on some line.
_BY_WORDS = """
    UPDATE audit_line AS line SET text_id = pair.text_id
    FROM (SELECT nameless.number, silent.id AS text_id
          FROM (SELECT number, phone, body,
                       row_number() OVER (PARTITION BY phone, body ORDER BY number) AS place
                FROM audit_line WHERE text_id IS NULL) AS nameless
          JOIN (SELECT text.id, text.phone, text.body, row_number() OVER (
                    PARTITION BY text.phone, text.body
                    ORDER BY text.state = ANY(%(in_doubt)s), text.id) AS place
                FROM sending_sentlog AS text
                WHERE (text.state = ANY(%(in_doubt)s)
                       OR text.state = ANY(%(at_the_carrier)s) AND text.provider_message_id = '')
                  AND NOT EXISTS (SELECT FROM audit_line AS known WHERE known.text_id = text.id))
               AS silent USING (phone, body, place)) AS pair
    WHERE line.number = pair.number"""

_COUNT_TWICE = """
    SELECT coalesce(sum(lines - 1), 0)::bigint FROM (
        SELECT count(*) AS lines FROM audit_line AS line
        JOIN sending_sentlog AS text ON text.id = line.text_id
        WHERE {texts} GROUP BY text.id) AS counted"""
_TWICE = """
    SELECT text.id FROM audit_line AS line JOIN sending_sentlog AS text ON text.id = line.text_id
    WHERE {texts} GROUP BY text.id HAVING count(*) > 1"""
_HIDDEN = """
    SELECT DISTINCT text.id FROM audit_line AS line
    JOIN sending_sentlog AS text ON text.id = line.text_id
    WHERE {texts} AND text.state <> ALL(%(may_be)s)"""
_STRANGERS = """
    SELECT line.provider_id AS id FROM audit_line AS line
    WHERE line.text_id IS NULL AND (%(since)s::timestamptz IS NULL OR line.at >= %(since)s)"""
_NOTE_LOST = """
    CREATE TEMP TABLE audit_lost AS
    SELECT text.id, text.provider_message_id, text.phone, text.body
    FROM sending_sentlog AS text JOIN subscribers_brand AS brand ON brand.id = text.brand_id
    WHERE {texts} AND brand.sandbox AND text.state = ANY(%(at_the_carrier)s)
      AND NOT EXISTS (SELECT FROM audit_line AS line WHERE line.text_id = text.id)"""

_FOUND_LATE = (
    """DELETE FROM audit_lost AS lost USING audit_line AS line
       WHERE line.late AND line.reference = lost.id""",
    """DELETE FROM audit_lost AS lost USING audit_line AS line
       WHERE line.late AND line.provider_id = lost.provider_message_id
         AND lost.provider_message_id <> ''""",
    """DELETE FROM audit_lost AS lost USING audit_line AS line
       WHERE line.late AND lost.provider_message_id = ''
         AND line.phone = lost.phone AND line.body = lost.body""",
)
