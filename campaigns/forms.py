"""What the admin accepts as a message."""

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
        widgets = {"body": UnfoldAdminTextareaWidget(attrs={"rows": 4})}

    def clean_body(self) -> str:
        body = self.cleaned_data["body"].replace("\r\n", "\n")
        try:
            content.check(body)
        except content.BadContent as error:
            raise ValidationError(str(error)) from None
        return body
