"""Provider credentials in a form: written, never shown.

The fields of every provider are declared; which of them count follows from the provider chosen.
What is left empty stays as it is stored.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminPasswordWidget

from subscribers.secrets import CredentialsUnreadable

REMOVE = "-"
PREFIX = "credential_"


class _CredentialsForm(forms.ModelForm):
    """Base of what `credentials_form` makes."""

    provider_field: str
    names: Mapping[str, tuple[str, ...]]
    optional: frozenset[str]
    also_written: tuple[str, ...] = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.stored = _stored(self.instance)
        for name, field in self.fields.items():
            if name.startswith(PREFIX):
                field.help_text = self._help(name.removeprefix(PREFIX))

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        names = self.names.get(self._provider(), ())
        given = {name: cleaned.get(PREFIX + name, "").strip() for name in names}
        self.also_written = ("credentials",) if any(given.values()) else ()
        merged = {name: given[name] or self.stored.get(name, "") for name in names}
        self.instance.credentials = {
            name: value for name, value in merged.items() if value and value != REMOVE
        }
        return cleaned

    def _post_clean(self) -> None:
        # Without a provider the model cannot say which credentials it needs.
        if self._provider():
            super()._post_clean()

    def _provider(self) -> str:
        if self.provider_field in self.fields:
            return self.cleaned_data.get(self.provider_field) or ""
        return getattr(self.instance, self.provider_field)

    def _help(self, name: str) -> str:
        optional = name in self.optional
        if self.instance.pk is None:
            return ("Optional. " if optional else "") + "Stored encrypted and never shown again."
        if not self.stored.get(name):
            return "Not set; optional." if optional else "Not set."
        return "Set. Leave it empty to keep it" + (f"; {REMOVE} removes it." if optional else ".")


def credentials_form(
    names: Mapping[str, tuple[str, ...]],
    *,
    provider_field: str,
    optional: Iterable[str] = (),
) -> type[forms.ModelForm]:
    """A model form with one write-only field for each credential that any provider takes.

    `names`: by provider; `optional`: those of them that a provider does without. `provider_field`:
    the model's field that names the provider. The model's `credentials` is set before the model is
    validated, so its `clean` says what is missing.
    """
    fields = {
        PREFIX + name: forms.CharField(
            label=name.replace("_", " ").capitalize().replace("Api", "API"),
            required=False,
            max_length=500,
            widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
        )
        for name in sorted({name for group in names.values() for name in group})
    }
    return type(
        "CredentialsForm",
        (_CredentialsForm,),
        {
            **fields,
            "names": names,
            "provider_field": provider_field,
            "optional": frozenset(optional),
        },
    )


def fields_of(names: Mapping[str, tuple[str, ...]], provider: str | None) -> tuple[str, ...]:
    """The form's credential fields of one provider, or of all of them where none is chosen yet."""
    groups = names.values() if provider is None else [names.get(provider, ())]
    return tuple(dict.fromkeys(PREFIX + name for group in groups for name in group))


def shown_when(names: Mapping[str, tuple[str, ...]], *, provider_field: str) -> dict[str, str]:
    """Unfold's conditional fields: each credential shows for the providers that take it.

    On the page of a stored row the provider is no field any more, and all that is there shows.
    """
    fixed = f"typeof {provider_field} === 'undefined'"
    return {
        PREFIX + name: " || ".join(
            [fixed, *(f"{provider_field} == '{one}'" for one in names if name in names[one])]
        )
        for name in {name for group in names.values() for name in group}
    }


def _stored(row: Any) -> Mapping[str, str]:
    """What is stored; nothing where no key opens it: it must be entered again."""
    if row.pk is None:
        return {}
    try:
        return row.credentials or {}
    except CredentialsUnreadable:
        return {}
