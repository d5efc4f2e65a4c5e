"""`make bench` (ROWS="single bulk" RUNS=5): run rows, print their medians and keep the results."""

import gc
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
os.environ.update(
    DJANGO_SETTINGS_MODULE="config.settings",
    CARILLON_DEVELOPMENT="1",
    CARILLON_DATA=str(ROOT / ".carillon" / "bench"),
    FAKE_CARRIER_URL="http://127.0.0.1:8199",
    LOG_LEVEL="ERROR",
)
os.environ.pop("DATABASE_URL", None)
os.environ.pop("REDIS_URL", None)

if __name__ == "__main__":
    from config import embedded

    embedded.ensure_environment()
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    from benchmarks import rows

    gc.freeze()  # as the ticker does
    sys.exit(rows.run(sys.argv[1:], times=int(os.environ.get("RUNS") or 1)))
