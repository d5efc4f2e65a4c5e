"""Admin pages of what happened afterwards: receipts and replies."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import display

from sending import browse
from sending.log_filters import WhenFilter
from subscribers.tenant_admin import LogAdmin, VisibleFilter
from tracking import (  # noqa: F401 - they register their own
    possible_opt_out_pages,
    purchase_pages,
    reply_pages,
)
from tracking.models import TrackingEvent, WaitingReceipt
from tracking.outbound import pages  # noqa: F401 - registers its own

KIND_COLOURS = {"Delivery receipt": "info", "Reply": "primary", "Click": "success"}


@admin.register(TrackingEvent)
class TrackingEventAdmin(LogAdmin):
    list_display = ("received_at", "brand", "what", "name", "code", "text")
    list_filter = (WhenFilter, ("kind", ChoicesDropdownFilter), ("brand", VisibleFilter))
    list_select_related = ("brand",)
    search_fields = ("text_id",)
    search_help_text = "A text's id"
    fields = ("id", "brand", "kind", "name", "code", "text", "received_at", "raw")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet, search_term: str
    ) -> tuple[QuerySet, bool]:
        return browse.of_text(queryset, search_term) if search_term else queryset, False

    @display(description="Kind", label=KIND_COLOURS)
    def what(self, event: TrackingEvent) -> str:
        return event.get_kind_display()

    @display(description="Text")
    def text(self, event: TrackingEvent) -> str:
        if event.text_id is None:
            return ""
        page = reverse("admin:sending_sentlog_change", args=[event.text_id])
        return format_html('<a href="{}" class="text-primary-600">{}</a>', page, event.text_id)


@admin.register(WaitingReceipt)
class WaitingReceiptAdmin(LogAdmin):
    list_display = ("received_at", "sender", "provider_id", "state", "code")
    list_filter = (("state", ChoicesDropdownFilter),)
    search_fields = ("=provider_id",)
    search_help_text = "The provider's id, whole"

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        rows = super().get_queryset(request)
        return rows.select_related("sender").defer("sender__credentials")
