"""The SQL of deliveries: sets of rows at once. Used by `deliveries.py` alone."""

# A click is told once it is known that it did not begin a scanner's burst: its row is renamed then.
# A purchase is told with the texts that it is credited to: by then the ticker has found them.
# An opt-out of the whole workspace is told to a brand's endpoint where the person is of that brand.
SPREAD = """
    WITH batch AS MATERIALIZED (
        SELECT event.id, event.workspace_id, event.brand_id, event.type, event.subscriber_id,
               event.recorded_at,
               CASE WHEN event.type = 'click.created' THEN event.source::uuid END AS click_id
        FROM tracking_outboundevent AS event
        WHERE NOT event.spread
          AND (event.type NOT IN ('click.created', 'purchase.recorded', 'refund.recorded')
               OR event.recorded_at < now() - interval '10 seconds')
        ORDER BY event.id LIMIT %(at_most)s FOR UPDATE SKIP LOCKED),
    made AS (
        INSERT INTO tracking_webhookdelivery
            (event_id, endpoint_id, state, attempts, due_at, give_up_at, created_at)
        SELECT batch.id, endpoint.id, 'waiting', 0, now(), now() + %(keep_trying)s, now()
        FROM batch JOIN tracking_webhookendpoint AS endpoint
            ON endpoint.workspace_id = batch.workspace_id AND endpoint.enabled
            AND batch.type = ANY (endpoint.event_types)
            AND endpoint.created_at <= batch.recorded_at
        WHERE (endpoint.brand_id IS NULL OR endpoint.brand_id = batch.brand_id
               OR batch.brand_id IS NULL AND EXISTS (
                   SELECT FROM subscribers_subscription AS subscription
                   WHERE subscription.subscriber_id = batch.subscriber_id
                     AND subscription.brand_id = endpoint.brand_id))
          AND (batch.click_id IS NULL OR EXISTS (
                   SELECT FROM tracking_trackingevent AS click
                   WHERE click.id = batch.click_id AND click.name = 'click'))
        ON CONFLICT DO NOTHING),
    told AS (
        UPDATE tracking_outboundevent AS event SET spread = true
        FROM batch WHERE event.id = batch.id RETURNING event.id)
    SELECT count(*) FROM told"""

# One process probes a paused endpoint: the pause moves on with the lease of the one delivery.
PROBE = """
    UPDATE tracking_webhookendpoint AS endpoint SET paused_until = now() + %(lease)s
    WHERE endpoint.enabled AND endpoint.paused_until <= now()
      AND EXISTS (SELECT FROM tracking_webhookdelivery AS due
          WHERE due.endpoint_id = endpoint.id AND due.state = 'waiting' AND due.due_at <= now())
    RETURNING endpoint.id"""

# Materialised: a subquery with LIMIT inside an UPDATE may run more than once and take too many.
# In random order: no endpoint is always the last when there is not room for all.
CLAIM = """
    WITH flying AS (
        SELECT * FROM unnest(%(endpoints)s::bigint[], %(counts)s::int[]) AS f(endpoint_id, count)),
    room AS MATERIALIZED (
        SELECT endpoint.id,
               CASE WHEN endpoint.id = ANY (%(probes)s::bigint[]) THEN 1
                    ELSE greatest(%(per_endpoint)s - coalesce(flying.count, 0), 0) END AS places
        FROM tracking_webhookendpoint AS endpoint
        LEFT JOIN flying ON flying.endpoint_id = endpoint.id
        WHERE endpoint.enabled
          AND (endpoint.paused_until IS NULL OR endpoint.id = ANY (%(probes)s::bigint[]))
        ORDER BY random()),
    taken AS MATERIALIZED (
        SELECT due.id FROM room, LATERAL (
            SELECT waiting.id FROM tracking_webhookdelivery AS waiting
            WHERE waiting.endpoint_id = room.id AND waiting.state = 'waiting'
              AND waiting.due_at <= now()
            ORDER BY waiting.due_at LIMIT room.places FOR UPDATE SKIP LOCKED) AS due
        LIMIT %(at_most)s)
    UPDATE tracking_webhookdelivery AS delivery
    SET lease_token = %(token)s, due_at = now() + %(lease)s, attempts = delivery.attempts + 1
    FROM taken WHERE delivery.id = taken.id
    RETURNING delivery.id, delivery.endpoint_id, delivery.event_id, delivery.attempts"""

