"""What dead workers leave behind. A lease on the queue ends by itself; a departure needs this."""

import structlog
from django.db import transaction

from sending import outcomes
from sending.models import Departure
from sending.queues import LEASE
from subscribers import clock

log = structlog.get_logger("carillon.reaper")

# After its lease a worker may still be writing down the last answers.
GRACE = LEASE / 12


def reap(at_most: int = 100) -> int:
    """Make what lost workers did not answer for `unknown`; answers how many texts."""
    lost = 0
    for _ in range(at_most):
        with transaction.atomic():
            departure = (
                Departure.objects.select_for_update(skip_locked=True)
                .filter(expires_at__lt=clock.now() - GRACE)
                .first()
            )
            if departure is None:
                break
            count = outcomes.lose(departure.token, departure.texts)
        lost += count
        log.error("departure_lost", brand=departure.brand_id, unknown=count)
    return lost
