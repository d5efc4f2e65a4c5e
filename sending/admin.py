"""Admin pages of sending: senders, the log of every text, and what waits."""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.html import format_html
from redis import RedisError
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from campaigns.models import Campaign
from sending import (
    browse,
    circuits,
    credit_pages,  # noqa: F401 - its import registers them
    explanation_pages,
    forecast_pages,
    funnel,
    newest,
    progress,
    queue_pages,
    queues,
    requeue,
    route_pages,  # noqa: F401 - its import registers them
    senders,
    trial_pages,  # noqa: F401 - its import registers them
)
from sending.log_filters import (
    CampaignFilter,
    CategoryFilter,
    CodeFilter,
    ReasonFilter,
    UnsentFilter,
    WhenFilter,
)
from sending.models import Departure, QueuedText, Sender, SentLog
from subscribers import phones
from subscribers.credentials_form import credentials_form, fields_of, shown_when
from subscribers.models import Brand
from subscribers.tenant_admin import LogAdmin, TenantAdmin, Undeletable, VisibleFilter, visible

STATE_COLOURS = {
    "Delivered": "success",
    "Sent": "info",
    "Accepted": "info",
    "Sending": "info",
    "Unknown": "warning",
    "Undelivered": "danger",
    "Failed": "danger",
}


