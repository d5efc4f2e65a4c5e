"""What a provider's refusal means beyond its text: a sender that must stop, a person who said no."""

from collections import defaultdict
from collections.abc import Sequence
from uuid import UUID

import redis
import structlog

from sending import limits, senders, unknown_codes
from sending.gateways import registry
from sending.gateways.base import Fate, Outcome
from sending.gateways.codes import Action, Rest, is_ours
from sending.models import Sender, SentLog, UnknownCode
from subscribers import clock, consent
from subscribers.models import Brand, ConsentSource

log = structlog.get_logger("carillon.refusals")

COOL_DOWN = 60.0  # seconds, where neither the provider nor the account says how long
# Codes after which somebody rests, of whichever gateway.
TOO_FAST: dict[str, Rest] = {
    code: meaning.rest
    for gateway in registry.GATEWAYS.values()
    for code, meaning in gateway.codes.items()
    if meaning.rest
}
# Codes that every gateway explains: nobody is asked whose they were.
EXPLAINED = frozenset.intersection(
    *(frozenset(gateway.codes) for gateway in registry.GATEWAYS.values())
)


def heed(told: Sequence[tuple[Brand, Outcome]]) -> None:
    """Act on outcomes that are written down: few of them ask for anything.

    Harmless to repeat: only unknown codes are then counted twice.
    """
    told = [(brand, outcome) for brand, outcome in told if outcome.code]
    if not told:
        return
    refused = {outcome.text_id: outcome for _, outcome in told if outcome.stop_sender}
    if refused:
        _stop_senders(refused)
    slowed = {outcome.text_id: outcome for _, outcome in told if outcome.code in TOO_FAST}
    if slowed:
        _cool_down(slowed)
    opted_out = {
        outcome.text_id: (brand, outcome.code) for brand, outcome in told if outcome.suppress
    }
    if opted_out:
        _suppress(opted_out)
    unexplained = {
        outcome.text_id: outcome
        for _, outcome in told
        if outcome.fate is not Fate.ACCEPTED
        and outcome.code not in EXPLAINED
        and not is_ours(outcome.code)
    }
    if unexplained:
        _count_unknown(unexplained)


def heed_receipts(sender: Sender, told: Sequence[tuple[UUID, str]]) -> None:
    """Act on codes in receipts (text, code) of texts of one sender that did not arrive.

    In the transaction that keeps the receipts; to be told of each receipt once.
    """
    known = registry.get(sender.gateway).receipt_codes
    unknown = [(code, "") for _, code in told if code and code not in known]
    unknown_codes.count(sender.gateway, UnknownCode.Source.RECEIPT, unknown)
    actions = {code: known[code].action for _, code in told if code in known}
    for code, action in actions.items():
        if action is Action.STOP:
            senders.stop(sender.pk, f"{code} in a receipt: {known[code].category}")
            log.error("sender_stopped", sender=sender.pk, code=code)
    opted_out = {pk: (sender.brand, code) for pk, code in told if actions.get(code) == "suppress"}
    if opted_out:
        _suppress(opted_out)


def _stop_senders(refused: dict[UUID, Outcome]) -> None:
    rows = SentLog.objects.filter(id__in=list(refused)).values_list("sender_id", "id")
    for sender_id, text_id in dict(rows).items():
        outcome = refused[text_id]
        senders.stop(sender_id, f"{outcome.code}: {outcome.detail or 'credentials refused'}")
        log.error("sender_stopped", sender=sender_id, code=outcome.code)


def _cool_down(slowed: dict[UUID, Outcome]) -> None:
    """The provider says that we are too fast: the sender, or its account, rests as long as it asks."""
    rows = SentLog.objects.filter(id__in=list(slowed)).values_list("sender_id", "id")
    first = dict(rows)
    for sender in Sender.objects.filter(pk__in=first).select_related("account"):
        outcome = slowed[first[sender.pk]]
        usual = sender.account.cool_down if sender.account else COOL_DOWN
        seconds = outcome.retry_after or usual
        try:
            if sender.account and TOO_FAST[outcome.code] is Rest.ACCOUNT:
                limits.cool_down_account(sender.account.pk, seconds)
            else:
                limits.cool_down(sender.pk, seconds)
        except redis.RedisError:
            # Without Valkey nothing is sent anyway, and others are to be heeded.
            log.warning("valkey_away", sender=sender.pk)
        else:
            log.warning("sender_cools_down", sender=sender.pk, seconds=seconds)


def _count_unknown(unexplained: dict[UUID, Outcome]) -> None:
    rows = SentLog.objects.filter(id__in=list(unexplained)).values_list("id", "sender__gateway")
    by_gateway = defaultdict(list)
    for text_id, gateway in rows:
        outcome = unexplained[text_id]
        if outcome.code not in registry.get(gateway).codes:
            by_gateway[gateway].append((outcome.code, outcome.detail))
    for gateway, told in sorted(by_gateway.items()):
        unknown_codes.count(gateway, UnknownCode.Source.ANSWER, told)
        log.warning("unknown_codes", gateway=gateway, texts=len(told))


def _suppress(refused: dict[UUID, tuple[Brand, str]]) -> None:
    """The provider says that these people opted out with it: believe it."""
    for text in SentLog.objects.filter(id__in=list(refused)).order_by("subscriber_id"):
        brand, code = refused[text.id]
        consent.opt_out(
            brand.workspace,
            text.phone,
            brand=brand,
            at=clock.now(),
            source=ConsentSource.PROVIDER,
            reason=f"{code} from the provider",
            evidence={"text": str(text.id)},
        )
