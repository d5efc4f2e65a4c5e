"""Admin pages of replies: the list of what people wrote, and the conversation with each of them."""

import datetime as dt
import uuid
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.html import format_html
from django.utils.text import Truncator
from unfold.contrib.filters.admin import ChoicesDropdownFilter, DropdownFilter
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextareaWidget

from campaigns import content
from campaigns.models import Campaign
from sending import answers, credits
from subscribers import phones, search
from subscribers.models import Brand, Subscriber
from subscribers.tenant_admin import MOST_CHOICES, LogAdmin, VisibleFilter
from tracking import conversations
from tracking.models import Reply
from tracking.winner_pages import messages_panel

MEANING_COLOURS = {"Opt-out": "danger", "Opt-in": "success", "Help": "info"}
ANSWER_COLOURS = {"To be answered": "warning", "Answered": "success"}
LONGEST_SHOWN = 90  # characters of a reply in the list


class AnsweredFilter(DropdownFilter):
    """What waits for an answer by a person."""

    title = "answer"
    parameter_name = "answer"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("open", "To be answered"), ("done", "Answered, or needs none")]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        if self.value() == "open":
            return queryset.filter(meaning=Reply.Meaning.OTHER, answered_at=None)
        if self.value() == "done":
            return queryset.exclude(meaning=Reply.Meaning.OTHER, answered_at=None)
        return queryset


class OfCampaignFilter(DropdownFilter):
    """Replies to one campaign. Offers the latest campaigns, takes any that the user may see."""

    title = "campaign"
    parameter_name = "campaign"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        latest = Campaign.objects.for_user(request.user).order_by("-pk")[:MOST_CHOICES]
        return [(str(campaign.pk), campaign.name) for campaign in latest]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        value = self.value()
        if not value:
            return queryset
        known = Campaign.objects.for_user(request.user)
        usable = value.isascii() and value.isdecimal() and len(value) < 19
        campaign = known.filter(pk=int(value)).first() if usable else None
        return queryset.filter(campaign=campaign) if campaign else queryset.none()


@admin.register(Reply)
class ReplyAdmin(LogAdmin):
    list_display = ("received_at", "brand", "person", "said", "understood", "answer", "campaign")
    list_filter = (
        AnsweredFilter,
        ("meaning", ChoicesDropdownFilter),
        OfCampaignFilter,
        ("brand", VisibleFilter),
    )
    list_select_related = ("brand", "campaign", "subscriber")
    search_fields = ("subscriber__phone",)
    search_help_text = "Whole phone number"
    actions = ("mark_done",)
    fields = (
        *("received_at", "brand", "person", "body", "understood", "campaign", "answer"),
        *("sender", "provider_id"),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        rows = super().get_queryset(request)
        return rows.select_related(*self.list_select_related, "sender").defer("sender__credentials")

    def get_custom_urls(self) -> tuple[Any, ...]:
        page = "with/<int:brand_id>/<int:subscriber_id>/"
        return (
            (page, "tracking_conversation", conversation_page),
            ("messages/<int:campaign_id>/", "tracking_messages", messages_panel),
        )

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet, search_term: str
    ) -> tuple[QuerySet, bool]:
        if not search_term:
            return queryset, False
        found = search.hashes(request.user, search_term)
        return queryset.filter(subscriber__phone_hash__in=found), False

    @display(description="Meaning", label=MEANING_COLOURS)
    def understood(self, reply: Reply) -> str:
        return reply.get_meaning_display()

    @display(description="Answer", label=ANSWER_COLOURS)
    def answer(self, reply: Reply) -> str:
        if reply.meaning != Reply.Meaning.OTHER:
            return "By itself"
        return "Answered" if reply.answered_at else "To be answered"

    @display(description="Text")
    def said(self, reply: Reply) -> str:
        """Opens the conversation, where there is somebody to talk to."""
        words = Truncator(reply.body).chars(LONGEST_SHOWN) or "(nothing)"
        if reply.subscriber_id is None:
            return words
        page = reverse("admin:tracking_conversation", args=[reply.brand_id, reply.subscriber_id])
        return format_html('<a href="{}" class="text-primary-600">{}</a>', page, words)

    @display(description="Person")
    def person(self, reply: Reply) -> str:
        masked = phones.mask(reply.phone)
        if reply.subscriber_id is None:
            return masked
        page = reverse("admin:subscribers_subscriber_change", args=[reply.subscriber_id])
        return format_html('<a href="{}" class="text-primary-600">{}</a>', page, masked)

    def has_answer_permission(self, request: HttpRequest) -> bool:
        return may_answer(request)

    @admin.action(description="Needs no answer", permissions=["answer"])
    def mark_done(self, request: HttpRequest, queryset: QuerySet) -> None:
        ids = list(queryset.values_list("pk", flat=True))
        count = conversations.needs_no_answer(Reply.objects.filter(pk__in=ids))
        messages.success(request, f"{count:,} left the list of what is to be answered.")


