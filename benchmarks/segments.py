"""How long a segment of a 200,000-person brand takes to count, among as many people of others."""

import statistics
import time
from pathlib import Path

from django.db import connection

from subscribers import clock
from subscribers.models import Brand, Workspace
from subscribers.segment_models import ManualList
from subscribers.segments import people, tree

PEOPLE = 200_000


def segment_count() -> dict[str, float]:
    """The median of several counts: seconds on the clock, and of the server's CPU."""
    brand = _brand("seg")
    _brand("other")
    staff = ManualList.objects.get_or_create(workspace=brand.workspace, name="staff")[0]
    with connection.cursor() as cursor:
        cursor.execute(_MEMBERS, [staff.pk, brand.workspace_id])
        cursor.execute("ANALYZE")
    node = tree.parse(
        {
            "all": [
                {"subscription": "seg", "is": "opted_in", "op": "older_than_days", "value": 7},
                {
                    "any": [
                        {"field": "last_engagement", "op": "within_days", "value": 30},
                        {"field": "total_revenue", "op": "at_least", "value": 100},
                        {"trait": ["state"], "op": "in", "value": ["FL", "TX"]},
                    ]
                },
                {"not": {"list": staff.pk}},
            ]
        }
    )
    now, took, used, found = clock.now(), [], [], 0
    for _ in range(5):
        began, cpu = time.monotonic(), _cpu()
        found = people.count(node, brand.workspace_id, now=now, brand=brand)
        took.append(time.monotonic() - began)
        used.append(_cpu() - cpu)
    return {
        "found": found,
        "seconds": statistics.median(took),
        "server_cpu_seconds": statistics.median(used),
    }


def _cpu() -> float:
    """CPU seconds of this connection's server process, which a busy machine does not stretch."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        pid = cursor.fetchone()[0]
    times = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(times[11]) + int(times[12])) / 100


def _brand(slug: str) -> Brand:
    workspace = Workspace.objects.get_or_create(slug=slug, name=slug)[0]
    brand, new = Brand.objects.get_or_create(
        workspace=workspace, slug=slug, name=slug, sandbox=True
    )
    if new:
        with connection.cursor() as cursor:
            cursor.execute(_PEOPLE, {"workspace": workspace.pk, "people": PEOPLE})
            cursor.execute(_SUBSCRIPTIONS, [brand.pk, workspace.pk])
    return brand


_PEOPLE = """
    INSERT INTO subscribers_subscriber (workspace_id, phone, phone_hash, has_clicked, total_clicks,
        last_engagement, total_revenue, zones, jurisdictions, traits)
    SELECT %(workspace)s, '+1212' || (2000000 + g), sha256((%(workspace)s::text || ':' || g)::bytea),
        g %% 3 = 0, g %% 7, now() - g %% 400 * interval '1 day', g %% 300,
        '{America/New_York}', '{US-NY}',
        jsonb_build_object('state', (ARRAY['FL', 'NY', 'TX', 'CA'])[g %% 4 + 1], 'age', g %% 80)
    FROM generate_series(1, %(people)s) AS g"""
_SUBSCRIPTIONS = """
    INSERT INTO subscribers_subscription (subscriber_id, brand_id, status, opted_in_at)
    SELECT id, %s, CASE WHEN id %% 20 = 0 THEN 'opted_out' ELSE 'opted_in' END,
        now() - id %% 90 * interval '1 day'
    FROM subscribers_subscriber WHERE workspace_id = %s"""
_MEMBERS = """
    INSERT INTO subscribers_manuallistmember (manual_list_id, subscriber_id)
    SELECT %s, id FROM subscribers_subscriber WHERE workspace_id = %s AND id %% 10 = 0
    ON CONFLICT DO NOTHING"""