@admin.register(Sender)
class SenderAdmin(Undeletable, TenantAdmin):
    form = credentials_form(
        senders.CREDENTIALS, provider_field="gateway", optional=senders.OPTIONAL
    )
    conditional_fields = shown_when(senders.CREDENTIALS, provider_field="gateway")
    list_display = ("address", "gateway", "brand", "rate", "weight", "carries", "state", "why")
    list_filter = (
        ("status", ChoicesDropdownFilter),
        ("gateway", ChoicesDropdownFilter),
        ("brand", VisibleFilter),
    )
    list_select_related = ("brand",)
    search_fields = ("address",)
    ordering = ("address",)
    autocomplete_fields = ("brand", "account")
    actions = ("pause_selected", "resume_selected")
    actions_detail = ("pause", "resume", "use_fully")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        names = fields_of(senders.CREDENTIALS, obj.gateway if obj else None)
        who = ("brand", "gateway", "address")
        now = ("state", "carries", "why", "receipts", "inbound") if obj else ()
        return [
            (None, {"fields": (*who, *now)}),
            ("How fast", {"fields": ("account", "rate", "in_flight", "weight")}),
            ("Credentials at the provider", {"fields": names}),
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        fixed = ("brand", "gateway") if obj else ()
        return ("state", "carries", "why", "receipts", "inbound", *fixed)

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        sender = self.get_object(request, object_id)
        names = senders.offered(sender) if sender else set()
        buttons = super().get_actions_detail(request, object_id)
        return [button for button in buttons if button.path in names]

    @display(
        description="Status",
        label={"Active": "success", "Paused": "warning", "Stopped by an error": "danger"},
    )
    def state(self, sender: Sender) -> str:
        return sender.get_status_display()

    @display(description="Carries")
    def carries(self, sender: Sender) -> str:
        return f"{sender.share} % of its texts"

    @display(description="Why")
    def why(self, sender: Sender) -> str:
        return sender.status_reason or sender.share_reason

    @display(description="Receipts come to")
    def receipts(self, sender: Sender) -> str:
        return f"{senders.callback_url(sender)}/status"

    @display(description="Replies come to")
    def inbound(self, sender: Sender) -> str:
        return f"{senders.callback_url(sender)}/inbound"

    @action(
        description="Pause",
        permissions=["change"],
        icon="pause",
        dialog={
            "title": "Pause this sender?",
            "description": "Its brand sends through the others; without one, its texts wait.",
            "form_submit_text": "Pause",
        },
    )
    def pause(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        senders.pause([self._sender(request, object_id)])
        return self._back(object_id)

    @action(
        description="Resume",
        permissions=["change"],
        icon="play_arrow",
        variant=ActionVariant.PRIMARY,
        dialog={
            "title": "Use this sender again?",
            "description": "If an error stopped it, be sure that its cause is gone.",
            "form_submit_text": "Resume",
        },
    )
    def resume(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        senders.resume([self._sender(request, object_id)])
        return self._back(object_id)

    @action(
        description="Use fully",
        permissions=["change"],
        icon="restart_alt",
        dialog={
            "title": "Send all its texts through this sender again?",
            "description": "It was failing, and is tried again by itself a few texts at a time. A text"
            " that fails may be lost: be sure that the provider works.",
            "form_submit_text": "Use fully",
        },
    )
    def use_fully(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        try:
            circuits.close(self._sender(request, object_id).pk, by=request.user.get_username())
        except RedisError:
            messages.error(request, "Valkey does not answer: try again once it does.")
        return self._back(object_id)

    @admin.action(description="Pause", permissions=["change"])
    def pause_selected(self, request: HttpRequest, queryset: QuerySet) -> None:
        messages.success(request, f"Senders paused: {senders.pause(queryset)}.")

    @admin.action(description="Resume", permissions=["change"])
    def resume_selected(self, request: HttpRequest, queryset: QuerySet) -> None:
        messages.success(request, f"Senders in use again: {senders.resume(queryset)}.")

    def _sender(self, request: HttpRequest, object_id: str) -> Sender:
        sender = self.get_object(request, object_id)
        if sender is None:
            raise Http404("There is no such sender.")
        return sender

    def _back(self, object_id: str) -> HttpResponse:
        page = reverse("admin:sending_sender_change", args=[object_id])
        return HttpResponse(headers={"HX-Redirect": page})  # the dialog is htmx's


class _Text:
    """Columns of what carries a text's phone or subscriber."""

    @display(description="Person")
    def person(self, row: Any) -> str:
        masked = phones.mask(row.subscriber.phone if row.subscriber else getattr(row, "phone", ""))
        if row.subscriber is None:
            return masked
        page = reverse("admin:subscribers_subscriber_change", args=[row.subscriber_id])
        return format_html('<a href="{}" class="text-primary-600">{}</a>', page, masked)


@admin.register(SentLog)
class SentLogAdmin(_Text, LogAdmin):
    list_display = ("changed_at", "brand", "campaign", "person", "text", "status", "reason")
    list_filter = (
        WhenFilter,
        ("state", ChoicesDropdownFilter),
        UnsentFilter,
        ("brand", VisibleFilter),
        CampaignFilter,
        ("sender", VisibleFilter),
        CategoryFilter,
        CodeFilter,
        ReasonFilter,
    )
    list_select_related = ("brand", "campaign", "subscriber")
    search_fields = ("id",)
    search_help_text = "Whole phone number, or a text's id"
    actions = ("queue_again",)
    fieldsets = (
        (None, {"fields": ("id", "brand", "campaign", "message", "person", "body", "segments")}),
        (
            "What became of it",
            {"fields": ("status", "reason", "sent_at", "changed_at", "expires_at", "attempts")},
        ),
        (
            "At the provider",
            {
                "fields": (
                    "sender",
                    "provider_message_id",
                    "bulk_id",
                    "error_code",
                    "error_detail",
                )
            },
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        rows = super().get_queryset(request)
        return rows.select_related(*self.list_select_related, "sender").defer("sender__credentials")

    def get_paginator(self, request: HttpRequest, queryset: Any, per_page: int) -> Paginator:  # type: ignore[override]
        """Along the indexes of brands, where nothing but a brand and a time is asked for."""
        wide = request.user.is_superuser and not request.GET.get("brand__id__exact")
        more = {name for name, value in request.GET.items() if value} - {
            "p", "days", "brand__id__exact",
        }  # fmt: skip
        if wide or more:
            return super().get_paginator(request, queryset, per_page)
        return newest.PagesOfBrands(queryset, visible(Brand, request.user), per_page)

    def get_list_display(self, request: HttpRequest) -> tuple[str, ...]:
        """Among failed texts, what the provider said instead of what the text says."""
        if "unsent" not in request.GET:
            return self.list_display
        who = ("changed_at", "brand", "campaign", "person", "sender")
        return (*who, "status", "reason", "error_code", "error_detail")

    def get_custom_urls(self) -> tuple[Any, ...]:
        return (
            ("progress/<int:campaign_id>/", "sending_progress", progress_panel),
            ("forecast/<int:campaign_id>/", "sending_forecast", forecast_pages.forecast_page),
            ("why/<int:campaign_id>/", "sending_why", explanation_pages.of_campaign),
            ("why/of/<int:subscriber_id>/", "sending_why_of", explanation_pages.of_person),
            (
                "why/<int:campaign_id>/<int:subscriber_id>/",
                "sending_why_person",
                explanation_pages.of_both,
            ),
        )

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet, search_term: str
    ) -> tuple[QuerySet, bool]:
        if not search_term:
            return queryset, False
        return browse.found(queryset, search_term, user=request.user), False

    def has_requeue_permission(self, request: HttpRequest) -> bool:
        """The log is read-only; this is the one thing that a person may do with it."""
        return request.user.has_perm("sending.change_sentlog")

    @admin.action(description="Queue again", permissions=["requeue"])
    def queue_again(self, request: HttpRequest, queryset: QuerySet) -> None:
        try:
            queued, left = requeue.selection(queryset)
        except ValueError as error:
            messages.error(request, str(error))
            return
        messages.success(request, f"Texts queued again: {queued}.")
        if left:
            messages.warning(
                request,
                f"Texts left as they are: {left}. Only what failed or expired, was certainly not"
                f" sent and was planned within {requeue.HOURS} hours can be queued again.",
            )

    @display(description="State", label=STATE_COLOURS)
    def status(self, text: SentLog) -> str:
        return text.get_state_display()

    @display(description="Text")
    def text(self, text: SentLog) -> str:
        return f"{text.body[:60]}..." if len(text.body) > 60 else text.body


def progress_panel(request: HttpRequest, campaign_id: int, model_admin: Any) -> HttpResponse:
    """The totals of one campaign, as a part of its page (which asks again while it runs)."""
    if not request.user.has_perm("campaigns.view_campaign"):
        raise PermissionDenied
    campaign = get_object_or_404(Campaign.objects.for_user(request.user), pk=campaign_id)
    totals = progress.of_campaign(campaign)
    return render(
        request,
        "admin/sending/progress.html",
        {
            "campaign": campaign,
            "totals": totals,
            "cards": funnel.cards(totals),
            "reasons": funnel.reasons(totals),
        },
    )


@admin.register(QueuedText)
class QueuedTextAdmin(_Text, LogAdmin):
    list_display = ("id", "brand", "campaign", "person", "lane", "due")
    list_filter = (("lane", ChoicesDropdownFilter), ("brand", VisibleFilter))
    list_select_related = ("brand", "campaign", "subscriber")
    search_fields = ("id",)
    search_help_text = "Whole phone number, or a text's id"
    fields = ("id", "brand", "campaign", "person", "lane", "due")

    def get_custom_urls(self) -> tuple[Any, ...]:
        panel = queue_pages.queue_panel
        return (("of/<int:brand_id>/", "sending_queue_panel", panel),)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet, search_term: str
    ) -> tuple[QuerySet, bool]:
        if not search_term:
            return queryset, False
        return browse.found(queryset, search_term, user=request.user), False

    @display(description="Due")
    def due(self, text: QueuedText) -> Any:
        return "When somebody resumes" if text.due_at == queues.PARKED else text.due_at


@admin.register(Departure)
class DepartureAdmin(LogAdmin):
    list_display = ("token", "brand", "size", "departed_at", "expires_at")
    list_filter = (("brand", VisibleFilter),)
    list_select_related = ("brand",)
    ordering = ("departed_at",)
    fields = ("token", "brand", "size", "texts", "departed_at", "expires_at")

    @display(description="Texts")
    def size(self, departure: Departure) -> int:
        return len(departure.texts)
