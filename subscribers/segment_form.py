"""The rule builder: a form field for a filter, drawn as rows and groups that anybody can read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.forms.renderers import TemplatesSetting
from django.utils.safestring import SafeString
from unfold.widgets import INPUT_CLASSES, SELECT_CLASSES, TEXTAREA_CLASSES

from subscribers import clock, segments
from subscribers.models import Brand, Workspace
from subscribers.segment_models import ManualList, Segment
from subscribers.segments import draft, tree
from subscribers.segments.fields import FIELDS, Kind, Operand
from subscribers.tenant_admin import MOST_CHOICES, AnyUser, visible

TEMPLATE = "admin/subscribers/segment_builder.html"
_INPUTS = {
    Operand.NONE: "",
    Operand.BOOLEAN: "",
    Operand.WORDS: "lines",
    Operand.RANGE: "range",
    Operand.NUMBER: "number",
    Operand.DAYS: "number",
}
_ABOUT = {
    "subscription": "Subscription to a brand",
    "list": "Manual list",
    "segment": "Segment",
    "trait": "Trait",
}


@dataclass(frozen=True, slots=True)
class Choices:
    """What a filter of this user, in this workspace where it is known, may refer to."""

    brands: list[tuple[str, str]] = field(default_factory=list)
    lists: list[tuple[str, str]] = field(default_factory=list)
    segments: list[tuple[str, str]] = field(default_factory=list)
    segment_id: int | None = None

    @classmethod
    def of(cls, user: AnyUser, workspace_id: int | None, segment_id: int | None) -> Choices:
        def rows(model: Any) -> Any:
            found = visible(model, user).order_by("name")
            return found.filter(workspace=workspace_id) if workspace_id else found

        brands = rows(Brand).values_list("slug", "name")[:MOST_CHOICES]
        lists = rows(ManualList).values_list("pk", "name")[:MOST_CHOICES]
        others = rows(Segment).exclude(pk=segment_id).values_list("pk", "name")[:MOST_CHOICES]
        return cls(
            list(dict(brands).items()),
            [(str(pk), name) for pk, name in lists],
            [(str(pk), name) for pk, name in others],
            segment_id,
        )


class TreeWidget(forms.Widget):
    """The builder. `choices` is given by the form."""

    choices = Choices()
    template_name = TEMPLATE

    def get_context(self, name: str, value: Any, attrs: Any) -> dict[str, Any]:
        if isinstance(value, draft.Group):
            mark_errors(value)  # it was typed and comes back
        group = value if isinstance(value, draft.Group) else _group_of(value)
        return {**super().get_context(name, value, attrs), **context(group, self.choices)}

    def _render(self, template_name: str, context: Any, renderer: Any = None) -> SafeString:
        return super()._render(template_name, context, TemplatesSetting())  # type: ignore[misc]

    def value_from_datadict(self, data: Any, files: Any, name: str) -> Any:
        return draft.read(data) if f"{draft.ROOT}-join" in data else None

    def use_required_attribute(self, initial: Any) -> bool:
        return False


class TreeField(forms.Field):
    """A filter, cleaned to its JSON. Each wrong row keeps its own sentence."""

    widget = TreeWidget

    def to_python(self, value: Any) -> Any:
        if not isinstance(value, draft.Group) or not draft.rows(value):
            raise ValidationError("Add at least one condition.")
        if mark_errors(value):
            raise ValidationError("Some conditions are not complete: see there.")
        found = draft.tree_of(value)
        try:
            tree.parse(found)
        except segments.Invalid as error:
            raise ValidationError(str(error)) from None
        return found


class SegmentForm(forms.ModelForm):
    """A segment whose filter is valid in its workspace."""

    user: AnyUser  # of the request: the admin sets it
    tree = TreeField(label="Who is in it")
    also_written = ("tree", "updated_at")

    class Meta:
        model = Segment
        fields = ("workspace", "brand", "name", "tree")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "tree" in self.fields:
            workspace = self.data.get("workspace") or self.instance.workspace_id
            self.fields["tree"].widget.choices = Choices.of(  # type: ignore[attr-defined]
                self.user, int(workspace) if str(workspace).isdecimal() else None, self.instance.pk
            )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        workspace = cleaned.get("workspace") or getattr(self.instance, "workspace", None)
        if isinstance(workspace, Workspace) and "tree" in cleaned:
            try:
                segments.validate(cleaned["tree"], workspace, segment_id=self.instance.pk)
            except segments.Invalid as error:
                self.add_error("tree", str(error))
        self.instance.updated_at = clock.now()
        return cleaned


def mark_errors(group: draft.Group) -> bool:
    """Give each row that is no condition its sentence; whether there was any."""
    wrong = False
    for part in group.parts:
        if isinstance(part, draft.Group):
            wrong |= mark_errors(part)
            continue
        try:
            tree.parse(draft.tree_of(part))
        except segments.Invalid as error:
            part.error = _sentence(error)
            wrong = True
    return wrong


def context(group: draft.Group, choices: Choices) -> dict[str, Any]:
    """What the builder's template draws."""
    return {
        "group": _shown_group(group, draft.ROOT, choices),
        "segment_id": choices.segment_id or "",
        "input_classes": _classes(INPUT_CLASSES),
        "select_classes": _classes(SELECT_CLASSES),
        "textarea_classes": _classes(TEXTAREA_CLASSES),
        "joins": draft.JOINS,
        "subjects": _SUBJECTS,
    }


