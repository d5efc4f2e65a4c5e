"""The SQL of `outcomes.py`, which alone runs it: a text's state has one writer."""

_GIVEN = """
    WITH kinds AS (
        SELECT * FROM unnest(%(brand_id)s::bigint[], %(campaign_id)s::bigint[],
            %(run_id)s::bigint[], %(message_id)s::bigint[], %(purpose)s::text[],
            %(state)s::text[], %(reason)s::text[], %(expires_at)s::timestamptz[],
            %(lane)s::smallint[], %(due_at)s::timestamptz[])
            WITH ORDINALITY AS kind (brand_id, campaign_id, run_id, message_id, purpose, state,
                reason, expires_at, lane, due_at, place)),
    given AS MATERIALIZED (
        SELECT * FROM unnest(%(id)s::uuid[], %(subscriber_id)s::bigint[], %(phone)s::text[],
            %(body)s::text[], %(segments)s::smallint[], %(kind)s::int[])
            AS text (id, subscriber_id, phone, body, segments, place)
        JOIN kinds USING (place)),
    new AS (
        INSERT INTO sending_sentlog
            (id, brand_id, campaign_id, run_id, message_id, subscriber_id, purpose, phone, body,
             segments, state, reason, expires_at)
        SELECT id, brand_id, campaign_id, run_id, message_id, subscriber_id, purpose, phone, body,
               segments, state, reason, expires_at FROM given"""
_QUEUE = "INSERT INTO sending_queuedtext (id, brand_id, campaign_id, subscriber_id, lane, due_at)"

# Where all are new, as they mostly are. To look for each first costs half as much again.
PLAN = f"""{_GIVEN})
    {_QUEUE}
    SELECT id, brand_id, campaign_id, subscriber_id, lane, due_at FROM given WHERE state = 'planned'"""

# Where some are there already: answers those that were not.
PLAN_REST = f"""{_GIVEN}
        ON CONFLICT (id) DO NOTHING RETURNING id),
    queued AS (
        {_QUEUE}
        SELECT id, brand_id, campaign_id, subscriber_id, lane, due_at
        FROM given JOIN new USING (id) WHERE state = 'planned')
    SELECT id FROM new"""

# `id = ANY` beside the join: only a constant prunes the partitions while planning.
DEPART = """
    WITH unqueued AS (DELETE FROM sending_queuedtext WHERE id = ANY(%(ids)s::uuid[])),
    departed AS (
        UPDATE sending_sentlog AS text
        SET state = 'sending', reason = '', lease_token = given.token, sender_id = given.sender_id,
            sent_at = clock_timestamp(), changed_at = now()
        FROM unnest(%(ids)s::uuid[], %(senders)s::bigint[], %(tokens)s::uuid[])
            AS given(id, sender_id, token)
        WHERE text.id = given.id AND text.id = ANY(%(ids)s::uuid[]) AND text.state = 'planned'
        RETURNING text.id, text.brand_id, given.token)
    INSERT INTO sending_departure (token, brand_id, texts, expires_at)
    SELECT token, brand_id, array_agg(id), clock_timestamp() + %(lease)s
    FROM departed GROUP BY token, brand_id RETURNING texts"""

END = """
    UPDATE sending_sentlog AS text
    SET state = given.state, reason = given.reason, changed_at = now()
    FROM unnest(%s::uuid[], %s::text[], %s::text[]) AS given(id, state, reason)
    WHERE text.id = given.id AND text.id = ANY(%s::uuid[]) AND text.state = 'planned'"""

