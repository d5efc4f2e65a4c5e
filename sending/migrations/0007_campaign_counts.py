import django.db.models.deletion
from django.db import migrations, models

# Statement triggers with transition tables: one row per state and reason that a statement changed,
# whatever statement it is, in its own transaction. A text that is only touched counts nothing.
TRIGGERS = """
    CREATE FUNCTION sending_count_new() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO sending_campaigncount (campaign_id, state, reason, texts)
        SELECT campaign_id, state, reason, count(*) FROM fresh
        WHERE run_id IS NOT NULL AND campaign_id IS NOT NULL GROUP BY 1, 2, 3;
        RETURN NULL;
    END $$;
    CREATE FUNCTION sending_count_changed() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO sending_campaigncount (campaign_id, state, reason, texts)
        SELECT campaign_id, state, reason, sum(texts) FROM (
            SELECT campaign_id, state, reason, count(*) AS texts FROM fresh
            WHERE run_id IS NOT NULL AND campaign_id IS NOT NULL GROUP BY 1, 2, 3
            UNION ALL
            SELECT campaign_id, state, reason, -count(*) FROM stale
            WHERE run_id IS NOT NULL AND campaign_id IS NOT NULL GROUP BY 1, 2, 3) AS moved
        GROUP BY 1, 2, 3 HAVING sum(texts) <> 0;
        RETURN NULL;
    END $$;
    CREATE TRIGGER sending_count_new AFTER INSERT ON sending_sentlog
        REFERENCING NEW TABLE AS fresh
        FOR EACH STATEMENT EXECUTE FUNCTION sending_count_new();
    CREATE TRIGGER sending_count_changed AFTER UPDATE ON sending_sentlog
        REFERENCING OLD TABLE AS stale NEW TABLE AS fresh
        FOR EACH STATEMENT EXECUTE FUNCTION sending_count_changed();
"""
NO_TRIGGERS = """
    DROP TRIGGER sending_count_new ON sending_sentlog;
    DROP TRIGGER sending_count_changed ON sending_sentlog;
    DROP FUNCTION sending_count_new();
    DROP FUNCTION sending_count_changed();
"""
# Creating the triggers has locked the log against writers, so this count is exact. It reads the
# log once: 3 s for 10 million texts, in which nothing is sent.
COUNT = """
    INSERT INTO sending_campaigncount (campaign_id, state, reason, texts, squashed)
    SELECT campaign_id, state, reason, count(*), true FROM sending_sentlog
    WHERE run_id IS NOT NULL AND campaign_id IS NOT NULL GROUP BY 1, 2, 3
"""


class Migration(migrations.Migration):
    dependencies = [
        ("campaigns", "0001_initial"),
        ("sending", "0006_short_links"),
    ]

    operations = [
        migrations.CreateModel(
            name="CampaignCount",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("state", models.CharField(max_length=11)),
                ("reason", models.CharField(blank=True, max_length=20)),
                (
                    "texts",
                    models.IntegerField(help_text="Negative where texts left this state."),
                ),
                ("squashed", models.BooleanField(db_default=False, default=False)),
                (
                    "campaign",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="campaigns.campaign",
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(fields=["campaign"], name="counts_of_campaign"),
                    models.Index(
                        condition=models.Q(("squashed", False)),
                        fields=["campaign"],
                        name="counts_to_squash",
                    ),
                ],
            },
        ),
        migrations.RunSQL(TRIGGERS, NO_TRIGGERS),
        migrations.RunSQL(COUNT, migrations.RunSQL.noop),
    ]
