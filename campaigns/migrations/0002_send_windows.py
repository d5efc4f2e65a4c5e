from django.db import migrations

from campaigns.policy import load_send_windows


def load(apps, schema_editor):
    load_send_windows(apps.get_model("campaigns", "LegalWindow"))


class Migration(migrations.Migration):
    """The law as shared/compliance gives it; later rows come by `manage.py load_send_windows`."""

    dependencies = [("campaigns", "0001_initial")]

    operations = [migrations.RunPython(load, migrations.RunPython.noop)]
