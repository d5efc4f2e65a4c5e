"""Admin pages of the rules: each brand's, the installation's, the law's, and who changed them."""

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextInputWidget

from campaigns import history, policy
from campaigns.models import (
    BrandPolicy,
    BrandPolicyEvent,
    LegalWindow,
    LegalWindowEvent,
    PlatformPolicy,
    PlatformPolicyEvent,
)
from campaigns.switch_pages import SwitchButtons
from subscribers.tenant_admin import (
    LargeTable,
    OperatorWrites,
    ReadOnly,
    TenantAdmin,
    Undeletable,
)


class Audited:
    """A rule's page ends with its history: when, by whom, and from what to what."""

    change_form_outer_after_template = "admin/campaigns/rule_history.html"

    def changes(self, rule: Any) -> QuerySet:
        """The rows of the trail that are this rule's."""
        raise NotImplementedError

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        rule = context.get("original")
        if rule is not None:
            context["changes"] = history.of(self.changes(rule))
        return super().render_change_form(request, context, *args, **kwargs)  # type: ignore[misc]


@admin.register(BrandPolicy)
class BrandPolicyAdmin(SwitchButtons, Audited, Undeletable, TenantAdmin):
    list_display = ("brand", "sending_enabled", "daily_limit", "opens", "closes", "engagement_days")
    list_filter = ("sending_enabled",)
    list_select_related = ("brand",)
    search_fields = ("brand__name", "brand__slug")
    autocomplete_fields = ("brand",)
    fieldsets = (
        (None, {"fields": ("brand", "sending_enabled", "off_reason")}),
        (
            "Who gets how much, and when",
            {"fields": ("daily_limit", "engagement_days", "opens", "closes", "evergreen_gap")},
        ),
        (
            "What a text says",
            {
                "fields": (
                    "add_brand_name",
                    "add_opt_out_line",
                    "opt_out_line",
                    ("default_language", "most_segments"),
                    "replace_look_alikes",
                )
            },
        ),
        ("Links", {"fields": ("shorten_links", "link_domain", "link_domains")}),
        (
            "When a campaign pauses by itself",
            {
                "fields": (
                    "pause_at_errors",
                    "pause_at_undelivered",
                    "pause_at_opt_outs",
                    "pause_window",
                    "pause_sample",
                )
            },
        ),
    )

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "link_domains":
            kwargs["widget"] = UnfoldAdminTextInputWidget()
            kwargs["help_text"] = f"{db_field.help_text} Set apart by commas."
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("brand",) if obj else ()

    def changes(self, rule: BrandPolicy) -> QuerySet:
        return BrandPolicyEvent.objects.filter(pgh_obj_id=rule.pk)


@admin.register(PlatformPolicy)
class PlatformPolicyAdmin(SwitchButtons, Audited, Undeletable, OperatorWrites, ModelAdmin):
    """One row for the installation, made with its defaults when it is first looked at."""

    list_display = ("__str__", "sending_enabled", "daily_cap", "text_lifetime", "late_start")
    compressed_fields = True

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def changes(self, rule: PlatformPolicy) -> QuerySet:
        return PlatformPolicyEvent.objects.all()

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        policy.platform()
        return super().changelist_view(request, extra_context)


@admin.register(LegalWindow)
class LegalWindowAdmin(Audited, OperatorWrites, ModelAdmin):
    list_display = (
        "jurisdiction",
        "weekdays",
        "saturday",
        "sunday",
        "cap_per_24h",
        "effective_from",
        "certainty",
        "basis",
    )
    list_filter = ("confidence",)
    list_filter_submit = True
    search_fields = ("jurisdiction", "basis")
    ordering = ("jurisdiction", "effective_from")
    compressed_fields = True

    def changes(self, rule: LegalWindow) -> QuerySet:
        """Of the whole jurisdiction: a row that was deleted explains the one that is there."""
        own = Q(pgh_obj_id=rule.pk) | Q(jurisdiction=rule.jurisdiction)
        return LegalWindowEvent.objects.filter(own)

    @display(
        description="Confidence",
        ordering="confidence",
        label={
            "high": "success",
            "medium": "warning",
            "low": "danger",
            "unverified": "danger",
            "policy": "info",
        },
    )
    def certainty(self, window: LegalWindow) -> str:
        return window.confidence


@admin.register(LegalWindowEvent)
class LegalWindowEventAdmin(LargeTable, ReadOnly, OperatorWrites, ModelAdmin):
    """Every change of the law's table, also of rows that are gone."""

    list_display = ("at", "done", "jurisdiction", "effective_from", "hours", "cap_per_24h", "by")
    search_fields = ("jurisdiction", "basis")
    fields = ("at", "done", "by", "jurisdiction", "effective_from", "weekdays", "saturday")
    fields += ("sunday", "public_holidays", "cap_per_24h", "cap_scope", "confidence", "basis")
    ordering = ("-pgh_id",)
    compressed_fields = True

    @display(description="When")
    def at(self, event: Any) -> Any:
        return event.pgh_created_at

    @display(
        description="What",
        label={"Added": "success", "Changed": "warning", "Deleted": "danger", "Was there": "info"},
    )
    def done(self, event: Any) -> str:
        return history.what(event)

    @display(description="Who")
    def by(self, event: Any) -> str:
        return history.who(event)

    @display(description="Weekdays, Saturday, Sunday")
    def hours(self, event: Any) -> str:
        return f"{event.weekdays}, {event.saturday}, {event.sunday}"
