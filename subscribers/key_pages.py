"""Admin pages of API keys."""

from typing import Any

from django.contrib import admin, messages
from django.db import models
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from subscribers import clock, keys
from subscribers.forms import ApiKeyForm
from subscribers.models import ApiKey
from subscribers.tenant_admin import TenantAdmin, VisibleFilter

LIMITS = ("per_minute", "events_per_minute")


@admin.register(ApiKey)
class ApiKeyAdmin(TenantAdmin):
    form = ApiKeyForm
    list_display = (
        *("name", "prefix", "workspace", "kind", "scopes_in_short", "last_used_at"),
        *("expiry_date", "revoked"),
    )
    list_filter = (("workspace", VisibleFilter), "test", "revoked")
    list_select_related = ("workspace",)
    search_fields = ("name", "prefix")
    autocomplete_fields = ("workspace",)
    actions_detail = ("rotate",)
    formfield_overrides = {
        models.ManyToManyField: {"widget": UnfoldAdminCheckboxSelectMultipleWidget}
    }

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """A key never changes from test to live: who holds it would not know."""
        revoked = ("name", "expiry_date", "revoked") if obj and obj.revoked else ()
        fixed = ("workspace", "test") if obj else ()
        return ("prefix", "created", "last_used_at", *fixed, *revoked)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        asked = ("name", "workspace", "brands", "test", "scopes", *LIMITS, "expiry_date")
        return (*asked, "revoked", "prefix", "created", "last_used_at") if obj else asked

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        key = None if change else ApiKey.objects.assign_key(obj)
        super().save_model(request, obj, form, change)
        if key:
            self._show_once(request, obj, key)

    @display(description="Kind", label={"Test": "warning", "Live": "success"})
    def kind(self, key: ApiKey) -> str:
        return "Test" if key.test else "Live"

    @display(description="May")
    def scopes_in_short(self, key: ApiKey) -> str:
        return ", ".join(key.scopes) or "nothing"

    @action(
        description="Rotate",
        permissions=["change"],
        icon="autorenew",
        dialog={
            "title": "Make a new key in place of this one?",
            "description": "The new key may do the same. This one works for 24 more hours.",
            "form_submit_text": "Make the new key",
        },
    )
    def rotate(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        key = self.get_object(request, object_id)
        if key is None:
            raise Http404("There is no such key.")
        try:
            successor, secret = keys.rotate(key, now=clock.now())
        except keys.NotRotatable as error:
            messages.error(request, str(error))
            successor = key
        else:
            self._show_once(request, successor, secret)
        page = reverse("admin:subscribers_apikey_change", args=[successor.pk])
        return HttpResponse(headers={"HX-Redirect": page})  # the dialog is htmx's

    def _show_once(self, request: HttpRequest, key: ApiKey, secret: str) -> None:
        messages.warning(
            request, f"The key {key.name} is {secret} - keep it now: it is not shown again."
        )
