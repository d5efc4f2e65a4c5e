"""What the admin accepts as a message."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from unfold.widgets import UnfoldAdminTextareaWidget

from campaigns import content
from campaigns.models import Message


class MessageForm(forms.ModelForm):
    """A message that some person could get; its lines end as a text's do."""

    class Meta:
        model = Message
        fields = ("name", "weight", "language", "body", "replace_look_alikes")
        help_texts = {
            "replace_look_alikes": "Curly quotes, dashes and the like become plain ones, so that more"
            " fits in a segment.",
        }
        widgets = {"body": UnfoldAdminTextareaWidget(attrs={"rows": 4})}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if plain := self.fields.get("replace_look_alikes"):  # not there for who may only look
            plain.widget.choices = [
                ("unknown", "As the brand does"),
                ("true", "Yes"),
                ("false", "No"),
            ]

    def clean_body(self) -> str:
        body = self.cleaned_data["body"].replace("\r\n", "\n")
        try:
            content.check(body)
        except content.BadContent as error:
            raise ValidationError(str(error)) from None
        return body
