"""Admin pages of orders, of the shops that tell of them, and of how they are credited to texts."""

from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import mark_safe
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import display

from subscribers import clock
from subscribers.tenant_admin import LogAdmin, TenantAdmin, Undeletable, VisibleFilter
from tracking import attribution, purchases, report_pages
from tracking.models import AttributionRules, CustomEvent, Purchase, Shop

MOST_LINES = 50  # of shares or refunds that a page lists
MATCHED_COLOURS = {"Nobody known": "warning"}


@admin.register(AttributionRules)
class AttributionRulesAdmin(Undeletable, TenantAdmin):
    list_display = ("brand", "currency", "click_window", "delivery_window", "model")
    list_select_related = ("brand",)
    autocomplete_fields = ("brand",)
    fields = ("brand", "currency", "click_window", "delivery_window", "model")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """The currency of orders on record stays."""
        if obj is None:
            return ()
        return ("brand", "currency") if obj.brand.purchases.exists() else ("brand",)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if form.changed_data and attribution.begin_again(obj.brand, now=clock.now()):
            messages.info(request, "All orders of the brand are being credited again.")


@admin.register(Shop)
class ShopAdmin(Undeletable, TenantAdmin):
    list_display = ("name", "brand", "active", "created_at")
    list_filter = (("brand", VisibleFilter), "active")
    list_select_related = ("brand",)
    autocomplete_fields = ("brand",)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        asked = ("brand", "name", "active")
        return (*asked, "address", "created_at") if obj else asked

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("brand", "address", "created_at") if obj else ()

    @display(description="Webhook address")
    def address(self, shop: Shop) -> str:
        return settings.PUBLIC_URL + reverse("webhook-events", args=[shop.token])

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        secret = None if change else purchases.new_secret()
        if secret:
            obj.credentials = {"secret": secret}
        super().save_model(request, obj, form, change)
        if secret:
            messages.warning(
                request,
                f"The signing secret of {obj.name} is {secret} - keep it now: it is not shown"
                " again. To change it, add another shop and turn this one off.",
            )


@admin.register(CustomEvent)
class CustomEventAdmin(LogAdmin):
    list_display = ("happened_at", "brand", "name", "event_id", "subscriber")
    list_filter = (("brand", VisibleFilter),)
    list_select_related = ("brand", "subscriber")
    fields = ("happened_at", "brand", "name", "event_id", "subscriber", "properties", "received_at")


@admin.register(Purchase)
class PurchaseAdmin(LogAdmin):
    list_display = ("ordered_at", "brand", "order", "total", "went_back", "matched", "person")
    list_filter = (("matched_by", ChoicesDropdownFilter), ("brand", VisibleFilter))
    list_select_related = ("brand", "subscriber")
    search_fields = ("order_id",)
    search_help_text = "The order's number at the shop, whole"
    fields = (
        *("ordered_at", "brand", "order", "total", "went_back", "matched", "person"),
        *("credited", "refund_lines", "received_at"),
    )

    def get_custom_urls(self) -> tuple[Any, ...]:
        return (("report/<int:campaign_id>/", "tracking_report", report_pages.report_page),)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet, search_term: str
    ) -> tuple[QuerySet, bool]:
        if not search_term:
            return queryset, False
        return queryset.filter(order_key__in=purchases.keys_for(request.user, search_term)), False

    @display(description="Order")
    def order(self, purchase: Purchase) -> str:
        return purchase.order_id or "erased"

    @display(description="Amount")
    def total(self, purchase: Purchase) -> str:
        return f"{purchase.amount:,} {purchase.currency}"

    @display(description="Refunded")
    def went_back(self, purchase: Purchase) -> str:
        return f"{purchase.refunded:,} {purchase.currency}" if purchase.refunded else ""

    @display(description="Found by", label=MATCHED_COLOURS)
    def matched(self, purchase: Purchase) -> str:
        return purchase.get_matched_by_display()

    @display(description="Person")
    def person(self, purchase: Purchase) -> str:
        if purchase.subscriber is None:
            return ""
        page = reverse("admin:subscribers_subscriber_change", args=[purchase.subscriber_id])
        shown = str(purchase.subscriber)
        return format_html('<a href="{}" class="text-primary-600">{}</a>', page, shown)

    @display(description="Credited to")
    def credited(self, purchase: Purchase) -> str:
        """A line for each text that shares in it."""
        shares = purchase.attributions.select_related("campaign").order_by("-touched_at")
        lines = [
            (
                f"{share.amount:,} {purchase.currency}",
                share.campaign or "a text without a campaign",
                share.get_touch_display().lower(),
                f", {share.touched_at:%Y-%m-%d %H:%M} UTC" if share.touched_at else "",
            )
            for share in shares[:MOST_LINES]
        ]
        none = "No text: nothing touched this person within the brand's windows."
        return format_html_join(mark_safe("<br>"), "{} to {} ({}{})", lines) or none

    @display(description="Refunds")
    def refund_lines(self, purchase: Purchase) -> str:
        lines = [
            (f"{one.amount:,} {purchase.currency}", f"{one.refunded_at:%Y-%m-%d %H:%M} UTC")
            for one in purchase.refunds.order_by("pk")[:MOST_LINES]
        ]
        return format_html_join(mark_safe("<br>"), "{} on {}", lines) or "None"
