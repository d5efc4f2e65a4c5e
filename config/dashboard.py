"""What the admin's first page shows: a few numbers, of the user's own workspaces."""

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from campaigns.models import Campaign
from sending.models import QueuedText, Sender
from subscribers import clock
from subscribers.models import Brand

# Counting stops here: beyond it the number tells nobody more.
MOST = 10_000


@dataclass(frozen=True, slots=True)
class Figure:
    """One number, where it leads to, and whether a person should look at it."""

    title: str
    number: str
    link: str
    alarming: bool = False


def summary(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Unfold's dashboard callback: adds `figures` and the `campaigns` that are not over.

    Each only where the user may look into it.
    """
    offered = (
        ("campaigns.view_campaign", _campaigns),
        ("sending.view_queuedtext", _queue),
        ("sending.view_sender", _senders),
    )
    figures = [
        figure
        for permission, figures_of in offered
        if request.user.has_perm(permission)
        for figure in figures_of(request.user)
    ]
    may_view = request.user.has_perm("campaigns.view_campaign")
    return {
        **context,
        "title": "Overview",
        "figures": figures,
        "campaigns": _current(request.user) if may_view else [],
    }


def _current(user: Any) -> list[Campaign]:
    current = (
        Campaign.Status.RUNNING,
        Campaign.Status.SCHEDULED,
        Campaign.Status.WAITING,
        Campaign.Status.PAUSED,
    )
    campaigns = Campaign.objects.for_user(user).filter(status__in=current)
    return list(campaigns.select_related("brand").order_by("-launched_at", "-pk")[:10])


def _campaigns(user: Any) -> list[Figure]:
    page = reverse("admin:campaigns_campaign_changelist")
    campaigns = Campaign.objects.for_user(user)
    running = campaigns.filter(status=Campaign.Status.RUNNING).count()
    waiting = campaigns.filter(status=Campaign.Status.WAITING).count()
    return [
        Figure("Campaigns running", str(running), f"{page}?status__exact=running"),
        Figure(
            "Campaigns waiting for a person",
            str(waiting),
            f"{page}?status__exact=waiting",
            alarming=waiting > 0,
        ),
    ]


def _queue(user: Any) -> list[Figure]:
    """Texts due now, counted by the queue's index (brand, lane, due_at)."""
    brands = list(Brand.objects.for_user(user).values_list("pk", flat=True))
    due = QueuedText.objects.filter(
        brand_id__in=brands, lane__in=QueuedText.Lane.values, due_at__lte=clock.now()
    )
    count = due[: MOST + 1].count()
    shown = f"{MOST:,}+" if count > MOST else f"{count:,}"
    return [Figure("Texts due now", shown, reverse("admin:sending_queuedtext_changelist"))]


def _senders(user: Any) -> list[Figure]:
    stopped = Sender.objects.for_user(user).filter(status=Sender.Status.STOPPED).count()
    page = f"{reverse('admin:sending_sender_changelist')}?status__exact=stopped"
    return [Figure("Senders stopped", str(stopped), page, alarming=stopped > 0)]
