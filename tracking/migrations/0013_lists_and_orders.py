"""Lists by arrival have their indexes, and orders and refunds are noted for webhooks, once for all rows
of a statement."""

import django.contrib.postgres.fields
from django.db import migrations, models

_ASKED = """EXISTS (
            SELECT FROM tracking_webhookendpoint AS endpoint
            WHERE endpoint.workspace_id = brand.workspace_id AND endpoint.enabled
              AND (endpoint.brand_id IS NULL OR endpoint.brand_id = brand.id)
              AND '{kind}' = ANY (endpoint.event_types))"""
_FUNCTION = """
    CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF NOT EXISTS (SELECT FROM tracking_webhookendpoint
                       WHERE enabled AND '{kind}' = ANY (event_types)) THEN
            RETURN NULL;
        END IF;
        INSERT INTO tracking_outboundevent (uid, workspace_id, brand_id, type, subscriber_id,
            text_id, source, facts, occurred_at)
        SELECT gen_random_uuid(), brand.workspace_id, brand.id, '{kind}', purchase.subscriber_id,
            NULL::uuid, added.id::text, jsonb_build_object({facts}), {moment}
        FROM added {joined} JOIN subscribers_brand AS brand ON brand.id = purchase.brand_id
        WHERE {asked};
        RETURN NULL;
    END $$;"""


def _noted(name: str, kind: str, **parts: str) -> str:
    return _FUNCTION.format(name=name, kind=kind, asked=_ASKED.format(kind=kind), **parts)


_UP = [
    "SET LOCAL lock_timeout = '10s'",
    _noted(
        "tracking_note_purchases",
        "purchase.recorded",
        facts="""'purchase', added.id, 'amount', added.amount::text,
            'currency', added.currency, 'orderedAt', added.ordered_at""",
        moment="added.received_at",
        joined="CROSS JOIN LATERAL (SELECT added.brand_id, added.subscriber_id) AS purchase",
    ),
    _noted(
        "tracking_note_refunds",
        "refund.recorded",
        facts="""'purchase', purchase.id, 'refund', added.id, 'amount', added.amount::text,
            'currency', purchase.currency, 'refundedAt', added.refunded_at""",
        moment="added.received_at",
        joined="JOIN tracking_purchase AS purchase ON purchase.id = added.purchase_id",
    ),
    """CREATE TRIGGER outbound_purchases AFTER INSERT ON tracking_purchase
       REFERENCING NEW TABLE AS added
       FOR EACH STATEMENT EXECUTE FUNCTION tracking_note_purchases()""",
    """CREATE TRIGGER outbound_refunds AFTER INSERT ON tracking_refund
       REFERENCING NEW TABLE AS added
       FOR EACH STATEMENT EXECUTE FUNCTION tracking_note_refunds()""",
]
_DOWN = [
    "DROP TRIGGER outbound_purchases ON tracking_purchase",
    "DROP TRIGGER outbound_refunds ON tracking_refund",
    "DROP FUNCTION tracking_note_purchases()",
    "DROP FUNCTION tracking_note_refunds()",
]


class Migration(migrations.Migration):
    dependencies = [
        ("subscribers", "0005_email_any_case"),
        ("tracking", "0012_links_are_found_by_plan"),
    ]

    operations = [
        migrations.AlterField(
            model_name="outboundevent",
            name="type",
            field=models.CharField(
                choices=[
                    ("text.delivered", "A text was delivered"),
                    ("text.undelivered", "A text was not delivered"),
                    ("text.failed", "A text was refused and not sent"),
                    ("subscriber.opted_out", "A person opted out"),
                    ("subscriber.opted_in", "A person opted in"),
                    ("reply.received", "A person replied"),
                    ("click.created", "A person followed a link"),
                    ("purchase.recorded", "A person bought something"),
                    ("refund.recorded", "A purchase was refunded"),
                    ("campaign.completed", "A campaign ended"),
                ],
                max_length=24,
            ),
        ),
        migrations.AlterField(
            model_name="webhookendpoint",
            name="event_types",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(
                    choices=[
                        ("text.delivered", "A text was delivered"),
                        ("text.undelivered", "A text was not delivered"),
                        ("text.failed", "A text was refused and not sent"),
                        ("subscriber.opted_out", "A person opted out"),
                        ("subscriber.opted_in", "A person opted in"),
                        ("reply.received", "A person replied"),
                        ("click.created", "A person followed a link"),
                        ("purchase.recorded", "A person bought something"),
                        ("refund.recorded", "A purchase was refunded"),
                        ("campaign.completed", "A campaign ended"),
                    ],
                    max_length=24,
                )
            ),
        ),
        migrations.AddIndex(
            model_name="customevent",
            index=models.Index(fields=["brand", "received_at"], name="custom_event_by_arrival"),
        ),
        migrations.AddIndex(
            model_name="purchase",
            index=models.Index(fields=["brand", "received_at"], name="purchase_by_arrival"),
        ),
        migrations.AddIndex(
            model_name="refund",
            index=models.Index(fields=["received_at"], name="refund_by_arrival"),
        ),
        migrations.AddIndex(
            model_name="trackingevent",
            index=models.Index(
                condition=models.Q(("kind", "click")),
                fields=["brand", "received_at"],
                name="tracking_clicks_of_brand",
            ),
        ),
        migrations.RunSQL(_UP, _DOWN),
    ]
