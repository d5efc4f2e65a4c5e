"""What happened is noted for webhooks in the transaction in which it happened.

Triggers, because sources belong to four apps, are written by sets of rows in dozens of statements,
and must not miss a row whichever transaction commits first. What happens to every text costs a
comparison of its old and new state, and bulk writes cost one look for all their rows.
"""

from django.db import migrations

# `said` of a row: who it is about. {who} and {type} are filled in below.
_ASKS = """EXISTS (
        SELECT FROM tracking_webhookendpoint AS endpoint
        WHERE endpoint.workspace_id = {workspace} AND endpoint.enabled
          AND (endpoint.brand_id IS NULL OR {brand} IS NULL OR endpoint.brand_id = {brand})
          AND {type} = ANY (endpoint.event_types))"""

_COLUMNS = """tracking_outboundevent
        (uid, workspace_id, brand_id, type, subscriber_id, text_id, source, facts, occurred_at)"""


def _of_brand(name: str, kind: str, values: str, more: str = "") -> str:
    """A row-level trigger's function. `values`: subscriber, text, source, facts, moment."""
    asks = _ASKS.format(workspace="brand.workspace_id", brand="brand.id", type=kind)
    return f"""
CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO {_COLUMNS}
    SELECT gen_random_uuid(), brand.workspace_id, brand.id, {kind}, {values}
    FROM subscribers_brand AS brand {more}
    WHERE brand.id = NEW.brand_id AND {asks};
    RETURN NULL;
END $$;"""


_TEXT = _of_brand(
    "tracking_note_text",
    "'text.' || NEW.state",
    """NEW.subscriber_id, NEW.id, NEW.id::text, jsonb_build_object(
        'text', NEW.id, 'campaign', NEW.campaign_id, 'message', NEW.message_id,
        'purpose', NEW.purpose, 'state', NEW.state, 'reason', NEW.reason,
        'errorCode', NEW.error_code, 'segments', NEW.segments, 'sentAt', NEW.sent_at),
        NEW.changed_at""",
)
_REPLY = _of_brand(
    "tracking_note_reply",
    "'reply.received'",
    """NEW.subscriber_id, NEW.text_id, NEW.id::text, jsonb_build_object(
        'reply', NEW.id, 'meaning', NEW.meaning, 'campaign', NEW.campaign_id,
        'text', NEW.text_id), NEW.received_at""",
)
_CLICK = _of_brand(
    "tracking_note_click",
    "'click.created'",
    """NEW.subscriber_id, NEW.text_id, NEW.id::text, jsonb_build_object(
        'click', NEW.id, 'text', NEW.text_id, 'link', link.id, 'url', link.destination,
        'message', message.id, 'campaign', message.campaign_id), NEW.received_at""",
    """LEFT JOIN campaigns_link AS link ON link.id = (NEW.raw ->> 'link')::bigint
    LEFT JOIN campaigns_message AS message ON message.id = link.message_id""",
)
_CAMPAIGN = _of_brand(
    "tracking_note_campaign",
    "'campaign.completed'",
    """NULL::bigint, NULL::uuid, NEW.id::text, jsonb_build_object(
        'campaign', NEW.id, 'name', NEW.name, 'kind', NEW.kind), clock_timestamp()""",
)
_OPTED_IN = """NEW.subscriber_id, NULL::uuid, NEW.id::text,
        jsonb_build_object('subscription', NEW.id), coalesce(NEW.opted_in_at, now())"""
_RETURN = _of_brand("tracking_note_opt_in", "'subscriber.opted_in'", _OPTED_IN)


def _of_set(name: str, kind: str, select: str) -> str:
    """A statement-level trigger's function, over the rows `added`."""
    return f"""
CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM tracking_webhookendpoint
               WHERE enabled AND {kind} = ANY (event_types)) THEN
        INSERT INTO {_COLUMNS} {select};
    END IF;
    RETURN NULL;
END $$;"""


