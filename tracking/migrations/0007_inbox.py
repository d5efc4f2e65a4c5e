import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("sending", "0001_initial"),
        ("tracking", "0006_purchases"),
    ]

    operations = [
        migrations.CreateModel(
            name="InboundEvent",
            fields=[
                (
                    "key",
                    models.BinaryField(
                        help_text="SHA-256 of sender, query and body.",
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("query", models.TextField(blank=True)),
                ("body", models.BinaryField()),
                (
                    "received_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
                ("applied_at", models.DateTimeField(null=True)),
                (
                    "problem",
                    models.CharField(
                        blank=True,
                        db_default="",
                        help_text="Why it could not be applied.",
                        max_length=100,
                    ),
                ),
                (
                    "sender",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="sending.sender",
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(fields=["applied_at"], name="inbound_event_applied"),
                ],
            },
        ),
        # Each row is written twice: what is left of the first time is to be found again soon.
        migrations.RunSQL(
            "ALTER TABLE tracking_inboundevent SET (autovacuum_vacuum_scale_factor = 0.02)",
            migrations.RunSQL.noop,
        ),
    ]