def _classes(names: list[str]) -> str:
    """Inputs of a row share its width."""
    return " ".join(name for name in names if name not in ("w-full", "max-w-2xl", "max-w-4xl"))


def _sentence(error: segments.Invalid) -> str:
    return error.sentence[:1].upper() + error.sentence[1:]


def _group_of(value: Any) -> draft.Group:
    try:
        tree.parse(value)
    except segments.Invalid:
        return draft.Group("all", [draft.Row()])
    return draft.of_tree(value)


def _label(name: str) -> str:
    return name[:1].upper() + name[1:]


_SUBJECTS = [
    ("Lists and consent", [(name, _ABOUT[name]) for name in ("subscription", "list", "segment")]),
    (
        "What they did",
        [
            (name, _label(one.label))
            for name, one in FIELDS.items()
            if one.kind in (Kind.BOOLEAN, Kind.NUMBER, Kind.DATE)
        ],
    ),
    (
        "Who they are",
        [
            (name, _label(one.label))
            for name, one in FIELDS.items()
            if one.kind in (Kind.TEXT, Kind.PLACES) and not name.startswith(("acq_", "form_"))
        ],
    ),
    (
        "Where they came from",
        [
            *(
                (name, _label(one.label))
                for name, one in FIELDS.items()
                if name.startswith(("acq_", "form_"))
            ),
            ("trait", "Trait"),
        ],
    ),
]


def _shown_group(group: draft.Group, at: str, choices: Choices) -> dict[str, Any]:
    parts = [
        _shown_group(part, f"{at}-{place}", choices)
        if isinstance(part, draft.Group)
        else _shown_row(part, f"{at}-{place}", choices)
        for place, part in enumerate(group.parts)
    ]
    root = at == draft.ROOT
    return {"at": at, "join": group.join, "parts": parts, "is_group": True, "is_root": root}


def _shown_row(row: draft.Row, at: str, choices: Choices) -> dict[str, Any]:
    """A row's selects, those before and those behind a trait's name, and the input of its value."""

    def select(part: str, options: Any, label: str, *, redraws: bool = False) -> dict[str, Any]:
        chosen = getattr(row, part)
        named = {"name": f"{at}-{part}", "options": list(options), "chosen": chosen}
        return {**named, "label": label, "redraws": redraws}

    operand = _operand(row)
    shown: dict[str, Any] = {"at": at, "row": row, "input": _INPUTS.get(operand, "text")}
    shown["unit"] = "days" if operand is Operand.DAYS else ""
    ops = [(name, _blank(one.words)) for name, one in draft.comparisons(row).items()]
    compare = [select("op", ops, "How it is compared", redraws=True)] if ops else []
    if row.what in ("list", "segment"):
        on, which = ("on", choices.lists) if row.what == "list" else ("in", choices.segments)
        ways = [("is", f"is {on}"), ("not", f"is not {on}")]
        shown["selects"] = [
            select("op", ways, "Is or is not"), select("key", which, "Which one"),
        ]  # fmt: skip
    elif row.what == "subscription":
        since = [("", "at any time"), *((name, words.removeprefix("was ")) for name, words in ops)]
        shown["selects"] = [
            select("key", choices.brands, "Which brand"),
            select("kind", draft.STATUSES.items(), "How it stands", redraws=True),
        ]
        shown["more_selects"] = [select("op", since, "Since when", redraws=True)] if ops else []
    elif row.what == "trait":
        shown["more_selects"] = [select("kind", _TRAIT_KINDS, "Read as", redraws=True), *compare]
    elif operand is not Operand.BOOLEAN:
        shown["selects"] = compare
    if operand is Operand.BOOLEAN:
        field_ = FIELDS.get(row.what)
        yes, no = (field_.yes, field_.no) if field_ else ("true", "false")
        values = [("true", yes), ("false", no)]
        shown["more_selects"] = [*shown.get("more_selects", []), select("value", values, "Value")]
    return shown


def _blank(words: str) -> str:
    """A comparison's words without its value: 'is at least', 'was more than … ago'."""
    return words.removesuffix(" {}").replace("{}", "…")


def _operand(row: draft.Row) -> Operand:
    known = draft.comparisons(row)
    if row.op in known:
        return known[row.op].operand
    if row.what == "subscription" or not known:
        return Operand.NONE
    return next(iter(known.values())).operand


_TRAIT_KINDS = [("text", "as text"), ("number", "as a number"), ("boolean", "as yes or no")]