_OPT_INS = _of_set(
    "tracking_note_opt_ins",
    "'subscriber.opted_in'",
    f"""SELECT gen_random_uuid(), brand.workspace_id, brand.id, 'subscriber.opted_in',
        {_OPTED_IN.replace("NEW.", "added.")}
        FROM added JOIN subscribers_brand AS brand ON brand.id = added.brand_id
        WHERE added.status = 'opted_in'
          AND {_ASKS.format(workspace="brand.workspace_id", brand="brand.id", type="'subscriber.opted_in'")}""",
)
_OPT_OUTS = _of_set(
    "tracking_note_opt_outs",
    "'subscriber.opted_out'",
    f"""SELECT gen_random_uuid(), added.workspace_id, added.brand_id, 'subscriber.opted_out',
        added.subscriber_id, NULL::uuid, added.id::text, jsonb_build_object(
            'consent', added.id, 'source', added.source,
            'scope', CASE WHEN added.brand_id IS NULL THEN 'workspace' ELSE 'brand' END),
        added.occurred_at
        FROM added
        WHERE added.kind = 'opt_out'
          AND {_ASKS.format(workspace="added.workspace_id", brand="added.brand_id", type="'subscriber.opted_out'")}""",
)

_ENDINGS = "NEW.state IN ('delivered', 'undelivered', 'failed')"
# Name, table, when and on what, and the function that it runs.
_TRIGGERS = [
    (
        "outbound_text_ended",
        "sending_sentlog",
        "AFTER UPDATE",
        f"FOR EACH ROW WHEN (OLD.state IS DISTINCT FROM NEW.state AND {_ENDINGS})",
        "tracking_note_text",
    ),
    (
        "outbound_text_made",
        "sending_sentlog",
        "AFTER INSERT",
        "FOR EACH ROW WHEN (NEW.state = 'failed')",
        "tracking_note_text",
    ),
    ("outbound_reply", "tracking_reply", "AFTER INSERT", "FOR EACH ROW", "tracking_note_reply"),
    (
        "outbound_click",
        "tracking_trackingevent",
        "AFTER INSERT",
        "FOR EACH ROW WHEN (NEW.kind = 'click' AND NEW.name = 'click')",
        "tracking_note_click",
    ),
    (
        "outbound_campaign",
        "campaigns_campaign",
        "AFTER UPDATE",
        "FOR EACH ROW WHEN (NEW.status = 'completed' AND OLD.status <> 'completed')",
        "tracking_note_campaign",
    ),
    (
        "outbound_opt_in",
        "subscribers_subscription",
        "AFTER UPDATE",
        "FOR EACH ROW WHEN (NEW.status = 'opted_in' AND OLD.status <> 'opted_in')",
        "tracking_note_opt_in",
    ),
    (
        "outbound_opt_ins",
        "subscribers_subscription",
        "AFTER INSERT",
        "REFERENCING NEW TABLE AS added FOR EACH STATEMENT",
        "tracking_note_opt_ins",
    ),
    (
        "outbound_opt_outs",
        "subscribers_consentevent",
        "AFTER INSERT",
        "REFERENCING NEW TABLE AS added FOR EACH STATEMENT",
        "tracking_note_opt_outs",
    ),
]
_FUNCTIONS = [_TEXT, _REPLY, _CLICK, _CAMPAIGN, _RETURN, _OPT_INS, _OPT_OUTS]


def _up() -> list[str]:
    # A table that is busy for longer is not waited for: everybody else would wait behind us.
    made = [
        f"CREATE TRIGGER {name} {when}\n{'ON ' + table} {condition}\nEXECUTE FUNCTION {function}()"
        for name, table, when, condition, function in _TRIGGERS
    ]
    return ["SET LOCAL lock_timeout = '10s'", *_FUNCTIONS, *made]


def _down() -> list[str]:
    dropped = [f"DROP TRIGGER {name} ON {table}" for name, table, *_ in _TRIGGERS]
    names = dict.fromkeys(function for *_, function in _TRIGGERS)
    return [*dropped, *(f"DROP FUNCTION {name}()" for name in names)]


class Migration(migrations.Migration):
    dependencies = [
        ("subscribers", "0004_consent_rules"),
        ("campaigns", "0009_keywords_and_winners"),
        ("sending", "0008_credits_of_answers"),
        ("tracking", "0008_webhooks_out"),
    ]

    operations = [migrations.RunSQL(_up(), _down())]
