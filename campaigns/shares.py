"""How a campaign divides its audience. What follows from it: `variants.py`."""

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models


class Shares(models.Model):
    """How a campaign divides its audience: fields of Campaign."""

    holdout = models.PositiveSmallIntegerField(
        "held out",
        default=0,
        db_default=0,
        validators=[MaxValueValidator(50)],
        help_text="Percent of the audience that get nothing, so that the effect can be measured.",
    )
    test_share = models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(99)],
        help_text="Percent of the others that get one of the messages at once; the rest wait until"
        " the best one is chosen. Empty: nobody waits. Only for a broadcast.",
    )

    class Meta:
        abstract = True

    def clean(self) -> None:
        super().clean()
        if self.test_share is not None and self.kind != "broadcast":  # type: ignore[attr-defined]
            raise ValidationError({"test_share": "Only a broadcast has a test share."})
