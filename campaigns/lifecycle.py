"""A campaign's state. Every change is one conditional UPDATE: a second click changes nothing."""

import datetime as dt

from django.conf import settings
from django.db import transaction
from django.utils.module_loading import import_string

from campaigns import audience, references
from campaigns.models import Campaign
from subscribers import segments

Status = Campaign.Status

ALLOWED: dict[Status, tuple[Status, ...]] = {
    Status.SCHEDULED: (Status.DRAFT,),
    Status.RUNNING: (Status.SCHEDULED,),
    Status.PAUSED: (Status.SCHEDULED, Status.RUNNING),
    Status.WAITING: (Status.SCHEDULED, Status.RUNNING),
    Status.COMPLETED: (Status.RUNNING,),
    Status.CANCELLED: (
        Status.DRAFT,
        Status.SCHEDULED,
        Status.RUNNING,
        Status.PAUSED,
        Status.WAITING,
    ),
}


class NotAllowed(Exception):
    """The campaign is not in a state from which this is possible; the message says which."""


@transaction.atomic
def launch(campaign: Campaign, *, now: dt.datetime, reference: str = "") -> None:
    """Schedule a draft to start at its `starts_at`, or now. Launching it again changes nothing.

    Only the state changes here; `sending` finds the campaign. `reference`: what an integrator calls
    this launch, used up by it. Raises references.Used, and NotAllowed, also where one of
    LAUNCH_CHECKS (dotted paths, as later apps may not be imported here) refuses it.
    """
    references.take(campaign.brand_id, reference, references.Use.LAUNCH, campaign.pk)
    if not campaign.messages.filter(weight__gt=0).exists():
        raise NotAllowed("This campaign has no message; add one before launching it.")
    if campaign.status == Status.DRAFT:
        _refuse_unreadable_audience(campaign, now)
        for check in settings.LAUNCH_CHECKS:
            import_string(check)(campaign)
    starts_at = campaign.starts_at or now
    changed = Campaign.objects.filter(pk=campaign.pk, status=Status.DRAFT).update(
        status=Status.SCHEDULED, starts_at=starts_at, launched_at=now, status_reason=""
    )
    campaign.refresh_from_db()
    if not changed and campaign.launched_at is None:
        raise NotAllowed(f"A {campaign.get_status_display().lower()} campaign cannot be launched.")
    if not changed and reference:
        raise NotAllowed(
            "It was launched before, and not under this reference: launch another one."
        )


def _refuse_unreadable_audience(campaign: Campaign, now: dt.datetime) -> None:
    try:
        audience.condition(campaign, now=now)
    except segments.Invalid as error:
        raise NotAllowed(f"Its segment cannot be read. {error}") from None


def lock(campaign: Campaign) -> None:
    """Let nobody else change the campaign until the transaction ends, and look at it anew."""
    Campaign.objects.select_for_update(of=("self",)).get(pk=campaign.pk)
    campaign.refresh_from_db()


def begin(campaign: Campaign) -> bool:
    """The scheduler found it due: scheduled -> running. False when somebody was faster."""
    return _move(campaign, Status.RUNNING)


def hold(campaign: Campaign, reason: str) -> bool:
    """Its start was missed, or it was interrupted for long: a person must look before it goes on."""
    return _move(campaign, Status.WAITING, reason)


def complete(campaign: Campaign) -> bool:
    """Its last text has left the queue."""
    return _move(campaign, Status.COMPLETED)


def pause(campaign: Campaign, reason: str = "") -> None:
    """Stop sending, keeping what is planned. Raises NotAllowed."""
    if not _move(campaign, Status.PAUSED, reason):
        raise NotAllowed(_cannot(campaign, "paused"))


def cancel(campaign: Campaign) -> None:
    """Stop for good: planned texts end as cancelled. Raises NotAllowed."""
    if not _move(campaign, Status.CANCELLED):
        raise NotAllowed(_cannot(campaign, "cancelled"))


def resume(campaign: Campaign, *, now: dt.datetime) -> None:
    """Go on after a pause, or start what waited for a person. Raises NotAllowed.

    What was paused before its start keeps its start; what missed it starts now. `resumed_at` says
    from when on figures count that could pause it by themselves.
    """
    campaign.refresh_from_db()
    resting = campaign.status
    ahead = campaign.starts_at is not None and campaign.starts_at > now
    pool = campaign.kind == Campaign.Kind.EVERGREEN and resting == Status.PAUSED
    begun = not ahead and (pool or campaign.runs.exists())
    changed = Campaign.objects.filter(
        pk=campaign.pk, status=resting, status__in=(Status.PAUSED, Status.WAITING)
    ).update(
        status=Status.RUNNING if begun else Status.SCHEDULED,
        starts_at=campaign.starts_at if begun or ahead else now,
        resumed_at=now,
        status_reason="",
    )
    campaign.refresh_from_db()
    if not changed:
        raise NotAllowed(_cannot(campaign, "resumed"))


def _move(campaign: Campaign, to: Status, reason: str = "") -> bool:
    changed = Campaign.objects.filter(pk=campaign.pk, status__in=ALLOWED[to]).update(
        status=to, status_reason=reason
    )
    campaign.refresh_from_db()
    return bool(changed)


def _cannot(campaign: Campaign, done: str) -> str:
    return f"A {campaign.get_status_display().lower()} campaign cannot be {done}."
