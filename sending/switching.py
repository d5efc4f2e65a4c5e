"""Pausing and resuming by hand, whatever it is: the installation, a brand, a campaign, a sender.

Each answers a sentence that says what is so now, and what still holds sending back.
"""

from functools import singledispatch

from campaigns import lifecycle, policy, switches
from campaigns.models import Campaign, PlatformPolicy
from sending import queue_state, senders
from sending.models import Departure, QueuedText, Sender
from subscribers import clock, tenancy
from subscribers.models import Brand

ACTOR = "command line"


def named(
    *, brand: str | None, campaign: int | None, sender: int | None
) -> Brand | Campaign | Sender | PlatformPolicy:
    """What an operator means; the installation where nothing is named. Raises LookupError."""
    if brand is not None:
        return tenancy.brand_named(brand)
    if campaign is not None:
        found = Campaign.objects.filter(pk=campaign).select_related("brand").first()
        if found is None:
            raise LookupError(f"There is no campaign {campaign}; Admin, Campaigns has their ids.")
        return found
    if sender is not None:
        one = Sender.objects.filter(pk=sender).select_related("brand").first()
        if one is None:
            raise LookupError(f"There is no sender {sender}; Admin, Senders has their ids.")
        return one
    return policy.platform()


@singledispatch
def pause(what: object, *, reason: str) -> str:
    """Pause it; what has not departed yet stays. Raises lifecycle.NotAllowed for a campaign."""
    raise TypeError(type(what))


@singledispatch
def resume(what: object) -> str:
    """Go on with it. Raises lifecycle.NotAllowed for a campaign."""
    raise TypeError(type(what))


@pause.register
def _(what: PlatformPolicy, *, reason: str) -> str:
    if switches.off(what, reason=reason, actor=ACTOR):
        return f"Sending is switched off for the whole installation. {_on_the_way()}"
    return f"Sending was switched off already{_because(what.off_reason)}"


@resume.register
def _(what: PlatformPolicy) -> str:
    if switches.on(what, actor=ACTOR):
        return "Sending is switched on for the installation: it goes on within a few seconds."
    return "Sending was not switched off for the installation."


@pause.register
def _(what: Brand, *, reason: str) -> str:
    rules = policy.of_brand(what)
    if switches.off(rules, reason=reason, actor=ACTOR):
        return f"Brand {what.slug} sends nothing more. {_on_the_way(what)}"
    return f"Brand {what.slug} was paused already{_because(rules.off_reason)}"


@resume.register
def _(what: Brand) -> str:
    changed = switches.on(policy.of_brand(what), actor=ACTOR)
    said = "may send again" if changed else "was not paused"
    return f"Brand {what.slug} {said}.{_still(what)}"


@pause.register
def _(what: Campaign, *, reason: str) -> str:
    lifecycle.pause(what, reason[:200])
    waiting = QueuedText.objects.filter(campaign=what).count()
    return (
        f"Campaign {what.pk} ({what}) is paused: {waiting:,} texts wait. What has departed already"
        " is delivered."
    )


@resume.register
def _(what: Campaign) -> str:
    lifecycle.resume(what, now=clock.now())
    return f"Campaign {what.pk} ({what}) goes on.{_still(what.brand)}"


@pause.register
def _(what: Sender, *, reason: str) -> str:
    if not senders.pause([what], reason):
        return f"Sender {what.pk} ({what}) was not in use."
    left = Sender.objects.filter(
        brand=what.brand_id, status=Sender.Status.ACTIVE, weight__gt=0
    ).count()
    others = f"{left} other senders of its brand go on" if left else "its brand's texts wait"
    return f"Sender {what.pk} ({what}) is paused; {others}."


@resume.register
def _(what: Sender) -> str:
    changed = senders.resume([what])
    said = "is in use again" if changed else "was in use already"
    return f"Sender {what.pk} ({what}) {said}.{_still(what.brand)}"


def _on_the_way(brand: Brand | None = None) -> str:
    departures = Departure.objects.filter(brand=brand) if brand else Departure.objects.all()
    texts = sum(len(texts) for texts in departures.values_list("texts", flat=True))
    return f"{texts:,} texts had departed and are delivered; the rest waits."


def _because(reason: str) -> str:
    return f": {reason}" if reason else "."


def _still(brand: Brand) -> str:
    reasons = queue_state.held_back_by(brand)
    return f" But: {' '.join(reasons)}" if reasons else ""