# A receipt may have been faster than the answer: then only what the answer adds is written. A text
# that goes back to the queue loses its token, so that an answer written twice counts once.
_ATTEMPTS = "text.attempts + CASE text.state WHEN 'sending' THEN given.tried ELSE 0 END"
RECORD = f"""
    WITH recorded AS (
        UPDATE sending_sentlog AS text
        SET provider_message_id = given.provider_id, bulk_id = given.bulk_id,
            error_code = given.code, error_detail = given.detail, changed_at = now(),
            attempts = {_ATTEMPTS},
            state = CASE
                WHEN text.state NOT IN ('sending', 'unknown') THEN text.state
                WHEN given.state = 'planned' AND {_ATTEMPTS} >= %(attempts)s THEN 'failed'
                ELSE given.state END,
            reason = CASE
                WHEN text.state NOT IN ('sending', 'unknown') THEN text.reason
                WHEN given.state = 'planned' AND {_ATTEMPTS} >= %(attempts)s
                THEN 'too_many_attempts' ELSE '' END,
            sent_at = CASE WHEN given.state IN ('planned', 'failed')
                AND text.state IN ('sending', 'unknown') THEN NULL ELSE text.sent_at END,
            lease_token = CASE WHEN given.state = 'planned'
                AND text.state IN ('sending', 'unknown') THEN NULL ELSE text.lease_token END
        FROM unnest(%(ids)s::uuid[], %(states)s::text[], %(providers)s::text[], %(bulks)s::text[],
                %(codes)s::text[], %(details)s::text[], %(tried)s::smallint[], %(tokens)s::uuid[])
            AS given(id, state, provider_id, bulk_id, code, detail, tried, token)
        WHERE text.id = given.id AND text.id = ANY(%(ids)s::uuid[])
            AND text.lease_token = given.token
        RETURNING text.id, text.state, text.sender_id, given.provider_id),
    remembered AS (
        INSERT INTO sending_providermessage (provider_id, sender_id, text_id)
        SELECT provider_id, sender_id, id FROM recorded WHERE provider_id <> ''
        ON CONFLICT DO NOTHING)
    SELECT id, state FROM recorded"""

# Off the day on which it departed, which may be yesterday.
UNCOUNT = """
    UPDATE sending_dailytotal AS total SET sent = greatest(0, total.sent - refused.texts)
    FROM (SELECT (coalesce(departure.departed_at, now()) AT TIME ZONE 'UTC')::date AS day,
                 count(*) AS texts
          FROM unnest(%s::uuid[]) AS answered(token)
          LEFT JOIN sending_departure AS departure USING (token) GROUP BY 1) AS refused
    WHERE total.day = refused.day"""

COUNT = """
    INSERT INTO sending_dailytotal AS total (day, sent)
    VALUES ((now() AT TIME ZONE 'UTC')::date, %s)
    ON CONFLICT (day) DO UPDATE SET sent = total.sent + excluded.sent"""

# `backoff` is counted from 1, like `attempts` after the first.
REQUEUE = """
    INSERT INTO sending_queuedtext (id, brand_id, campaign_id, subscriber_id, lane, due_at)
    SELECT text.id, text.brand_id, text.campaign_id, text.subscriber_id,
           CASE text.purpose WHEN 'campaign' THEN 1 ELSE 0 END,
           clock_timestamp() + make_interval(secs => greatest(
               coalesce(given.wait, 0),
               (%(backoff)s::int[])[greatest(text.attempts, 1)] * (0.8 + 0.4 * random())))
    FROM unnest(%(ids)s::uuid[], %(waits)s::float8[]) AS given(id, wait)
    JOIN sending_sentlog AS text ON text.id = given.id AND text.id = ANY(%(ids)s::uuid[])
    ON CONFLICT (id) DO NOTHING"""

QUEUED_OF = "SELECT id FROM sending_queuedtext WHERE id = ANY(%s::uuid[])"
TEXTS_OF = "SELECT id FROM sending_sentlog WHERE id = ANY(%s::uuid[])"
RECEIVE = """
    UPDATE sending_sentlog AS text
    SET state = given.state, changed_at = now(), reason = '',
        error_code = CASE WHEN given.code = '' AND given.state <> 'delivered'
                          THEN text.error_code ELSE given.code END,
        sent_at = coalesce(text.sent_at, now())
    FROM (SELECT DISTINCT ON (id) id, state, code
          FROM unnest(%(ids)s::uuid[], %(states)s::text[], %(codes)s::text[])
               AS told(id, state, code)
          ORDER BY id, array_position(%(order)s::text[], state) DESC) AS given
    WHERE text.id = given.id AND text.id = ANY(%(ids)s::uuid[])
      AND array_position(%(order)s::text[], given.state)
          > array_position(%(order)s::text[], text.state::text)
    RETURNING text.id, text.sent_at = now()"""

