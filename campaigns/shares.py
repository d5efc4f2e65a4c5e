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


SHORTEST_WAIT, LONGEST_WAIT = dt.timedelta(minutes=1), dt.timedelta(days=30)
USUAL_WAIT = dt.timedelta(hours=4)


def shares_error(
    *,
    winner_by: str | None,
    winner_after: dt.timedelta | None,
    winner_deadline: dt.timedelta | None,
    test_share: int | None,
) -> str:
    """What is wrong with how the winner is to be told; '' where nothing is."""
    if winner_by and test_share is None:
        return "Without a test share nobody waits for a winner."
    if max(winner_after or SHORTEST_WAIT, winner_deadline or SHORTEST_WAIT) > LONGEST_WAIT:
        return f"Nobody waits longer than {LONGEST_WAIT.days} days for a winner."
    if winner_deadline is not None and winner_deadline < (winner_after or USUAL_WAIT):
        return "The best so far cannot be taken before the time that is waited first."
    return ""


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
        "texts before a winner",
        default=200,
        db_default=200,
        validators=[MinValueValidator(1)],
        help_text="No message wins by itself before each one was sent so many times.",
    )
    winner_after = models.DurationField(
        "time before a winner",
        default=USUAL_WAIT,
        db_default=USUAL_WAIT,
        validators=[MinValueValidator(SHORTEST_WAIT)],
        help_text="Nor earlier than so long after the test was planned.",
    )
    winner_deadline = models.DurationField(
        "best so far wins after",
        null=True,
        blank=True,
        validators=[MinValueValidator(SHORTEST_WAIT)],
        help_text="So long after the test was planned the best message so far wins, even if it may"
        " be chance. Empty: without a clear winner the rest waits for you.",
    )

    class Meta:
        abstract = True

    def clean(self) -> None:
        super().clean()
        if self.test_share is not None and self.kind != "broadcast":  # type: ignore[attr-defined]
            raise ValidationError({"test_share": "Only a broadcast has a test share."})
        wrong = shares_error(
            winner_by=self.winner_by,
            winner_after=self.winner_after,
            winner_deadline=self.winner_deadline,
            test_share=self.test_share,
        )
        if wrong:
            raise ValidationError({"winner_by": wrong})
