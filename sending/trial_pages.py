"""Admin pages of test sends: the panel on a campaign's page, and a workspace's own numbers."""

import re
import uuid
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget

from campaigns import content, lifecycle
from campaigns.eligibility import REASON_TEXT, Reason
from campaigns.models import Campaign, Message
from sending import credits, trials
from sending.models import TestNumber
from subscribers import phones
from subscribers.tenant_admin import TenantAdmin, VisibleFilter


class TestForm(forms.Form):
    """Which message of a campaign goes to which numbers. `key` makes a second click harmless."""

    __test__ = False  # pytest: no test

    numbers = forms.CharField(
        max_length=500,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
        help_text=f"Up to {trials.MOST_NUMBERS}, separated by commas or lines.",
    )
    message = forms.ModelChoiceField(
        queryset=Message.objects.none(), empty_label=None, widget=UnfoldAdminSelectWidget
    )
    key = forms.CharField(max_length=80, widget=forms.HiddenInput, initial=lambda: uuid.uuid4().hex)

    def __init__(self, campaign: Campaign, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["message"].queryset = campaign.messages.order_by("pk")  # type: ignore[attr-defined]

    def clean_numbers(self) -> list[str]:
        numbers = [part.strip() for part in re.split(r"[,;\n]", self.cleaned_data["numbers"])]
        numbers = [number for number in numbers if number]
        if not 1 <= len(numbers) <= trials.MOST_NUMBERS:
            raise forms.ValidationError(f"Give 1 to {trials.MOST_NUMBERS} numbers.")
        return numbers


def test_panel(request: HttpRequest, campaign_id: int, model_admin: Any) -> HttpResponse:
    """The form that sends a test, and what became of each number, as a part of a campaign's page."""
    if not request.user.has_perm("campaigns.change_campaign"):
        raise PermissionDenied
    campaigns = Campaign.objects.for_user(request.user).select_related("brand")
    campaign = get_object_or_404(campaigns, pk=campaign_id)
    form = TestForm(campaign, request.POST or None)
    told: list[tuple[str, str]] = []
    if form.is_valid():
        try:
            told = _send(campaign, form, request.user.get_username())
        except (lifecycle.NotAllowed, content.BadContent, credits.Short) as error:
            form.add_error(None, str(error))
        else:
            form = TestForm(campaign)
    values = {"campaign": campaign, "form": form, "told": told, "open": request.method == "POST"}
    return render(request, "admin/sending/test_panel.html", values)


test_panel.__test__ = False  # type: ignore[attr-defined] - pytest: no test


def _send(campaign: Campaign, form: TestForm, actor: str) -> list[tuple[str, str]]:
    given = form.cleaned_data
    told = trials.send(
        campaign, given["numbers"], key=given["key"], asked_by=actor, message=given["message"]
    )
    return [(one.number, _words(one.reason)) for one in told]


def _words(reason: str) -> str:
    if reason == trials.NOT_A_NUMBER:
        return "This is not a phone number"
    return REASON_TEXT[Reason(reason)] if reason else "On its way"


class TestNumberForm(forms.ModelForm):
    """A number in any usual writing."""

    __test__ = False  # pytest: no test

    class Meta:
        model = TestNumber
        fields = ("workspace", "phone", "note")

    def clean_phone(self) -> str:
        try:
            return phones.parse(self.cleaned_data["phone"]).e164
        except phones.InvalidPhone as error:
            raise forms.ValidationError(str(error)) from None


@admin.register(TestNumber)
class TestNumberAdmin(TenantAdmin):
    """Numbers that the workspace calls its own: tests reach them at any hour."""

    __test__ = False  # pytest: no test

    form = TestNumberForm
    list_display = ("phone", "workspace", "note", "added_at")
    list_filter = (("workspace", VisibleFilter),)
    list_select_related = ("workspace",)
    search_fields = ("phone", "note")
    ordering = ("phone",)
    autocomplete_fields = ("workspace",)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("workspace", "phone") if obj else ()

    def get_custom_urls(self) -> tuple[Any, ...]:
        return (("of/<int:campaign_id>/", "sending_test_panel", test_panel),)
