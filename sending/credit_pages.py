"""Admin pages of credits: what each workspace has, and the ledger. Operators give credits there."""

import uuid
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import display

from sending import credits
from sending.models import CreditAccount, CreditEntry
from subscribers.tenant_admin import (
    LargeTable,
    OperatorWrites,
    TenantAdmin,
    Undeletable,
    VisibleFilter,
    refuse_unseen,
)


class GrantForm(forms.ModelForm):
    """Credits for a workspace. The same page sent twice gives them once."""

    once = forms.CharField(
        widget=forms.HiddenInput, max_length=60, initial=lambda: f"grant:{uuid.uuid4().hex}"
    )

    class Meta:
        model = CreditEntry
        fields = ("workspace", "amount", "note")
        help_texts = {
            "amount": "One credit is one segment of a text. A negative amount corrects.",
            "note": "Why: an invoice, an agreement, a mistake.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in {"note"} & self.fields.keys():  # the page of an entry has no fields
            self.fields[name].required = True

    def clean_amount(self) -> int:
        amount = self.cleaned_data["amount"]
        if amount == 0:
            raise forms.ValidationError("Nothing would change.")
        return amount


@admin.register(CreditAccount)
class CreditAccountAdmin(Undeletable, OperatorWrites, TenantAdmin):
    list_display = ("workspace", "enforced", "left", "held", "spent", "granted", "opened_at")
    list_filter = ("enforced",)
    list_select_related = ("workspace",)
    search_fields = ("workspace__name", "workspace__slug")
    ordering = ("workspace__name",)
    autocomplete_fields = ("workspace",)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        asked = ("workspace", "enforced")
        return (*asked, "left", "held", "spent", "granted", "opened_at") if obj else asked

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        fixed = ("workspace",) if obj else ()
        return ("left", "held", "spent", "granted", "opened_at", *fixed)

    @display(description="Available")
    def left(self, account: CreditAccount) -> str:
        return f"{account.available:,}" if account.enforced else f"{account.available:,}, unlimited"

    @display(description="Reserved")
    def held(self, account: CreditAccount) -> int:
        return account.reserved


@admin.register(CreditEntry)
class CreditEntryAdmin(LargeTable, Undeletable, OperatorWrites, TenantAdmin):
    """The ledger. Adding an entry by hand gives credits or corrects them; the rest is the system's."""

    form = GrantForm
    list_display = ("created_at", "workspace", "what", "amount", "cause", "note", "actor")
    list_filter = (("kind", ChoicesDropdownFilter), ("workspace", VisibleFilter))
    list_select_related = ("workspace", "hold")
    autocomplete_fields = ("workspace",)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        if obj is None:
            return ("workspace", "amount", "note", "once")
        return ("workspace", "what", "amount", "cause", "note", "actor", "created_at")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: CreditEntry, form: Any, change: bool) -> None:
        refuse_unseen(obj, request.user)
        given = credits.grant(
            obj.workspace,
            obj.amount,
            note=obj.note,
            actor=request.user.get_username(),
            reference=form.cleaned_data["once"],
        )
        obj.pk, obj.kind = given.pk, given.kind

    @display(
        description="What",
        label={"Granted": "success", "Corrected": "warning", "Debited": "info"},
    )
    def what(self, entry: CreditEntry) -> str:
        return entry.get_kind_display()

    @display(description="For")
    def cause(self, entry: CreditEntry) -> str:
        return str(entry.hold or "")