def may_answer(request: HttpRequest) -> bool:
    """Django's permission to change replies, which nobody can otherwise."""
    return request.user.has_perm("tracking.change_reply")


class AnswerForm(forms.Form):
    """What the person shall read. `key` makes a second click harmless; `reply` is what is answered."""

    body = forms.CharField(
        label="Your answer",
        max_length=content.LONGEST_BODY,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
    )
    key = forms.CharField(max_length=80, widget=forms.HiddenInput, initial=lambda: uuid.uuid4().hex)
    reply = forms.IntegerField(widget=forms.HiddenInput)


def conversation_page(
    request: HttpRequest, brand_id: int, subscriber_id: int, model_admin: Any
) -> HttpResponse:
    """What a person and a brand wrote to each other, and the form that answers."""
    if not request.user.has_perm("tracking.view_reply"):
        raise PermissionDenied
    brands = Brand.objects.for_user(request.user).select_related("workspace")
    brand = get_object_or_404(brands, pk=brand_id)
    people = Subscriber.objects.for_user(request.user)
    person = get_object_or_404(people, pk=subscriber_id, workspace=brand.workspace_id)
    latest = conversations.latest_reply(brand, person)
    form = AnswerForm(request.POST or None, initial={"reply": latest and latest.pk})
    if request.method == "POST":
        if not may_answer(request):
            raise PermissionDenied
        if form.is_valid() and _answered(request, brand, person, form):
            return HttpResponseRedirect(request.path)
    seen = conversations.of(brand, person, before=_before(request))
    earlier = seen.earlier and urlencode({"before": seen.earlier.isoformat()})
    values = {
        "title": f"Conversation with {phones.mask(person.phone)}",
        "brand": brand,
        "person": person,
        "lines": seen.lines,
        "earlier": earlier,
        "is_latest": "before" not in request.GET,
        "form": form if latest and may_answer(request) else None,
        "why_not": conversations.why_not(latest) if latest and not form.errors else "",
    }
    context = admin.site.each_context(request) | values
    return render(request, "admin/tracking/conversation.html", context)


def _answered(request: HttpRequest, brand: Brand, person: Subscriber, form: AnswerForm) -> bool:
    """Whether the answer is on its way; where it is not, the form says why."""
    given = form.cleaned_data
    replies = Reply.objects.filter(brand=brand, subscriber=person).select_related(
        "brand__workspace"
    )
    reply = get_object_or_404(replies, pk=given["reply"])
    by = request.user.get_username()
    try:
        planned = conversations.answer(reply, given["body"], key=given["key"], by=by)
    except (answers.Refused, credits.Short) as error:
        form.add_error("body", str(error))
        return False
    if planned.later:
        moment = f"{planned.leaves_at + brand.clock_shift:%Y-%m-%d %H:%M} UTC"
        messages.success(request, f"It leaves at {moment}, when the person may be texted.")
    else:
        messages.success(request, "Your answer is on its way.")
    return True


def _before(request: HttpRequest) -> dt.datetime | None:
    try:
        moment = dt.datetime.fromisoformat(request.GET.get("before", ""))
    except ValueError:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
    return aware if aware.year > 1970 else None
