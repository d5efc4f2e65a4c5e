"""Admin pages of segments and manual lists."""

from collections import Counter
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_POST
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget

from subscribers import clock, segment_form, segments
from subscribers.models import Brand
from subscribers.phones import mask
from subscribers.segment_form import SegmentForm
from subscribers.segment_models import ManualList, ManualListMember, Segment
from subscribers.segments import draft, lists, people, references, tree, words
from subscribers.tenant_admin import (
    ReadOnly,
    TenantAdmin,
    TenantTabularInline,
    VisibleFilter,
    visible,
)

MOST_SHOWN = 300  # lines that an answer names one by one
LARGEST_FILE = 1024 * 1024


def _may_write(request: HttpRequest) -> None:
    needed = ("subscribers.add_segment", "subscribers.change_segment")
    if not any(request.user.has_perm(one) for one in needed):
        raise PermissionDenied


def _id(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def _workspace(request: HttpRequest) -> int | None:
    """The workspace of the form: of the segment that it changes, or the one chosen in it."""
    segment_id = _id(request.POST.get("rule-segment", ""))
    if segment_id:
        return get_object_or_404(visible(Segment, request.user), pk=segment_id).workspace_id
    chosen = _id(request.POST.get("workspace", ""))
    seen = visible(Segment.workspace.field.related_model, request.user)  # type: ignore[attr-defined]
    if chosen:
        return get_object_or_404(seen, pk=chosen).pk
    own = list(seen.values_list("pk", flat=True)[:2])
    return own[0] if len(own) == 1 else None


@require_POST
def builder(request: HttpRequest, model_admin: Any = None) -> HttpResponse:
    """The builder as it is typed, after a button or a change of a row's subject."""
    _may_write(request)
    group = draft.change(draft.read(request.POST), request.POST.get("rule-do", ""))
    segment_id = _id(request.POST.get("rule-segment", ""))
    choices = segment_form.Choices.of(request.user, _workspace(request), segment_id)
    shown = {**segment_form.context(group, choices), "inside_only": True}
    return render(request, segment_form.TEMPLATE, shown)


@require_POST
def preview(request: HttpRequest, model_admin: Any = None) -> HttpResponse:
    """What the filter means in words, whom it finds now, and some of them, masked."""
    _may_write(request)
    return render(request, "admin/subscribers/segment_preview.html", _previewed(request))


def _previewed(request: HttpRequest) -> dict[str, Any]:
    group, workspace_id = draft.read(request.POST), _workspace(request)
    if workspace_id is None:
        return {"trouble": "Choose the workspace to see who is in it."}
    if not draft.rows(group):
        return {"trouble": "Add a condition to see who is in it."}
    brand_id = _id(request.POST.get("brand", ""))
    brands = visible(Brand, request.user).filter(workspace=workspace_id)
    brand = brands.filter(pk=brand_id).first() if brand_id else None
    now = clock.now() + brand.clock_shift if brand else clock.now()
    try:
        node = tree.parse(draft.tree_of(group))
        told = words.describe(node, references.load([node], workspace_id))
        asked = (node, workspace_id)
        count = people.patiently(people.count, *asked, now=now, brand=brand)
        some = people.patiently(people.sample, *asked, now=now, brand=brand)
    except segments.Invalid as error:
        return {"trouble": f"Not complete yet. {error.sentence[:1].upper()}{error.sentence[1:]}"}
    except segments.TooSlow as error:
        return {"trouble": str(error)}
    among = f"opted in to {brand} and" if brand else "of the workspace:"
    return {
        "count": f"{count:,} {'person' if count == 1 else 'people'}",
        "among": among.removesuffix(":"),
        "words": told,
        "people": [mask(one.phone) for one in some],
    }


@admin.register(Segment)
class SegmentAdmin(TenantAdmin):
    form = SegmentForm
    list_display = ("name", "workspace", "brand", "updated_at")
    list_filter = (("workspace", VisibleFilter), ("brand", VisibleFilter))
    list_select_related = ("workspace", "brand")
    search_fields = ("name",)
    ordering = ("name",)
    autocomplete_fields = ("workspace", "brand")
    fields = ("workspace", "name", "brand", "tree")

    def get_custom_urls(self) -> tuple[Any, ...]:
        return (
            ("builder/", "subscribers_segment_builder", builder),
            ("preview/", "subscribers_segment_preview", preview),
        )

    def get_form(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, **kwargs)
        form.user = request.user
        return form

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("workspace",) if obj else ()

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Who belongs to one workspace need not choose it."""
        own = list(visible(Segment.workspace.field.related_model, request.user)[:2])  # type: ignore[attr-defined]
        given = super().get_changeform_initial_data(request)
        return {"workspace": own[0].pk, **given} if len(own) == 1 else given

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A segment that another one or a campaign uses is kept."""
        allowed = super().has_delete_permission(request, obj)
        return allowed and (obj is None or not references.used_by(obj))

    def get_actions(self, request: HttpRequest, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Segments are deleted one by one, as each is asked for whether others use it."""
        actions = super().get_actions(request, *args, **kwargs)
        actions.pop("delete_selected", None)
        return actions


class NumbersForm(forms.Form):
    """Numbers, pasted or in a file, and what to do with their owners."""

    what = forms.ChoiceField(
        label="What to do",
        choices=[("add", "Put them on the list"), ("remove", "Take them off the list")],
        widget=UnfoldAdminSelectWidget,
    )
    numbers = forms.CharField(
        required=False,
        max_length=LARGEST_FILE,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 5}),
        help_text=f"One a line, in any usual writing; up to {lists.MOST_LINES:,} lines.",
    )
    file = forms.FileField(required=False, help_text="Or a text file of the same, up to 1 MB.")

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        text = cleaned.get("numbers") or ""
        file = cleaned.get("file")
        if file and file.size > LARGEST_FILE:
            raise forms.ValidationError("The file is larger than 1 MB; split it.")
        if file:
            text = file.read().decode("utf-8-sig", errors="replace")
        cleaned["lines"] = [line for line in text.splitlines() if line.strip()]
        if not cleaned["lines"]:
            raise forms.ValidationError("Give at least one number, or a file.")
        return cleaned


def numbers_panel(request: HttpRequest, list_id: int, model_admin: Any = None) -> HttpResponse:
    """The form for numbers, and what became of each line, as a part of a list's page."""
    if not request.user.has_perm("subscribers.change_manuallist"):
        raise PermissionDenied
    manual_list = get_object_or_404(visible(ManualList, request.user), pk=list_id)
    form = NumbersForm(request.POST or None, request.FILES or None)
    values: dict[str, Any] = {"manual_list": manual_list, "form": form}
    if form.is_valid():
        act = lists.add if form.cleaned_data["what"] == "add" else lists.remove
        try:
            answers = act(manual_list, form.cleaned_data["lines"])
        except lists.TooMany as error:
            form.add_error(None, str(error))
        else:
            values |= _told(answers) | {"form": NumbersForm()}
    return render(request, "admin/subscribers/list_numbers.html", values)


def _told(answers: list[lists.Answer]) -> dict[str, Any]:
    """How many of each, and the lines; those that changed nothing first, as they want a look."""
    counted = Counter(one.result for one in answers)
    done = (lists.Result.ADDED, lists.Result.REMOVED)
    ordered = sorted(answers, key=lambda one: one.result in done)
    return {
        "told": [(result.partition(":")[0], f"{count:,}") for result, count in counted.items()],
        "answers": ordered[:MOST_SHOWN],
        "not_shown": max(0, len(answers) - MOST_SHOWN),
    }


class MembersInline(ReadOnly, TenantTabularInline):
    """Who is on the list; the panel above changes it."""

    model = ManualListMember
    fields = ("subscriber", "added_at")
    readonly_fields = ("added_at",)
    ordering = ("-added_at",)
    per_page = 20
    show_title = False


@admin.register(ManualList)
class ManualListAdmin(TenantAdmin):
    list_display = ("name", "workspace", "size", "created_at")
    list_filter = (("workspace", VisibleFilter),)
    list_select_related = ("workspace",)
    search_fields = ("name",)
    ordering = ("name",)
    autocomplete_fields = ("workspace",)
    inlines = (MembersInline,)
    change_form_outer_before_template = "admin/subscribers/list_numbers_slot.html"

    def get_custom_urls(self) -> tuple[Any, ...]:
        return (("numbers/<int:list_id>/", "subscribers_list_numbers", numbers_panel),)

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        return super().get_queryset(request).annotate(size=Count("members"))

    def get_inlines(self, request: HttpRequest, obj: Any) -> tuple[Any, ...]:
        return self.inlines if obj else ()

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("workspace",) if obj else ()

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A list that a segment or a campaign uses is kept."""
        allowed = super().has_delete_permission(request, obj)
        return allowed and (obj is None or not references.used_by(obj))

    def get_actions(self, request: HttpRequest, *args: Any, **kwargs: Any) -> dict[str, Any]:
        actions = super().get_actions(request, *args, **kwargs)
        actions.pop("delete_selected", None)
        return actions

    @admin.display(description="People")
    def size(self, manual_list: Any) -> int:
        return manual_list.size
