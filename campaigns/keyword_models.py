"""Keywords of campaigns: what people text to say which campaign they mean."""

from django.core.exceptions import ValidationError
from django.db import models

from subscribers import keywords
from subscribers.keywords import Meaning
from subscribers.models import Brand
from subscribers.tenancy import TenantManager


def valid_word(word: str) -> None:
    """A keyword must hold letters or digits, and must not be STOP, HELP, START and their like."""
    if not keywords.normalise(word):
        raise ValidationError("A keyword needs letters or digits.")
    if keywords.meaning(word) is not Meaning.OTHER:
        raise ValidationError(f"{word} already has a meaning for every brand: choose another word.")


class Keyword(models.Model):
    """A word that belongs to one campaign of a brand. Kept as `keywords.normalise` writes it."""

    brand = models.ForeignKey(
        Brand, on_delete=models.CASCADE, related_name="keywords", editable=False
    )
    campaign = models.ForeignKey(
        "campaigns.Campaign", on_delete=models.CASCADE, related_name="keywords"
    )
    word = models.CharField(
        max_length=40,
        validators=[valid_word],
        help_text="A reply that is this, or begins with it, belongs to this campaign.",
    )

    tenant_path = "brand__workspace"
    brand_path = "brand"
    objects = TenantManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["brand", "word"], name="keyword_once_in_a_brand")
        ]

    def __str__(self) -> str:
        return self.word

    def clean(self) -> None:
        self.word = keywords.normalise(self.word)
        self.brand_id = self.campaign.brand_id
        same = Keyword.objects.filter(brand_id=self.brand_id, word=self.word).exclude(pk=self.pk)
        if same.exists():
            raise ValidationError(
                {
                    "word": "Another campaign of the brand has this keyword: take it away there first."
                }
            )
