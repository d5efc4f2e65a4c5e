"""Provider credentials in a form: written, never shown.

The fields of every provider are declared; which of them count follows from the provider chosen.
What is left empty stays as it is stored.
"""

from collections.abc import Mapping
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
        if self.instance.pk is None:
            return "Stored encrypted and never shown again."
        if self.stored.get(name):
            return f"Set. Leave empty to keep it; {REMOVE} removes it."
        return "Not set."


def credentials_form(
    names: Mapping[str, tuple[str, ...]], *, provider_field: str
) -> type[forms.ModelForm]:
    """A model form with one write-only field for each credential that any provider takes.

    `names`: by provider. `provider_field`: the model's field that names the provider. The model's
    `credentials` is set before the model is validated.
    """
    fields = {
        PREFIX + name: forms.CharField(
            label=name.replace("_", " ").capitalize(),
            required=False,
            max_length=500,
            widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
        )
        for name in sorted({name for group in names.values() for name in group})
    }
    return type(
        "CredentialsForm",
        (_CredentialsForm,),
        {**fields, "names": names, "provider_field": provider_field},
    )


def fields_of(names: Mapping[str, tuple[str, ...]], provider: str | None) -> tuple[str, ...]:
    """The form's credential fields of one provider, or of all of them where none is chosen yet."""
    groups = names.values() if provider is None else [names.get(provider, ())]
    return tuple(dict.fromkeys(PREFIX + name for group in groups for name in group))


def shown_when(names: Mapping[str, tuple[str, ...]], *, provider_field: str) -> dict[str, str]:
    """Unfold's conditional fields: each credential shows for the providers that take it."""
    return {
        PREFIX + name: " || ".join(
            f"{provider_field} == '{provider}'"
            for provider, group in names.items()
            if name in group
        )
        for name in {name for group in names.values() for name in group}
    }


def summary(row: Any, names: Mapping[str, tuple[str, ...]]) -> str:
    """Which credentials a row has: 'user set, api_id not set'."""
    wanted = names.get(getattr(row, "gateway", None) or getattr(row, "provider", ""), ())
    stored = _stored(row)
    return ", ".join(f"{name} {'set' if stored.get(name) else 'not set'}" for name in wanted)


def _stored(row: Any) -> Mapping[str, str]:
    """What is stored; nothing where no key opens it: it must be entered again."""
    if row.pk is None:
        return {}
    try:
        return row.credentials or {}
    except CredentialsUnreadable:
        return {}
