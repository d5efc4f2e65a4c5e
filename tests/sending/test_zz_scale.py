import json, resource, time
from pathlib import Path
from django.db import connection
from campaigns.models import Run
from sending import books, reconciliation, lookups, safe_mode
from sending.models import *
from sending.identity import lower_bound
from subscribers import clock
from campaigns.runs import whole_milliseconds
from tests import sending_world as world
N = 1_000_000
def rss(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
def test_scale(installed, tmp_path: Path):
    brand = world.make_brand(); sender = world.make_sender(brand)
    campaign = world.make_campaign(brand)
    now = whole_milliseconds(clock.now())
    run = Run.objects.create(campaign=campaign, brand=brand, started_at=now, audience=N, planned_at=now)
    first = lower_bound(now).hex[:12]
    with connection.cursor() as c:
        c.execute(f"""INSERT INTO sending_sentlog (id, brand_id, campaign_id, run_id, message_id, subscriber_id, sender_id, purpose, phone, body, segments, state, reason, expires_at, sent_at, provider_message_id)
          SELECT ('{first}' || '8' || substr(md5(n::text),1,3) || '8' || substr(md5(n::text),4,15))::uuid, {brand.pk}, {campaign.pk}, {run.pk}, 1, n, {sender.pk}, 'campaign', '+1212' || n, repeat('x', 80), 1, 'accepted', '', now() + interval '1 day', now(), 'SM' || md5(n::text)
          FROM generate_series(1, {N}) n""")
        c.execute("INSERT INTO sending_providermessage (provider_id, sender_id, text_id) SELECT provider_message_id, sender_id, id FROM sending_sentlog")
        c.execute("INSERT INTO sending_dailytotal (day, sent) SELECT (now() at time zone 'utc')::date, %s", [N])
        c.execute("ANALYZE")
    log = tmp_path / "c.jsonl"
    with log.open("w") as f, connection.cursor() as c:
        c.execute("SELECT id::text, provider_message_id, phone, body FROM sending_sentlog")
        for n, row in enumerate(c):
            f.write(json.dumps({"at": "2026-11-22T01:00:00Z", "gateway": "twilio", "provider_id": row[1], "reference": row[0] if n % 2 else "", "to": row[2], "body": row[3]}) + "\n")
    del row
    before = rss()
    t = time.monotonic(); b = books.audit(books.Scope()); print("AUDIT", time.monotonic() - t, b.differences)
    from django.test.utils import CaptureQueriesContext
    t = time.monotonic(); b = books.audit(books.Scope(), reconciliation.in_file(log)); print("WITH CARRIER", time.monotonic() - t, b.accepted, b.differences, "rss", before, rss())
    with CaptureQueriesContext(connection) as q: books.audit(books.Scope())
    for one in sorted(q.captured_queries, key=lambda x: -float(x["time"]))[:5]: print(one["time"], " ".join(one["sql"].split())[:150])
    with connection.cursor() as c: c.execute("UPDATE sending_sentlog SET sent_at = now() - interval '1 minute'")
    for _ in range(3):
        t = time.monotonic(); lookups.resolve_unknown(); print("SLICE", time.monotonic() - t)
    with connection.cursor() as c:
        c.execute("UPDATE sending_sentlog SET state='planned', sent_at=NULL, provider_message_id=''")
        c.execute("INSERT INTO sending_queuedtext (id, brand_id, campaign_id, subscriber_id, lane, due_at) SELECT id, brand_id, campaign_id, subscriber_id, 1, now() FROM sending_sentlog")
        c.execute("ANALYZE")
    t = time.monotonic(); print("SAFE", safe_mode.enter(clock.now()), time.monotonic() - t)
