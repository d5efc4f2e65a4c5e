import django.db.models.functions.text
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False  # the table is large, and people go on being written

    dependencies = [
        ("subscribers", "0004_consent_rules"),
    ]

    operations = [
        AddIndexConcurrently(
            model_name="subscriber",
            index=models.Index(
                models.F("workspace"),
                django.db.models.functions.text.Lower("email"),
                condition=models.Q(("email", ""), _negated=True),
                name="subscriber_email_any_case",
            ),
        ),
    ]
