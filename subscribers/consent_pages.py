"""Admin pages of consent: a person's buttons, wordings, dated rules, erasures."""

import json
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.serializers.json import DjangoJSONEncoder
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from subscribers import by_hand, clock, erasure, person_export, undo
from subscribers.models import (
    Brand,
    ConsentSource,
    ConsentWording,
    Erasure,
    OptInRule,
    OptOutRule,
    Subscriber,
    Suppression,
)
from subscribers.tenant_admin import LogAdmin, TenantAdmin, Undeletable, VisibleFilter, visible

WHOLE_WORKSPACE = "All brands of the workspace"


class PersonForm(BaseDialogForm):
    """A dialog about one person of the user's workspaces, with the reason for the evidence."""

    reason = forms.CharField(
        max_length=200,
        widget=UnfoldAdminTextInputWidget(),
        help_text="Kept as evidence: who asked for it, how and when.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        people = visible(Subscriber, self.request.user, Subscriber.objects.filter(erased_at=None))
        found = people.filter(pk=self.object_id).select_related("workspace").first()
        if found is None:
            raise Http404("There is no such person.")
        self.person: Subscriber = found


class ScopeForm(PersonForm):
    """With what the opt-out covers: a brand, or everything."""

    scope = forms.ChoiceField(label="Applies to", widget=UnfoldAdminSelectWidget())
    field_order = ("scope", "reason")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.brands = {brand.pk if brand else 0: brand for brand in self.offered()}
        self.fields["scope"].choices = [  # type: ignore[attr-defined]
            (key, brand.name if brand else WHOLE_WORKSPACE) for key, brand in self.brands.items()
        ]

    def offered(self) -> list[Brand | None]:
        """What there is to choose; None is the whole workspace."""
        return [*self.person.workspace.brands.order_by("name")[:200], None]

    @property
    def brand(self) -> Brand | None:
        return self.brands[int(self.cleaned_data["scope"])]


class UndoForm(ScopeForm):
    """Only what an operator did, and nobody else said too."""

    def offered(self) -> list[Brand | None]:
        return undo.undoable(self.person)


def _dialog(title: str, description: str, submit: str, form: type[BaseDialogForm]) -> Any:
    return {
        "title": title,
        "description": description,
        "form_class": form,
        "form_submit_text": submit,
    }


class PersonButtons:
    """For the admin of subscribers: opt out, undo that, export and erase a person."""

    actions_detail = ("opt_out", "undo_opt_out", "export_person", "erase_person")

    def has_erase_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Whoever may delete subscribers may take their data out, and away."""
        return request.user.has_perm("subscribers.delete_subscriber")

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        buttons = super().get_actions_detail(request, object_id)  # type: ignore[misc]
        person = self.get_object(request, object_id)  # type: ignore[attr-defined]
        if person and undo.undoable(person):
            return buttons
        return [button for button in buttons if button.path != "undo_opt_out"]

    @action(
        description="Opt out",
        url_path="opt_out",
        permissions=["change"],
        icon="block",
        dialog=_dialog(
            "Opt this person out?",
            "Nothing more is sent to them. You can undo it; what they say by text you cannot.",
            "Opt out",
            ScopeForm,
        ),
    )
    def opt_out(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        person = form.person
        wanted = Suppression(
            workspace=person.workspace,
            brand=form.brand,
            phone=person.phone,
            reason=form.cleaned_data["reason"],
        )
        by_hand.suppress(wanted, actor=request.user.get_username())
        scope = form.brand.name if form.brand else WHOLE_WORKSPACE.lower()
        messages.success(request, f"Opted out of {scope}.")
        return _to(person)

    @action(
        description="Undo opt-out",
        url_path="undo_opt_out",
        permissions=["change"],
        icon="undo",
        dialog=_dialog(
            "Undo an operator's opt-out?",
            "The person is what they were before it. What they said themselves stays.",
            "Undo it",
            UndoForm,
        ),
    )
    def undo_opt_out(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        person, actor = form.person, request.user.get_username()
        try:
            undo.undo(
                person.workspace,
                person.phone,
                brand=form.brand,
                at=clock.now(),
                of=ConsentSource.OPERATOR,
                evidence={"actor": actor, "reason": form.cleaned_data["reason"]},
            )
            messages.success(request, "The opt-out is undone.")
        except undo.CannotUndo as error:
            messages.error(request, str(error))
        return _to(person)

    @action(
        description="Export",
        url_path="export_person",
        permissions=["erase"],
        icon="download",
    )
    def export_person(self, request: HttpRequest, object_id: str) -> HttpResponse:
        person = self.get_object(request, object_id)  # type: ignore[attr-defined]
        if person is None:
            raise Http404("There is no such person.")
        found = person_export.collect(person.workspace, person.phone)
        text = json.dumps(found, cls=DjangoJSONEncoder, ensure_ascii=False, indent=2)
        name = f"person-{person.pk}.json"
        return HttpResponse(
            text,
            content_type="application/json",
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )

    @action(
        description="Erase",
        url_path="erase_person",
        permissions=["erase"],
        icon="person_off",
        variant=ActionVariant.DANGER,
        dialog=_dialog(
            "Erase this person?",
            "Name, number, texts, replies and everything else about them goes, in every brand of the"
            " workspace. Only a fingerprint of the number stays, so that nobody texts it again. This"
            " cannot be undone.",
            "Erase for ever",
            PersonForm,
        ),
    )
    def erase_person(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        person = form.person
        done = erasure.erase(
            person.workspace,
            person.phone,
            actor=request.user.get_username(),
            reason=form.cleaned_data["reason"],
        )
        if done.finished_at:
            messages.success(request, "The person is erased. The number stays suppressed.")
        else:
            messages.warning(
                request, "A text is on its way: the rest is erased once its fate is known."
            )
        return HttpResponse(
            headers={"HX-Redirect": reverse("admin:subscribers_erasure_changelist")}
        )


def _to(person: Subscriber) -> HttpResponse:
    page = reverse("admin:subscribers_subscriber_change", args=[person.pk])
    return HttpResponse(headers={"HX-Redirect": page})  # the dialog is htmx's


class _Dated(Undeletable, TenantAdmin):
    """Rows that hold from a date on: a change of mind is a new row, so the old ones tell what was."""

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(ConsentWording)
class ConsentWordingAdmin(_Dated):
    list_display = ("version", "brand", "valid_from", "created_at")
    list_filter = (("brand", VisibleFilter),)
    list_select_related = ("brand",)
    search_fields = ("version", "text")
    autocomplete_fields = ("brand",)
    fields = ("brand", "version", "text", "valid_from")
    ordering = ("-valid_from",)


@admin.register(OptInRule)
class OptInRuleAdmin(_Dated):
    list_display = ("brand", "double_opt_in", "answer_days", "effective_from")
    list_filter = (("brand", VisibleFilter),)
    list_select_related = ("brand",)
    search_fields = ("brand__name", "brand__slug")
    autocomplete_fields = ("brand",)
    ordering = ("-effective_from",)


@admin.register(OptOutRule)
class OptOutRuleAdmin(_Dated):
    list_display = ("workspace", "scope", "effective_from")
    list_filter = (("workspace", VisibleFilter),)
    list_select_related = ("workspace",)
    search_fields = ("workspace__name", "workspace__slug")
    autocomplete_fields = ("workspace",)
    ordering = ("-effective_from",)


@admin.register(Erasure)
class ErasureAdmin(LogAdmin):
    list_display = ("asked_at", "workspace", "actor", "reason", "state", "finished_at")
    list_filter = (("workspace", VisibleFilter),)
    list_select_related = ("workspace",)
    search_fields = ("actor", "reason")
    fields = ("asked_at", "workspace", "actor", "reason", "state", "finished_at")

    @display(description="State", label={"Done": "success", "Going on": "warning"})
    def state(self, row: Erasure) -> str:
        return "Done" if row.finished_at else "Going on"
