"""Admin pages of rates and routes: accounts at providers, shifts of traffic, unknown codes."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone
from unfold.admin import ModelAdmin
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import display

from sending.models import ProviderAccount, SenderShift, UnknownCode
from subscribers.tenant_admin import (
    LargeTable,
    LogAdmin,
    OperatorOnly,
    ReadOnly,
    TenantAdmin,
    Undeletable,
    VisibleFilter,
)


@admin.register(ProviderAccount)
class ProviderAccountAdmin(Undeletable, TenantAdmin):
    """What a provider allows one account, whichever of its senders a text leaves from."""

    list_display = ("name", "gateway", "workspace", "rate", "burst", "daily_cap", "today")
    list_filter = (("gateway", ChoicesDropdownFilter), ("workspace", VisibleFilter))
    list_select_related = ("workspace",)
    search_fields = ("name",)
    ordering = ("name",)
    autocomplete_fields = ("workspace",)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        limits = ("rate", "burst", "per_minute", "daily_cap", "cool_down")
        used = ("today",) if obj else ()
        return [
            (None, {"fields": ("workspace", "gateway", "name")}),
            ("What the provider allows", {"fields": (*limits, *used)}),
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("today", "workspace", "gateway") if obj else ("today",)

    @display(description="Segments today (UTC)")
    def today(self, account: ProviderAccount) -> str:
        used = account.used if account.used_on == timezone.now().date() else 0
        return f"{used:,}" if account.daily_cap is None else f"{used:,} of {account.daily_cap:,}"


@admin.register(SenderShift)
class SenderShiftAdmin(LogAdmin):
    list_display = ("at", "sender", "brand", "move", "reason")
    list_filter = (("sender__brand", VisibleFilter),)
    list_select_related = ("sender__brand",)
    fields = ("at", "sender", "brand", "move", "reason")

    @display(description="Brand")
    def brand(self, shift: SenderShift) -> str:
        return str(shift.sender.brand)

    @display(
        description="Share of its texts",
        label={"away": "danger", "back": "success"},
    )
    def move(self, shift: SenderShift) -> tuple[str, str]:
        return ("back" if shift.to_share > shift.from_share else "away", str(shift))


@admin.register(UnknownCode)
class UnknownCodeAdmin(LargeTable, ReadOnly, OperatorOnly, ModelAdmin):
    """Of the whole installation: whoever knows what one means adds it to its gateway's table."""

    list_display = ("last_seen", "gateway", "source", "code", "count", "example")
    list_filter = (("gateway", ChoicesDropdownFilter), ("source", ChoicesDropdownFilter))
    list_filter_submit = True
    search_fields = ("code",)
    ordering = ("-last_seen",)
    fields = ("gateway", "source", "code", "count", "example", "first_seen", "last_seen")
