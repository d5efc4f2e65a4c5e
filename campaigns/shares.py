"""How a campaign divides its audience. What follows from it: `variants.py`, `winners.py`."""

import datetime as dt

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models


class WinnerBy(models.TextChoices):
    """What tells the best message."""

    CLICKS = "clicks", "Clicks"
    REPLIES = "replies", "Replies"
    REVENUE = "revenue", "Revenue"


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

    winner_by = models.CharField(
        "winner by",
        max_length=8,
        choices=WinnerBy,
        blank=True,
        default="",
        db_default="",
        help_text="What the best message is told by. Empty: somebody chooses.",
    )
    winner_sample = models.PositiveIntegerField(
        "texts first",
        default=200,
        db_default=200,
        validators=[MinValueValidator(1)],
        help_text="No message wins by itself before each one was sent so many times.",
    )
    winner_after = models.DurationField(
        "time first",
        default=dt.timedelta(hours=4),
        db_default=dt.timedelta(hours=4),
        validators=[MinValueValidator(dt.timedelta(minutes=1))],
        help_text="Nor earlier than so long after the test was planned.",
    )
    winner_deadline = models.DurationField(
        "best so far after",
        null=True,
        blank=True,
        validators=[MinValueValidator(dt.timedelta(minutes=1))],
        help_text="So long after the test was planned the best message so far wins, even if it may"
        " be chance. Empty: without a clear winner the rest waits for you.",
    )

    class Meta:
        abstract = True

    def clean(self) -> None:
        super().clean()
        if self.test_share is not None and self.kind != "broadcast":  # type: ignore[attr-defined]
            raise ValidationError({"test_share": "Only a broadcast has a test share."})
        if self.winner_by and self.test_share is None:
            raise ValidationError({"winner_by": "Without a test share nobody waits for a winner."})
        if self.winner_deadline is not None and self.winner_deadline < self.winner_after:
            sentence = "The best so far cannot be taken before the time that is waited first."
            raise ValidationError({"winner_deadline": sentence})