HOLD_EVENTS = """
    SELECT id FROM tracking_outboundevent WHERE id = ANY (%s::bigint[]) ORDER BY id FOR SHARE"""

# An answer may repeat what we told. It is kept where an erasure finds it: by the event's subscriber.
NOTE_ATTEMPTS = """
    INSERT INTO tracking_webhookattempt (delivery_id, at, status, milliseconds, error, answer)
    SELECT delivery.id, now(), given.status, given.milliseconds, given.error,
           CASE WHEN event.erased THEN ''
                WHEN event.subscriber_id IS NULL AND event.source <> 'example'
                     AND event.type <> 'campaign.completed' THEN ''
                ELSE given.answer END
    FROM unnest(%(deliveries)s::bigint[], %(statuses)s::int[], %(times)s::int[],
                %(errors)s::text[], %(answers)s::text[])
        AS given(id, status, milliseconds, error, answer)
    JOIN tracking_webhookdelivery AS delivery ON delivery.id = given.id
    JOIN tracking_outboundevent AS event ON event.id = delivery.event_id"""

SETTLE = """
    UPDATE tracking_webhookdelivery AS delivery
    SET lease_token = NULL,
        state = CASE WHEN given.state = 'delivered' THEN 'delivered'
                     WHEN given.due_at <= delivery.give_up_at THEN 'waiting'
                     ELSE 'given_up' END,
        due_at = coalesce(given.due_at, delivery.due_at),
        finished_at = CASE WHEN given.state = 'delivered' THEN now()
                           WHEN given.due_at <= delivery.give_up_at THEN NULL
                           ELSE now() END
    FROM unnest(%(deliveries)s::bigint[], %(tokens)s::uuid[], %(states)s::text[],
                %(dues)s::timestamptz[]) AS given(id, token, state, due_at)
    WHERE delivery.id = given.id AND delivery.lease_token = given.token"""

REPLAY = """
    UPDATE tracking_webhookdelivery
    SET state = 'waiting', attempts = 0, due_at = now(), give_up_at = now() + %(keep_trying)s,
        lease_token = NULL, finished_at = NULL
    WHERE id = ANY (%(deliveries)s::bigint[]) AND state <> 'waiting'"""

GIVE_UP = """
    UPDATE tracking_webhookdelivery SET state = 'given_up', finished_at = now(), lease_token = NULL
    WHERE state = 'waiting' AND give_up_at < now() AND (lease_token IS NULL OR due_at < now())"""

# What ended long ago, a part at a time. Events without deliveries (nobody was left to tell) as well.
FORGET = """
    WITH old AS MATERIALIZED (
        SELECT event.id FROM tracking_outboundevent AS event
        WHERE event.recorded_at < now() - %(keep)s AND event.spread
          AND NOT EXISTS (SELECT FROM tracking_webhookdelivery AS open
              WHERE open.event_id = event.id
                AND (open.state = 'waiting' OR open.finished_at > now() - %(keep)s))
        ORDER BY event.recorded_at LIMIT %(at_most)s FOR UPDATE SKIP LOCKED),
    ended AS MATERIALIZED (
        SELECT id FROM tracking_webhookdelivery WHERE event_id IN (SELECT id FROM old)),
    attempts AS (
        DELETE FROM tracking_webhookattempt WHERE delivery_id IN (SELECT id FROM ended)),
    deliveries AS (
        DELETE FROM tracking_webhookdelivery WHERE id IN (SELECT id FROM ended))
    DELETE FROM tracking_outboundevent WHERE id IN (SELECT id FROM old)"""
