"""What a provider's refusal means beyond its text: a sender that must stop, a person who said no."""

from collections.abc import Sequence

import structlog

from sending import senders
from sending.gateways.base import Outcome
from sending.models import SentLog
from subscribers import clock, consent
from subscribers.models import Brand, ConsentSource

log = structlog.get_logger("carillon.refusals")


def heed(brand: Brand, told: Sequence[Outcome]) -> None:
    """Act on outcomes that are written down: few of them ask for anything."""
    refused = {outcome.text_id: outcome for outcome in told if outcome.stop_sender}
    if refused:
        _stop_senders(refused)
    opted_out = [outcome.text_id for outcome in told if outcome.suppress]
    if opted_out:
        _suppress(brand, opted_out)


def _stop_senders(refused: dict[object, Outcome]) -> None:
    rows = SentLog.objects.filter(id__in=list(refused)).values_list("sender_id", "id")
    for sender_id, text_id in dict(rows).items():
        outcome = refused[text_id]
        senders.stop(sender_id, f"{outcome.code}: {outcome.detail or 'credentials refused'}")
        log.error("sender_stopped", sender=sender_id, code=outcome.code)


def _suppress(brand: Brand, text_ids: Sequence[object]) -> None:
    """The provider says that these people opted out with it: believe it."""
    for text in SentLog.objects.filter(id__in=text_ids):
        consent.opt_out(
            brand.workspace,
            text.phone,
            brand=brand,
            at=clock.now(),
            source=ConsentSource.PROVIDER,
            reason=f"{text.error_code} from the provider",
            evidence={"text": str(text.id)},
        )
