"""A campaign's texts by state and reason, counted where they change."""

from django.db import models
from django.db.models import Q

from campaigns.models import Campaign
from subscribers.tenancy import TenantManager


class CampaignCount(models.Model):
    """A part of a campaign's totals: its texts in a state are the sum over its rows.

    Every statement that changes the log adds its difference, in its own transaction, by triggers on
    the log (migration 0007): no row is ever updated, so nothing waits for anything. `counts.squash`
    makes one row of many. Texts without a run (answers, tests) are not counted; texts that leave
    the log for the archive stay counted.
    """

    campaign = models.ForeignKey(
        Campaign, on_delete=models.CASCADE, db_constraint=False, db_index=False, related_name="+"
    )
    state = models.CharField(max_length=11)
    reason = models.CharField(max_length=20, blank=True)
    texts = models.IntegerField(help_text="Negative where texts left this state.")
    squashed = models.BooleanField(default=False, db_default=False)

    tenant_path = "campaign__brand__workspace"
    brand_path = "campaign__brand"
    objects = TenantManager()

    class Meta:
        indexes = [
            models.Index(fields=["campaign"], name="counts_of_campaign"),
            models.Index(fields=["campaign"], name="counts_to_squash", condition=Q(squashed=False)),
        ]

    def __str__(self) -> str:
        return f"{self.texts:+} {self.state}"
