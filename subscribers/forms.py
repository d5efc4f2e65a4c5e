"""What the admin accepts about people and keys, checked before anything is written."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from subscribers import phones, upsert
from subscribers.key_models import Scope, every_scope
from subscribers.models import ApiKey, Subscriber, Suppression


def _e164(form: forms.ModelForm) -> str:
    try:
        return phones.parse(form.cleaned_data["phone"]).e164
    except phones.InvalidPhone as error:
        raise ValidationError(str(error)) from None


class SubscriberForm(forms.ModelForm):
    """A person: the number is normalised, the time zone must exist."""

    class Meta:
        model = Subscriber
        fields = ()

    def clean_phone(self) -> str:
        return _e164(self)

    def clean_timezone(self) -> str:
        named = self.cleaned_data["timezone"].strip()
        phone = self.cleaned_data.get("phone") or self.instance.phone
        if not named or not phone:
            return named
        try:
            upsert.derived(phones.parse(phone), {"timezone": named})
        except upsert.UnknownTimeZone as error:
            raise ValidationError(str(error)) from None
        return named


class SuppressionForm(forms.ModelForm):
    """A number that must not be texted. `phone_hash` follows from it."""

    class Meta:
        model = Suppression
        fields = ()

    def clean_phone(self) -> str:
        return _e164(self)


class ApiKeyForm(forms.ModelForm):
    """An API key covers brands of its own workspace."""

    scopes = forms.MultipleChoiceField(
        choices=Scope,
        initial=every_scope,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="What the key may do.",
    )

    class Meta:
        model = ApiKey
        fields = ()

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        workspace = cleaned.get("workspace") or getattr(self.instance, "workspace", None)
        foreign = [
            brand.name
            for brand in cleaned.get("brands") or ()
            if workspace and brand.workspace_id != workspace.pk
        ]
        if foreign:
            self.add_error("brands", f"Of another workspace: {', '.join(foreign)}.")
        return cleaned
