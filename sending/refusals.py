"""What a provider's refusal means beyond its text: a sender that must stop, a person who said no."""

from collections.abc import Sequence

import redis
import structlog

from sending import limits, senders
from sending.gateways.base import Outcome
from sending.models import SentLog
from subscribers import clock, consent
from subscribers.models import Brand, ConsentSource

log = structlog.get_logger("carillon.refusals")

TOO_FAST = {"http-429", "20429"}  # the second is Twilio's own
COOL_DOWN = 60.0  # seconds, where the provider does not say how long


def heed(told: Sequence[tuple[Brand, Outcome]]) -> None:
    """Act on outcomes that are written down: few of them ask for anything. Harmless to repeat."""
    refused = {outcome.text_id: outcome for _, outcome in told if outcome.stop_sender}
    if refused:
        _stop_senders(refused)
    slowed = {outcome.text_id: outcome for _, outcome in told if outcome.code in TOO_FAST}
    if slowed:
        _cool_down(slowed)
    opted_out = {outcome.text_id: brand for brand, outcome in told if outcome.suppress}
    if opted_out:
        _suppress(opted_out)


def _stop_senders(refused: dict[object, Outcome]) -> None:
    rows = SentLog.objects.filter(id__in=list(refused)).values_list("sender_id", "id")
    for sender_id, text_id in dict(rows).items():
        outcome = refused[text_id]
        senders.stop(sender_id, f"{outcome.code}: {outcome.detail or 'credentials refused'}")
        log.error("sender_stopped", sender=sender_id, code=outcome.code)


def _cool_down(slowed: dict[object, Outcome]) -> None:
    """The provider says that we are too fast: that sender rests for as long as it asks."""
    rows = SentLog.objects.filter(id__in=list(slowed)).values_list("sender_id", "id")
    for sender_id, text_id in dict(rows).items():
        seconds = slowed[text_id].retry_after or COOL_DOWN
        try:
            limits.cool_down(sender_id, seconds)
        except (
            redis.RedisError
        ):  # without Valkey nothing is sent anyway, and others are to be heeded
            log.warning("valkey_away", sender=sender_id)
        else:
            log.warning("sender_cools_down", sender=sender_id, seconds=seconds)


def _suppress(refused: dict[object, Brand]) -> None:
    """The provider says that these people opted out with it: believe it."""
    for text in SentLog.objects.filter(id__in=list(refused)):
        brand = refused[text.id]
        consent.opt_out(
            brand.workspace,
            text.phone,
            brand=brand,
            at=clock.now(),
            source=ConsentSource.PROVIDER,
            reason=f"{text.error_code} from the provider",
            evidence={"text": str(text.id)},
        )
