"""What reports and people's totals take from months that are archived. Written by `archive.py`."""

from django.db import models

from campaigns.models import Campaign, Message
from subscribers.models import Subscriber
from subscribers.tenancy import TenantManager


class KeptFigures(models.Model):
    """A campaign's figures from an archived month: of the whole, and of each message.

    `clicks` are different people within the month. The whole has no replies: those are kept.
    """

    month = models.DateField()
    campaign = models.ForeignKey(
        Campaign, on_delete=models.CASCADE, db_constraint=False, db_index=False, related_name="+"
    )
    message = models.ForeignKey(
        Message,
        on_delete=models.CASCADE,
        null=True,
        db_constraint=False,
        db_index=False,
        related_name="+",
        help_text="Empty: the whole campaign.",
    )
    sent = models.BigIntegerField()
    delivered = models.BigIntegerField()
    clicks = models.BigIntegerField()
    machine_clicks = models.BigIntegerField()
    replies = models.BigIntegerField()
    opt_outs = models.BigIntegerField()

    tenant_path = "campaign__brand__workspace"
    brand_path = "campaign__brand"
    objects = TenantManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["campaign", "message", "month"],
                name="kept_figures_once",
                nulls_distinct=False,
            )
        ]

    def __str__(self) -> str:
        return f"{self.campaign_id} in {self.month:%Y-%m}"


class KeptDay(models.Model):
    """What happened on a day (UTC) with a campaign's archived texts."""

    campaign = models.ForeignKey(
        Campaign, on_delete=models.CASCADE, db_constraint=False, db_index=False, related_name="+"
    )
    day = models.DateField()
    sent = models.BigIntegerField()
    delivered = models.BigIntegerField()
    clicks = models.BigIntegerField()

    tenant_path = "campaign__brand__workspace"
    brand_path = "campaign__brand"
    objects = TenantManager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["campaign", "day"], name="kept_day_once")]

    def __str__(self) -> str:
        return f"{self.campaign_id} on {self.day}"


class KeptClicks(models.Model):
    """A person's clicks on archived texts: `activity.py` adds them to those that are rows."""

    subscriber = models.OneToOneField(
        Subscriber,
        on_delete=models.CASCADE,
        primary_key=True,
        db_constraint=False,
        related_name="+",
    )
    clicks = models.PositiveIntegerField()
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()

    tenant_path = "subscriber__workspace"
    objects = TenantManager()

    def __str__(self) -> str:
        return f"{self.subscriber_id}"
