"""Credits, and test sends."""

import django.db.models.deletion
import django.db.models.functions.datetime
import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("campaigns", "0002_send_windows"),
        ("sending", "0001_initial"),
        ("subscribers", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="CreditAccount",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "enforced",
                    models.BooleanField(
                        default=False,
                        help_text="On: nothing is planned without credits. Off: only counted.",
                    ),
                ),
                (
                    "opened_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(),
                        editable=False,
                        help_text="What was planned before is not counted.",
                    ),
                ),
                (
                    "granted",
                    models.BigIntegerField(
                        default=0, editable=False, help_text="Grants, corrected."
                    ),
                ),
                (
                    "reserved",
                    models.BigIntegerField(
                        default=0, editable=False, help_text="For texts that may still go out."
                    ),
                ),
                (
                    "spent",
                    models.BigIntegerField(
                        default=0, editable=False, help_text="On texts that went out."
                    ),
                ),
                (
                    "workspace",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="credit_account",
                        to="subscribers.workspace",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="CreditHold",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("first_id", models.UUIDField()),
                ("reserved", models.BigIntegerField(default=0)),
                ("debited", models.BigIntegerField(default=0)),
                ("released", models.BigIntegerField(default=0)),
                (
                    "entries",
                    models.PositiveIntegerField(default=0, help_text="Its entries in the ledger."),
                ),
                (
                    "changed_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
                (
                    "due_at",
                    models.DateTimeField(
                        help_text="When its texts are looked at again.", null=True
                    ),
                ),
                (
                    "account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="holds",
                        to="sending.creditaccount",
                    ),
                ),
                (
                    "campaign",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        to="campaigns.campaign",
                    ),
                ),
                (
                    "run",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        to="campaigns.run",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="CreditEntry",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("grant", "Granted"),
                            ("adjust", "Corrected"),
                            ("reserve", "Reserved"),
                            ("debit", "Debited"),
                            ("release", "Released"),
                        ],
                        max_length=7,
                    ),
                ),
                (
                    "amount",
                    models.BigIntegerField(
                        help_text="In credits. One credit is one segment of a text."
                    ),
                ),
                (
                    "reference",
                    models.CharField(
                        editable=False,
                        help_text="The same change twice is refused.",
                        max_length=60,
                        unique=True,
                    ),
                ),
                ("note", models.CharField(blank=True, db_default="", max_length=200)),
                (
                    "actor",
                    models.CharField(blank=True, db_default="", editable=False, max_length=150),
                ),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), editable=False
                    ),
                ),
                (
                    "workspace",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, to="subscribers.workspace"
                    ),
                ),
                (
                    "hold",
                    models.ForeignKey(
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="ledger",
                        to="sending.credithold",
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "credit entries",
            },
        ),
        migrations.CreateModel(
            name="TestNumber",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("phone", models.CharField(help_text="E.164, e.g. +17325555555.", max_length=16)),
                ("note", models.CharField(blank=True, help_text="Whose it is.", max_length=100)),
                (
                    "added_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), editable=False
                    ),
                ),
                (
                    "workspace",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="test_numbers",
                        to="subscribers.workspace",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="TestRequest",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "key",
                    models.CharField(
                        help_text="The same key again asks for the same texts.", max_length=80
                    ),
                ),
                ("asked_by", models.CharField(max_length=150)),
                ("asked_at", models.DateTimeField(help_text="In whole milliseconds.")),
                (
                    "campaign",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="test_requests",
                        to="campaigns.campaign",
                    ),
                ),
            ],
        ),
        migrations.AddIndex(
            model_name="credithold",
            index=models.Index(fields=["first_id"], name="credit_hold_of_text"),
        ),
        migrations.AddIndex(
            model_name="credithold",
            index=models.Index(
                condition=models.Q(("due_at__isnull", False)),
                fields=["due_at"],
                name="credit_hold_due",
            ),
        ),
        migrations.AddConstraint(
            model_name="credithold",
            constraint=models.UniqueConstraint(
                fields=("campaign", "run", "first_id"),
                name="credit_hold_once",
                nulls_distinct=False,
            ),
        ),
        migrations.AddIndex(
            model_name="creditentry",
            index=models.Index(
                models.F("workspace"),
                models.OrderBy(models.F("id"), descending=True),
                name="credit_entry_latest",
            ),
        ),
        migrations.AddConstraint(
            model_name="creditentry",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("amount__gt", 0),
                    models.Q(("amount__lt", 0), ("kind", "adjust")),
                    _connector="OR",
                ),
                name="only_a_correction_takes_away",
            ),
        ),
        migrations.AddConstraint(
            model_name="creditentry",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("hold__isnull", True), ("kind__in", ["grant", "adjust"])),
                    models.Q(
                        ("hold__isnull", False), ("kind__in", ["reserve", "debit", "release"])
                    ),
                    _connector="OR",
                ),
                name="credit_entry_of_texts_names_them",
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="creditentry",
            trigger=pgtrigger.compiler.Trigger(
                name="credit_append_only",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="RAISE EXCEPTION 'pgtrigger: Cannot update or delete rows from % table', TG_TABLE_NAME;",
                    hash="3f00e548f1c1c48d981a2ffeefeba4c8f38c01d5",
                    operation="UPDATE OR DELETE",
                    pgid="pgtrigger_credit_append_only_172d1",
                    table="sending_creditentry",
                    when="BEFORE",
                ),
            ),
        ),
        migrations.AddConstraint(
            model_name="testnumber",
            constraint=models.UniqueConstraint(
                fields=("workspace", "phone"), name="test_number_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="testrequest",
            constraint=models.UniqueConstraint(
                fields=("campaign", "key"), name="test_request_once"
            ),
        ),
    ]