# A text that failed was counted on the day of its answer; it will be counted again. An id begins
# with its time; what is sent long after it would be missed by the caps, which go by ranges of ids.
QUEUE_AGAIN = """
    WITH chosen AS MATERIALIZED (
        SELECT id, state, (changed_at AT TIME ZONE 'UTC')::date AS day FROM sending_sentlog
        WHERE id = ANY(%(ids)s::uuid[]) AND id >= %(first)s AND state IN ('failed', 'expired')
          AND sent_at IS NULL AND provider_message_id = '' AND body <> ''
        ORDER BY id FOR NO KEY UPDATE),
    again AS (
        UPDATE sending_sentlog AS text
        SET state = 'planned', reason = '', attempts = 0, lease_token = NULL, changed_at = now(),
            expires_at = least(now() + %(lifetime)s, %(longest)s + to_timestamp(
                ('x' || left(replace(text.id::text, '-', ''), 12))::bit(48)::bigint / 1000.0))
        FROM chosen WHERE text.id = chosen.id AND text.id = ANY(%(ids)s::uuid[])
        RETURNING text.id, text.brand_id, text.campaign_id, text.subscriber_id, text.purpose),
    uncounted AS (
        UPDATE sending_dailytotal AS total SET sent = greatest(0, total.sent - failed.texts)
        FROM (SELECT day, count(*) AS texts FROM chosen WHERE state = 'failed' GROUP BY day)
             AS failed
        WHERE total.day = failed.day)
    INSERT INTO sending_queuedtext (id, brand_id, campaign_id, subscriber_id, lane, due_at)
    SELECT id, brand_id, campaign_id, subscriber_id,
           CASE purpose WHEN 'campaign' THEN 1 ELSE 0 END, now()
    FROM again RETURNING id"""

DOUBT_DEPARTED = """
    UPDATE sending_sentlog AS text
    SET state = 'unknown', reason = %s, attempts = attempts + 1, changed_at = now()
    FROM (SELECT DISTINCT unnest(texts) AS id FROM sending_departure) AS departed
    WHERE text.id = departed.id AND text.state = 'sending'"""

# They count as sent for every cap, at the latest moment that it can have been: now.
_DOUBT = """
    WITH gone AS (
        DELETE FROM sending_queuedtext AS queued USING sending_sentlog AS text
        WHERE text.id = queued.id AND text.state = 'planned' AND {condition}
        RETURNING queued.id),
    doubted AS (
        UPDATE sending_sentlog AS text
        SET state = 'unknown', reason = %(reason)s, sent_at = now(), changed_at = now()
        FROM gone WHERE text.id = gone.id RETURNING text.id),
    counted AS (
        INSERT INTO sending_dailytotal AS total (day, sent)
        SELECT (now() AT TIME ZONE 'UTC')::date, count(*) FROM doubted HAVING count(*) > 0
        ON CONFLICT (day) DO UPDATE SET sent = total.sent + excluded.sent)
    SELECT count(*) FROM doubted"""
DOUBT_WAITING = _DOUBT.format(
    condition="""text.expires_at > %(since)s
          AND (queued.due_at <= now() OR queued.due_at = %(parked)s)
          AND NOT EXISTS (SELECT FROM campaigns_campaign AS campaign
              WHERE campaign.id = queued.campaign_id AND campaign.status = 'cancelled')"""
)
DOUBT_OF_RUN = _DOUBT.format(condition="text.run_id = %(run)s AND queued.subscriber_id > %(after)s")

CLOSE_UNKNOWN = """
    UPDATE sending_sentlog SET reason = %(reason)s, changed_at = now()
    WHERE id = ANY(%(ids)s::uuid[]) AND state = 'unknown' AND reason <> %(reason)s"""
