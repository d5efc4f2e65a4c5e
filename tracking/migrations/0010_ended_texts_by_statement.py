"""Texts that ended are noted once for all rows of a statement, and not looked at while nobody asks.

A function a row took 50 microseconds of each delivered text, though no endpoint was there. The
campaigns' counts keep the rows of each statement already, and a second trigger reads the same ones.
"""

import django.db.models.deletion
from django.db import migrations, models

_INSERT = """
        INSERT INTO tracking_outboundevent (uid, workspace_id, brand_id, type, subscriber_id,
            text_id, source, facts, occurred_at)
        SELECT gen_random_uuid(), brand.workspace_id, brand.id, 'text.' || fresh.state,
            fresh.subscriber_id, fresh.id, fresh.id::text, jsonb_build_object(
                'text', fresh.id, 'campaign', fresh.campaign_id, 'message', fresh.message_id,
                'purpose', fresh.purpose, 'state', fresh.state, 'reason', fresh.reason,
                'errorCode', fresh.error_code, 'segments', fresh.segments, 'sentAt', fresh.sent_at),
            fresh.changed_at
        FROM {rows} JOIN subscribers_brand AS brand ON brand.id = fresh.brand_id
        WHERE {ended} AND EXISTS (
            SELECT FROM tracking_webhookendpoint AS endpoint
            WHERE endpoint.workspace_id = brand.workspace_id AND endpoint.enabled
              AND (endpoint.brand_id IS NULL OR endpoint.brand_id = brand.id)
              AND 'text.' || fresh.state = ANY (endpoint.event_types));"""
_FUNCTION = """
    CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF NOT EXISTS (
            SELECT FROM tracking_webhookendpoint WHERE enabled AND event_types
                && ARRAY['text.delivered', 'text.undelivered', 'text.failed']::varchar[]
        ) THEN
            RETURN NULL;
        END IF;{insert}
        RETURN NULL;
    END $$;"""
_CHANGED = _INSERT.format(
    rows="fresh JOIN stale ON stale.id = fresh.id",
    ended="fresh.state IN ('delivered', 'undelivered', 'failed') AND fresh.state <> stale.state",
)
_MADE = _INSERT.format(rows="fresh", ended="fresh.state = 'failed'")

_CLICK = """
    CREATE OR REPLACE FUNCTION tracking_note_click() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF NOT EXISTS (SELECT FROM tracking_webhookendpoint
                       WHERE enabled AND 'click.created' = ANY (event_types)) THEN
            RETURN NULL;
        END IF;
        INSERT INTO tracking_outboundevent (uid, workspace_id, brand_id, type, subscriber_id,
            text_id, source, facts, occurred_at)
        SELECT gen_random_uuid(), brand.workspace_id, brand.id, 'click.created',
            NEW.subscriber_id, NEW.text_id, NEW.id::text, jsonb_build_object(
                'click', NEW.id, 'text', NEW.text_id, 'link', link.id, 'url', link.destination,
                'message', message.id, 'campaign', message.campaign_id),
            NEW.received_at
        FROM subscribers_brand AS brand
        LEFT JOIN campaigns_link AS link ON link.id = (NEW.raw ->> 'link')::bigint
        LEFT JOIN campaigns_message AS message ON message.id = link.message_id
        WHERE brand.id = NEW.brand_id AND EXISTS (
            SELECT FROM tracking_webhookendpoint AS endpoint
            WHERE endpoint.workspace_id = brand.workspace_id AND endpoint.enabled
              AND (endpoint.brand_id IS NULL OR endpoint.brand_id = brand.id)
              AND 'click.created' = ANY (endpoint.event_types));
        RETURN NULL;
    END $$;"""

_UP = [
    "SET LOCAL lock_timeout = '10s'",
    "DROP TRIGGER outbound_text_ended ON sending_sentlog",
    "DROP TRIGGER outbound_text_made ON sending_sentlog",
    "DROP FUNCTION tracking_note_text()",
    _FUNCTION.format(name="tracking_note_ended_texts", insert=_CHANGED),
    _FUNCTION.format(name="tracking_note_failed_texts", insert=_MADE),
    """CREATE TRIGGER outbound_texts_ended AFTER UPDATE ON sending_sentlog
       REFERENCING OLD TABLE AS stale NEW TABLE AS fresh
       FOR EACH STATEMENT EXECUTE FUNCTION tracking_note_ended_texts()""",
    """CREATE TRIGGER outbound_texts_made AFTER INSERT ON sending_sentlog
       REFERENCING NEW TABLE AS fresh
       FOR EACH STATEMENT EXECUTE FUNCTION tracking_note_failed_texts()""",
    _CLICK,
]
# The way back leaves the texts without a trigger: 0009 makes them when it is applied again.
_DOWN = [
    "DROP TRIGGER outbound_texts_ended ON sending_sentlog",
    "DROP TRIGGER outbound_texts_made ON sending_sentlog",
    "DROP FUNCTION tracking_note_ended_texts()",
    "DROP FUNCTION tracking_note_failed_texts()",
    """CREATE FUNCTION tracking_note_text() RETURNS trigger LANGUAGE plpgsql
       AS $$ BEGIN RETURN NULL; END $$""",
    """CREATE TRIGGER outbound_text_ended AFTER UPDATE ON sending_sentlog
       FOR EACH ROW WHEN (false) EXECUTE FUNCTION tracking_note_text()""",
    """CREATE TRIGGER outbound_text_made AFTER INSERT ON sending_sentlog
       FOR EACH ROW WHEN (false) EXECUTE FUNCTION tracking_note_text()""",
]


class Migration(migrations.Migration):
    dependencies = [
        ("subscribers", "0004_consent_rules"),
        ("tracking", "0009_events_are_noted"),
    ]

    operations = [
        migrations.RunSQL(_UP, _DOWN),
        # Checked for each row it would lock the workspace's, for all that happens in it.
        migrations.AlterField(
            model_name="outboundevent",
            name="workspace",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                to="subscribers.workspace",
            ),
        ),
    ]
