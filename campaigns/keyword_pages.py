"""A campaign's keywords, on its page."""

from django import forms

from campaigns.keyword_models import Keyword
from subscribers import keywords
from subscribers.tenant_admin import TenantTabularInline


class KeywordForms(forms.BaseInlineFormSet):
    """No word twice in one form."""

    def clean(self) -> None:
        super().clean()
        kept = [
            form.cleaned_data.get("word", "")
            for form in self.forms
            if getattr(form, "cleaned_data", None) and not form.cleaned_data.get("DELETE")
        ]
        words = [keywords.normalise(word) for word in kept if word]
        if len(words) != len(set(words)):
            raise forms.ValidationError("The same keyword is there twice: leave one of them out.")


class KeywordsInline(TenantTabularInline):
    """What people text to say that they mean this campaign."""

    model = Keyword
    formset = KeywordForms
    fields = ("word",)
