"""Admin pages of what, whom and when: campaigns and the rules they obey."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import mark_safe
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from campaigns import (
    controls,
    lint,
    preview,
    rule_pages,  # noqa: F401 - its import registers them
)
from campaigns.audience_pages import AUDIENCE, CampaignForm, audience_panel
from campaigns.forms import MessageForm
from campaigns.keyword_pages import KeywordsInline
from campaigns.models import Campaign, Message, Run
from campaigns.winner_pages import WinnerButton
from subscribers import clock
from subscribers.tenant_admin import (
    LogAdmin,
    TenantAdmin,
    TenantStackedInline,
    Undeletable,
    VisibleFilter,
)

STATUS_COLOURS = {
    "Scheduled": "info",
    "Running": "success",
    "Paused": "warning",
    "Waiting for a person": "danger",
    "Completed": "primary",
}

UTM = ("utm_source", "utm_medium", "utm_campaign")
SHARES = ("test_share", "holdout")
WINNER = (("winner_by", "winner_sample"), ("winner_after", "winner_deadline"))
MOST_PAUSES = 10  # that a campaign's page lists


def _is_draft(campaign: Campaign | None) -> bool:
    return campaign is None or campaign.status == Campaign.Status.DRAFT


class MessagesInline(Undeletable, TenantStackedInline):
    """The variants. Texts refer to them, so one that is not wanted any more gets weight 0."""

    model = Message
    form = MessageForm
    fields = (
        ("name", "weight", "language"),
        "body",
        "replace_look_alikes",
        "reads",
        "size",
        "findings",
    )
    readonly_fields = ("reads", "size", "findings")

    def get_extra(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> int:
        return 0 if obj else 1

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _is_draft(obj) and super().has_add_permission(request, obj)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _is_draft(obj) and super().has_change_permission(request, obj)

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        return super().get_queryset(request).select_related("campaign__brand")

    @display(description="Size")
    def size(self, message: Message) -> str:
        if not message.body:
            return "Shown when it is saved: 160 characters fit in one segment, each costs one."
        return preview.size(message)

    @display(description="What is read")
    def reads(self, message: Message) -> str:
        """With what the brand adds, and with short links."""
        if not message.body:
            return "Shown when it is saved."
        return format_html('<span class="whitespace-pre-line">{}</span>', preview.body(message))

    @display(description="Before launch")
    def findings(self, message: Message) -> str:
        """What refuses the launch, and advice."""
        if not message.body:
            return "Checked when it is saved."
        found = lint.of_message(message)
        if not found:
            return "Nothing to mend."
        return format_html_join(
            mark_safe("<br>"),
            '<span class="{}">{}</span>',
            [
                ("text-red-600 dark:text-red-500", f"Mend: {one.sentence}")
                if one.blocks
                else ("", f"Advice: {one.sentence}")
                for one in found
            ],
        )


def _dialog(title: str, description: str, submit: str) -> dict[str, str]:
    return {"title": title, "description": description, "form_submit_text": submit}


@admin.register(Campaign)
class CampaignAdmin(WinnerButton, Undeletable, TenantAdmin):
    list_display = ("name", "brand", "kind", "state", "starts_at", "launched_at")
    list_filter = (
        ("status", ChoicesDropdownFilter),
        ("kind", ChoicesDropdownFilter),
        ("brand", VisibleFilter),
    )
    list_select_related = ("brand",)
    search_fields = ("name",)
    ordering = ("-pk",)
    form = CampaignForm
    autocomplete_fields = ("brand", *AUDIENCE)
    inlines = (MessagesInline, KeywordsInline)
    actions = ("launch_selected", "pause_selected", "resume_selected", "cancel_selected")
    actions_detail = ("launch", "pause", "resume", "cancel", "choose_winner")
    change_form_outer_before_template = "admin/campaigns/progress_slot.html"

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        basics = ("brand", "name", "kind", "starts_at", "weekly_cap")
        planned = (*basics, *AUDIENCE, SHARES, *WINNER, UTM)
        if obj is None:
            return planned
        state = ("state", "status_reason") if obj.status_reason else ("state",)
        pauses = ("paused_by_itself",) if obj.automatic_pauses.exists() else ()
        return (*state, *pauses, *planned, "created_at", "launched_at")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """What texts were planned by stays as it was then."""
        planned_by = ("brand", "kind", "starts_at", *AUDIENCE, *SHARES, *UTM)
        fixed = () if _is_draft(obj) else planned_by
        shown = ("state", "status_reason", "paused_by_itself", "created_at", "launched_at")
        return (*shown, *fixed)

    def get_custom_urls(self) -> tuple[Any, ...]:
        return (("audience/", "campaigns_campaign_audience", audience_panel),)

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        campaign = self.get_object(request, object_id)
        names = controls.offered(campaign.status) if campaign else set()
        if campaign and self.may_choose(campaign):
            names.add("choose-winner")
        buttons = super().get_actions_detail(request, object_id)
        return [button for button in buttons if button.path in names]

    @display(description="Status", label=STATUS_COLOURS)
    def state(self, campaign: Campaign) -> str:
        return campaign.get_status_display()

    @display(description="Paused by itself")
    def paused_by_itself(self, campaign: Campaign) -> str:
        """Its latest automatic pauses, a line each."""
        latest = campaign.automatic_pauses.order_by("-paused_at")[:MOST_PAUSES]
        return format_html_join(
            mark_safe("<br>"),
            "{}: {} of {} texts, the limit is {} % ({})",
            (
                (
                    f"{one.paused_at:%Y-%m-%d %H:%M} UTC",
                    f"{one.bad:,}",
                    f"{one.of:,}",
                    f"{one.limit.normalize():f}",
                    one.get_cause_display().lower(),
                )
                for one in latest
            ),
        )

    @action(
        description="Launch",
        permissions=["change"],
        icon="rocket_launch",
        variant=ActionVariant.PRIMARY,
        dialog=_dialog(
            "Launch this campaign?",
            "Texts go out from its start time on, or at once where it has none. Its brand and its"
            " messages cannot be changed afterwards.",
            "Launch",
        ),
    )
    def launch(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        return self._press("launch", request, object_id)

    @action(
        description="Pause",
        permissions=["change"],
        icon="pause",
        dialog=_dialog("Pause this campaign?", "What is planned stays planned and waits.", "Pause"),
    )
    def pause(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        return self._press("pause", request, object_id)

    @action(
        description="Resume",
        permissions=["change"],
        icon="play_arrow",
        variant=ActionVariant.PRIMARY,
        dialog=_dialog(
            "Resume this campaign?", "Sending goes on where it stopped, within hours.", "Resume"
        ),
    )
    def resume(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        return self._press("resume", request, object_id)

    @action(
        description="Cancel campaign",
        permissions=["change"],
        icon="cancel",
        variant=ActionVariant.DANGER,
        dialog=_dialog(
            "Cancel this campaign?",
            "What is planned is never sent. This cannot be undone.",
            "Yes, cancel it",
        ),
    )
    def cancel(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        return self._press("cancel", request, object_id)

    @admin.action(description="Launch", permissions=["change"])
    def launch_selected(self, request: HttpRequest, queryset: QuerySet) -> None:
        self._tell(request, controls.press("launch", queryset, now=clock.now()))

    @admin.action(description="Pause", permissions=["change"])
    def pause_selected(self, request: HttpRequest, queryset: QuerySet) -> None:
        self._tell(request, controls.press("pause", queryset, now=clock.now()))

    @admin.action(description="Resume", permissions=["change"])
    def resume_selected(self, request: HttpRequest, queryset: QuerySet) -> None:
        self._tell(request, controls.press("resume", queryset, now=clock.now()))

    @admin.action(description="Cancel", permissions=["change"])
    def cancel_selected(self, request: HttpRequest, queryset: QuerySet) -> None:
        self._tell(request, controls.press("cancel", queryset, now=clock.now()))

    def _press(self, name: str, request: HttpRequest, object_id: str) -> HttpResponse:
        campaign = self.get_object(request, object_id)
        if campaign is None:
            raise Http404("There is no such campaign.")
        self._tell(request, controls.press(name, [campaign], now=clock.now()))
        page = reverse("admin:campaigns_campaign_change", args=[campaign.pk])
        return HttpResponse(headers={"HX-Redirect": page})  # the dialog is htmx's

    def _tell(self, request: HttpRequest, pressed: controls.Pressed) -> None:
        for sentence in pressed.done:
            messages.success(request, sentence)
        for sentence in pressed.refused:
            messages.error(request, sentence)


@admin.register(Run)
class RunAdmin(LogAdmin):
    list_display = ("campaign", "brand", "started_at", "audience", "planned_at", "finished_at")
    list_filter = (("brand", VisibleFilter),)
    list_select_related = ("campaign", "brand")
