"""How long it takes to foresee a campaign, with people of all kinds and a name in every text."""

import time
from collections import Counter

from django.db import connection

from benchmarks import world
from campaigns import lifecycle
from campaigns.models import Campaign, Message
from sending import forecast, progress
from sending.models import Sender
from subscribers import clock
from subscribers.models import Brand

BODY = (
    "{{ brand }}: Hi {{ first_name | default: 'friend' }}, all saddles are 20% off on Saturday."
    " Reply STOP to opt out."
)


def of_an_audience(people: int, log_rows: int) -> dict[str, float]:
    """A draft to a brand whose last broadcast said the same; then it is planned, to compare."""
    world.empty()
    brand = world.brand()
    Sender.objects.filter(pk=world.sender(brand, "twilio").pk).update(rate=100)
    world.people(brand, people)
    world.history(brand, log_rows)
    _mix(brand)
    _draft(brand, "Before")
    before = Campaign.objects.latest("pk")
    lifecycle.launch(before, now=clock.now())
    world.planned(before)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE sending_sentlog SET state = 'delivered', sent_at = now() - interval"
                       " '3 days' WHERE campaign_id = %s AND state = 'planned'", [before.pk])  # fmt: skip
        cursor.execute("DELETE FROM sending_queuedtext")
        cursor.execute("VACUUM ANALYZE sending_sentlog")
    campaign = _draft(brand, "Draft")
    wall, cpu = time.monotonic(), time.process_time()
    foreseen = forecast.of_campaign(campaign)
    took = {"seconds": time.monotonic() - wall, "cpu_seconds": time.process_time() - cpu}
    lifecycle.launch(campaign, now=clock.now())
    world.planned(campaign)
    planned = progress.of_campaign(campaign)
    if Counter(planned.by_state_and_reason) != Counter(foreseen.totals.by_state_and_reason):
        raise RuntimeError(f"foreseen {foreseen.totals}, planned {planned}")
    return took | {"people": people, "texts": foreseen.texts, "repeated": foreseen.repeated}


def _draft(brand: Brand, name: str) -> Campaign:
    campaign = Campaign.objects.create(brand=brand, name=name)
    Message.objects.create(campaign=campaign, body=BODY)
    return campaign


def _mix(brand: Brand) -> None:
    """A tenth opted out, some suppressed, a third in Hawaii, some with two zones, some landlines."""
    with connection.cursor() as cursor:
        cursor.execute(
            """UPDATE subscribers_subscriber SET
                   zones = CASE id %% 6 WHEN 0 THEN '{America/New_York,America/Chicago}'::text[]
                       WHEN 1 THEN '{Pacific/Honolulu}' WHEN 2 THEN '{America/Los_Angeles}'
                       WHEN 3 THEN '{America/Chicago}' ELSE zones END,
                   number_kind = CASE WHEN id %% 50 = 0 THEN 'landline' ELSE number_kind END
               WHERE workspace_id = %s""",
            [brand.workspace_id],
        )
        cursor.execute(
            "UPDATE subscribers_subscription SET status = 'opted_out', opted_out_at = now()"
            " WHERE brand_id = %s AND subscriber_id %% 10 = 3",
            [brand.pk],
        )
        cursor.execute(
            """INSERT INTO subscribers_suppression (workspace_id, phone_hash, phone, source, reason)
               SELECT workspace_id, phone_hash, phone, 'import', 'bench' FROM subscribers_subscriber
               WHERE workspace_id = %s AND id %% 37 = 0 ON CONFLICT DO NOTHING""",
            [brand.workspace_id],
        )
        cursor.execute("VACUUM ANALYZE subscribers_subscriber, subscribers_subscription")
