"""A queue table beside the log, or the state in the log alone: what the database pays for each.

Both drain the same texts in batches of 500 with the statements of claim, gate and record, without a
provider. Each pass makes its tables anew; the ratio of the two is the result (docs/decisions.md, 1).
"""

import time
import uuid

from django.db import connection, transaction

BATCH = 500
LOG = """
    id uuid PRIMARY KEY, brand int, subscriber int, state text, due_at timestamptz, token uuid,
    sent_at timestamptz, provider_id text, body text"""
ROWS = """
    INSERT INTO {table} (id, brand, subscriber, state, due_at, body)
    SELECT md5(n::text)::uuid, 1, n, 'planned', now(), repeat('A text of usual length. ', 5)
    FROM generate_series(1, %s::int) AS n"""


def compare(texts: int = 100_000) -> dict[str, float]:
    """Texts per second of both shapes and their ratio; what is left behind of either, in MB."""
    alone = log_alone(texts)
    alone_mb = _megabytes("bench_log")
    beside = queue_beside(texts)
    return {
        "log_alone": alone,
        "queue_beside": beside,
        "ratio": beside / alone,
        "log_alone_mb": alone_mb,
        "queue_beside_mb": _megabytes("bench_log"),
        "queue_mb": _megabytes("bench_queue"),
    }


def _megabytes(table: str) -> float:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_total_relation_size(%s) / 1e6", [table])
        return float(cursor.fetchone()[0])


def log_alone(texts: int) -> float:
    """planned -> claimed -> sending -> accepted in the log, found by a partial index on the state."""
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS bench_log")
        cursor.execute(f"CREATE TABLE bench_log ({LOG}) WITH (fillfactor = 60)")
        cursor.execute("CREATE INDEX ON bench_log (subscriber, id DESC)")
        cursor.execute(
            "CREATE INDEX ON bench_log (brand, due_at) WHERE state IN ('planned', 'claimed')"
        )
        cursor.execute(ROWS.format(table="bench_log"), [texts])
        cursor.execute("ANALYZE bench_log")
        began = time.monotonic()
        while True:
            token = uuid.uuid4()
            cursor.execute(
                "WITH taken AS MATERIALIZED (SELECT id FROM bench_log WHERE brand = 1"
                " AND state IN ('planned', 'claimed') AND due_at <= now() ORDER BY due_at"
                " LIMIT %s FOR UPDATE SKIP LOCKED) UPDATE bench_log AS text SET state = 'claimed',"
                " token = %s, due_at = now() + interval '1 minute' FROM taken"
                " WHERE text.id = taken.id RETURNING text.id",
                [BATCH, token],
            )
            ids = [row[0] for row in cursor.fetchall()]
            if not ids:
                return texts / (time.monotonic() - began)
            _move("bench_log", ids, "sending")
            _move("bench_log", ids, "accepted")


def queue_beside(texts: int) -> float:
    """planned -> sending -> accepted in the log; the queue row is leased, then leaves at the gate."""
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS bench_log, bench_queue, bench_departure")
        cursor.execute(f"CREATE TABLE bench_log ({LOG}) WITH (fillfactor = 60)")
        cursor.execute("CREATE INDEX ON bench_log (subscriber, id DESC)")
        cursor.execute(
            "CREATE TABLE bench_queue (id uuid PRIMARY KEY, brand int, lane smallint,"
            " due_at timestamptz, token uuid)"
        )
        cursor.execute("CREATE INDEX ON bench_queue (brand, lane, due_at)")
        cursor.execute("CREATE TABLE bench_departure (token uuid PRIMARY KEY, texts uuid[])")
        cursor.execute(ROWS.format(table="bench_log"), [texts])
        cursor.execute("INSERT INTO bench_queue SELECT id, brand, 1, due_at FROM bench_log")
        cursor.execute("ANALYZE bench_log, bench_queue")
        began = time.monotonic()
        while True:
            token = uuid.uuid4()
            cursor.execute(
                "WITH taken AS MATERIALIZED (SELECT id FROM bench_queue WHERE brand = 1"
                " AND lane = 1 AND due_at <= now() ORDER BY due_at LIMIT %s"
                " FOR UPDATE SKIP LOCKED) UPDATE bench_queue AS queued SET token = %s,"
                " due_at = now() + interval '1 minute' FROM taken WHERE queued.id = taken.id"
                " RETURNING queued.id",
                [BATCH, token],
            )
            ids = [row[0] for row in cursor.fetchall()]
            if not ids:
                return texts / (time.monotonic() - began)
            with transaction.atomic():
                cursor.execute("DELETE FROM bench_queue WHERE id = ANY(%s)", [ids])
                _move("bench_log", ids, "sending")
                cursor.execute("INSERT INTO bench_departure VALUES (%s, %s)", [token, ids])
            with transaction.atomic():
                _move("bench_log", ids, "accepted")
                cursor.execute("DELETE FROM bench_departure WHERE token = %s", [token])


def _move(table: str, ids: list[uuid.UUID], state: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {table} SET state = %s, sent_at = now(), provider_id = 'SM123' WHERE id = ANY(%s)",
            [state, ids],
        )
