"""Admin page of replies that read like an opt-out: a person says whether they are."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import formats
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminTextInputWidget

from subscribers import phones, search
from subscribers.tenant_admin import LargeTable, TenantAdmin, Undeletable, VisibleFilter, visible
from tracking import possible_opt_outs
from tracking.models import PossibleOptOut

COLOURS = {"To be looked at": "warning", "Is an opt-out": "success", "Was none: undone": "info"}


class OneForm(BaseDialogForm):
    """A dialog about one row of the user's workspaces."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        rows = visible(PossibleOptOut, self.request.user)
        found = rows.filter(pk=self.object_id).select_related("reply__brand__workspace").first()
        if found is None:
            raise Http404("There is no such reply.")
        self.row: PossibleOptOut = found


class UndoForm(OneForm):
    """Why it was no opt-out: kept as evidence."""

    reason = forms.CharField(max_length=200, widget=UnfoldAdminTextInputWidget())


@admin.register(PossibleOptOut)
class PossibleOptOutAdmin(LargeTable, Undeletable, TenantAdmin):
    list_display = ("number", "words", "brand", "state", "received", "decided_by")
    list_filter = (("status", ChoicesDropdownFilter), ("brand", VisibleFilter))
    list_select_related = ("reply", "brand")
    search_fields = ("reply__phone",)
    search_help_text = "Whole phone number"
    fields = (
        *("number", "words", "brand", "covers", "state", "received"),
        *("decided_by", "decided_at", "reason"),
    )
    readonly_fields = fields
    actions = ("confirm_selected",)
    actions_detail = ("confirm", "take_back")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Two buttons decide; there is nothing to save."""
        context = {**(extra_context or {}), "show_save": False, "show_save_and_continue": False}
        return super().change_view(request, object_id, form_url, context)

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        row = self.get_object(request, object_id)
        status = row.status if row else ""
        offered = {"open": {"confirm", "take_back"}, "confirmed": {"take_back"}}.get(status, set())
        buttons = super().get_actions_detail(request, object_id)
        return [button for button in buttons if button.path in offered]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet, search_term: str
    ) -> tuple[QuerySet, bool]:
        if not search_term:
            return queryset, False
        return queryset.filter(reply__phone=search.e164(search_term) or None), False

    @action(
        description="It is an opt-out",
        url_path="confirm",
        permissions=["change"],
        icon="check",
        variant=ActionVariant.PRIMARY,
        dialog={
            "title": "Is it an opt-out?",
            "description": "The person stays opted out, and this leaves the list.",
            "form_class": OneForm,
            "form_submit_text": "Yes, it is",
        },
    )
    def confirm(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        possible_opt_outs.confirm([form.row.pk], actor=request.user.get_username())
        return self._to_list()

    @action(
        description="It is none: undo",
        url_path="take_back",
        permissions=["change"],
        icon="undo",
        dialog={
            "title": "Undo this opt-out?",
            "description": "The person gets texts again as before, unless they are opted out"
            " otherwise too.",
            "form_class": UndoForm,
            "form_submit_text": "Undo it",
        },
    )
    def take_back(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        try:
            possible_opt_outs.take_back(
                form.row, actor=request.user.get_username(), reason=form.cleaned_data["reason"]
            )
            messages.success(request, "Undone: the person is what they were before.")
        except possible_opt_outs.CannotUndo as error:
            messages.error(request, str(error))
        return self._to_list()

    @admin.action(description="They are opt-outs", permissions=["change"])
    def confirm_selected(self, request: HttpRequest, queryset: QuerySet) -> None:
        ids = list(queryset.values_list("pk", flat=True))
        count = possible_opt_outs.confirm(ids, actor=request.user.get_username())
        messages.success(request, f"Confirmed: {count}.")

    def _to_list(self) -> HttpResponse:
        page = reverse("admin:tracking_possibleoptout_changelist")
        return HttpResponse(headers={"HX-Redirect": f"{page}?status__exact=open"})

    @display(description="Person")
    def number(self, row: PossibleOptOut) -> str:
        return phones.mask(row.reply.phone)

    @display(description="Wrote")
    def words(self, row: PossibleOptOut) -> str:
        return row.reply.body[:120]

    @display(description="Covers")
    def covers(self, row: PossibleOptOut) -> str:
        return "Every brand of the workspace" if row.everywhere else "This brand"

    @display(description="Received")
    def received(self, row: PossibleOptOut) -> str:
        return formats.localize(row.reply.received_at)

    @display(description="State", label=COLOURS)
    def state(self, row: PossibleOptOut) -> str:
        return row.get_status_display()
