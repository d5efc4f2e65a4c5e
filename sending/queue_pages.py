"""A brand's queue, as a part of the brand's page: how it is, and what holds it back."""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render

from campaigns import policy
from sending import queue_state
from subscribers.models import Brand


def queue_panel(request: HttpRequest, brand_id: int, model_admin: Any) -> HttpResponse:
    """The panel; the page asks for it every few seconds. It opens with Valkey away, too."""
    if not request.user.has_perm("sending.view_queuedtext"):
        raise PermissionDenied
    brand = get_object_or_404(Brand.objects.for_user(request.user), pk=brand_id)
    state = queue_state.of_brand(brand)
    waiting = sum(state.due.values()) + state.later
    figures = [
        *((f"Due, {lane}", f"{count:,}") for lane, count in state.due.items()),
        ("Due later", f"{state.later:,}"),
        ("Oldest due", _words(state.oldest_due_seconds)),
        ("On the way", f"{state.on_the_way:,}"),
        ("Texts a second", f"{state.rate:,.1f}"),
    ]
    return render(
        request,
        "admin/sending/queue_panel.html",
        {
            "brand": brand,
            "rules": policy.of_brand(brand),
            "state": state,
            "idle": not waiting and not state.on_the_way,
            "figures": figures,
        },
    )


def _words(seconds: float) -> str:
    """An age as people say it."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h"
