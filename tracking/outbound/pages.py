"""Admin pages of webhooks out: endpoints, and the log of deliveries with their attempts."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db import models
from django.db.models.functions import Now
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.timesince import timeuntil
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget, UnfoldAdminTextInputWidget

from subscribers import clock
from subscribers.tenant_admin import (
    LogAdmin,
    ReadOnly,
    TenantAdmin,
    TenantTabularInline,
    VisibleFilter,
)
from tracking.outbound import addresses, deliveries, endpoints, payloads
from tracking.outbound.models import (
    EventType,
    WebhookAttempt,
    WebhookDelivery,
    WebhookEndpoint,
)
from tracking.outbound.retention import KEEP
from tracking.outbound.schedule import KEEP_TRYING

STATES = {"on": "On", "off": "Off", "paused": "Paused", "trying": "Trying again"}
STATE_COLOURS = {"On": "success", "Off": "", "Paused": "danger", "Trying again": "warning"}
DELIVERY_COLOURS = {"Delivered": "success", "Given up": "danger", "Waiting": "info"}
MOST_ATTEMPTS = 50


class EndpointForm(forms.ModelForm):
    """An endpoint of a workspace, or of one of its brands."""

    url = forms.CharField(
        label="URL",
        max_length=addresses.LONGEST_URL,
        widget=UnfoldAdminTextInputWidget,
        help_text="Where events are posted to: https, on the public internet.",
    )
    event_types = forms.MultipleChoiceField(
        choices=EventType,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="What is told to it.",
    )

    class Meta:
        model = WebhookEndpoint
        fields = ()


@admin.register(WebhookEndpoint)
class WebhookEndpointAdmin(TenantAdmin):
    form = EndpointForm
    list_display = ("url", "description", "workspace", "of_brand", "state", "status_reason")
    list_filter = (("workspace", VisibleFilter), ("brand", VisibleFilter), "enabled")
    list_select_related = ("workspace", "brand")
    ordering = ("url", "pk")
    search_fields = ("url", "description")
    autocomplete_fields = ("workspace", "brand")
    actions_detail = ("send_example", "replay", "show_secret", "rotate_secret")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        asked = ("url", "description", "workspace", "brand", "event_types", "enabled")
        return (*asked, "state", "status_reason", "created_at") if obj else asked

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        fixed = ("workspace",) if obj else ()
        return ("state", "status_reason", "created_at", *fixed)

    def get_queryset(self, request: HttpRequest) -> models.QuerySet:
        return super().get_queryset(request).annotate(asked_at=Now())

    def save_model(
        self, request: HttpRequest, obj: WebhookEndpoint, form: Any, change: bool
    ) -> None:
        if change:
            super().save_model(request, obj, form, change)
            endpoints.forget_failures(obj.pk)
            return
        obj.secrets = endpoints.new_secrets()
        super().save_model(request, obj, form, change)
        self._show(request, obj)

    def delete_model(self, request: HttpRequest, obj: WebhookEndpoint) -> None:
        endpoints.delete(obj)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> tuple[Any, ...]:
        """Its deliveries go with it: thousands are not listed one by one."""
        return [str(one) for one in objs], {"webhook endpoints": len(objs)}, set(), []

    def delete_queryset(self, request: HttpRequest, queryset: models.QuerySet) -> None:
        for endpoint in queryset[: endpoints.MOST_ENDPOINTS]:
            endpoints.delete(endpoint)

    @display(description="Brand", ordering="brand")
    def of_brand(self, endpoint: WebhookEndpoint) -> str:
        return str(endpoint.brand or "Every brand")

    @display(description="State", label=STATE_COLOURS)
    def state(self, endpoint: WebhookEndpoint) -> str:
        return STATES[endpoints.state_of(endpoint, endpoint.asked_at)]

    @action(
        description="Send an example",
        permissions=["change"],
        icon="send",
        dialog={
            "title": "Send this endpoint an example?",
            "description": "One made-up event of the first type that it asks for, marked as an example.",
            "form_submit_text": "Send it",
        },
    )
    def send_example(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        endpoint = self._endpoint(request, object_id)
        try:
            made = endpoints.send_example(endpoint, endpoint.event_types[0], now=clock.now())
        except endpoints.NotAllowed as error:
            messages.error(request, str(error))
            return self._back(endpoint)
        messages.success(request, "Sent. Reload this page in a few seconds to see what came of it.")
        return HttpResponse(headers={"HX-Redirect": _delivery_page(made.pk)})

    @action(
        description="Send again what was given up",
        permissions=["change"],
        icon="replay",
        dialog={
            "title": "Send again what was given up?",
            "description": f"Everything of the last {KEEP.days} days that never arrived, oldest first.",
            "form_submit_text": "Send again",
        },
    )
    def replay(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        endpoint = self._endpoint(request, object_id)
        now = clock.now()
        count = endpoints.replay(
            endpoint,
            since=now - KEEP - KEEP_TRYING,
            until=now,
            states=[WebhookDelivery.State.GIVEN_UP],
        )
        messages.info(request, f"{count} events are sent again." if count else "None was given up.")
        return self._back(endpoint)

    @action(
        description="Show the secret",
        permissions=["change"],
        icon="visibility",
        dialog={
            "title": "Show the secret?",
            "description": "Whoever has it can sign events as if they came from here.",
            "form_submit_text": "Show it",
        },
    )
    def show_secret(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        endpoint = self._endpoint(request, object_id)
        self._show(request, endpoint)
        return self._back(endpoint)

    @action(
        description="Rotate the secret",
        permissions=["change"],
        icon="autorenew",
        dialog={
            "title": "Make a new secret in place of this one?",
            "description": "For 24 hours events are signed with both.",
            "form_submit_text": "Make the new secret",
        },
    )
    def rotate_secret(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        endpoint = self._endpoint(request, object_id)
        endpoints.rotate(endpoint.pk, now=clock.now())
        endpoint.refresh_from_db(fields=["secrets"])
        self._show(request, endpoint)
        return self._back(endpoint)

    def _endpoint(self, request: HttpRequest, object_id: str) -> WebhookEndpoint:
        endpoint = self.get_object(request, object_id)
        if endpoint is None:
            raise Http404("There is no such endpoint.")
        return endpoint

    def _back(self, endpoint: WebhookEndpoint) -> HttpResponse:
        page = reverse("admin:tracking_webhookendpoint_change", args=[endpoint.pk])
        return HttpResponse(headers={"HX-Redirect": page})  # the dialog is htmx's

    def _show(self, request: HttpRequest, endpoint: WebhookEndpoint) -> None:
        messages.warning(
            request, f"The secret of {endpoint.url} is {endpoints.secret_of(endpoint)}"
        )


class AttemptInline(ReadOnly, TenantTabularInline):
    model = WebhookAttempt
    fields = ("at", "status", "took", "error", "answer")
    readonly_fields = fields
    ordering = ("-pk",)
    per_page = MOST_ATTEMPTS
    hide_title = True
    verbose_name_plural = "attempts"

    @display(description="Took")
    def took(self, attempt: WebhookAttempt) -> str:
        return f"{attempt.milliseconds:,} ms"


@admin.register(WebhookDelivery)
class WebhookDeliveryAdmin(LogAdmin):
    list_display = ("created_at", "endpoint", "what", "brand", "shown_state", "attempts", "next")
    list_filter = (
        ("state", ChoicesDropdownFilter),
        ("event__type", ChoicesDropdownFilter),
        ("endpoint", VisibleFilter),
    )
    list_select_related = ("endpoint", "event__brand")
    fields = ("webhook_id", "of_endpoint", "what", "brand", "facts", "shown_state", "attempts")
    inlines = (AttemptInline,)
    actions_detail = ("replay",)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        ended = obj is not None and obj.finished_at is not None
        return (*self.fields, "finished_at" if ended else "next", "created_at")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("webhook_id", "of_endpoint", "what", "brand", "facts", "shown_state", "next")

    def get_queryset(self, request: HttpRequest) -> models.QuerySet:
        rows = super().get_queryset(request).annotate(asked_at=Now())
        return rows.select_related(*self.list_select_related).defer("endpoint__secrets")

    def has_replay_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Named here: a permission in the action itself is looked up before there are tables."""
        return request.user.has_perm("tracking.change_webhookendpoint")

    @display(description="Webhook-id")
    def webhook_id(self, delivery: WebhookDelivery) -> str:
        return payloads.webhook_id(delivery.event)

    @display(description="Endpoint")
    def of_endpoint(self, delivery: WebhookDelivery) -> str:
        page = reverse("admin:tracking_webhookendpoint_change", args=[delivery.endpoint_id])
        return format_html(
            '<a href="{}" class="text-primary-600">{}</a>', page, delivery.endpoint.url
        )

    @display(description="What happened")
    def what(self, delivery: WebhookDelivery) -> str:
        return delivery.event.get_type_display()

    @display(description="Brand")
    def brand(self, delivery: WebhookDelivery) -> str:
        return str(delivery.event.brand or "Every brand")

    @display(description="Facts")
    def facts(self, delivery: WebhookDelivery) -> str:
        told = [f"{name}: {value}" for name, value in delivery.event.facts.items() if value]
        return ", ".join(told)

    @display(description="State", label=DELIVERY_COLOURS)
    def shown_state(self, delivery: WebhookDelivery) -> str:
        return delivery.get_state_display()

    @display(description="Next attempt")
    def next(self, delivery: WebhookDelivery) -> str:
        if delivery.state != WebhookDelivery.State.WAITING:
            return ""
        state = endpoints.state_of(delivery.endpoint, delivery.asked_at)
        if state in ("off", "paused"):
            return f"when the endpoint is {'switched on' if state == 'off' else 'tried again'}"
        if delivery.due_at <= delivery.asked_at:
            return "now"
        return f"in {timeuntil(delivery.due_at, delivery.asked_at)}"

    @action(
        description="Send again",
        permissions=["replay"],
        icon="replay",
        dialog={
            "title": "Send this event again?",
            "description": "With the same webhook-id: a receiver that remembers it skips it.",
            "form_submit_text": "Send again",
        },
    )
    def replay(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        delivery = self.get_object(request, object_id)
        if delivery is None:
            raise Http404("There is no such delivery.")
        if deliveries.replay([delivery.pk]):
            messages.success(request, "It is sent again.")
        else:
            messages.error(request, "It is under way already: it is tried until it succeeds.")
        return HttpResponse(headers={"HX-Redirect": _delivery_page(delivery.pk)})


def _delivery_page(delivery_id: int) -> str:
    return reverse("admin:tracking_webhookdelivery_change", args=[delivery_id])
