from django.db import migrations

from sending.partitions import ensure_ahead


def ensure(apps, schema_editor):
    ensure_ahead()


class Migration(migrations.Migration):
    """The first months of both partitioned tables; the ticker makes the later ones."""

    dependencies = [("sending", "0001_initial"), ("tracking", "0001_initial")]

    operations = [migrations.RunPython(ensure, migrations.RunPython.noop)]
