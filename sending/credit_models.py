"""Credits as rows: what a workspace has, what each run of it holds, and the ledger of every change."""

import pgtrigger
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from campaigns.models import Campaign, Run
from subscribers.models import Workspace
from subscribers.tenancy import TenantManager


class CreditAccount(models.Model):
    """A workspace's credits. One without an account is not metered: it sends what it likes.

    The three sums repeat the ledger's, so that nobody adds it up to plan a chunk; `credits.py`
    alone writes them, and `credits.audit` compares.
    """

    workspace = models.OneToOneField(
        Workspace, on_delete=models.PROTECT, related_name="credit_account"
    )
    enforced = models.BooleanField(
        default=False, help_text="On: nothing is planned without credits. Off: only counted."
    )
    opened_at = models.DateTimeField(
        db_default=Now(), editable=False, help_text="What was planned before is not counted."
    )
    granted = models.BigIntegerField(default=0, editable=False, help_text="Grants, corrected.")
    reserved = models.BigIntegerField(
        default=0, editable=False, help_text="For texts that may still go out."
    )
    spent = models.BigIntegerField(default=0, editable=False, help_text="On texts that went out.")

    tenant_path = "workspace"
    objects = TenantManager()

    def __str__(self) -> str:
        return f"Credits of {self.workspace}"

    @property
    def available(self) -> int:
        return self.granted - self.reserved - self.spent


class CreditHold(models.Model):
    """What the texts of one cause cost: of a run, of one request for test sends, or of one answer.

    They are one millisecond of ids, from `first_id` on; an answer is that id, without a campaign. The sums only grow; what is held at present
    is `reserved - debited - released`.
    """

    account = models.ForeignKey(CreditAccount, on_delete=models.PROTECT, related_name="holds")
    # No constraint: its check would lock the run, which a planner that waits for the account holds.
    run = models.ForeignKey(
        Run, on_delete=models.PROTECT, db_constraint=False, db_index=False, null=True
    )
    campaign = models.ForeignKey(
        Campaign, on_delete=models.PROTECT, db_constraint=False, db_index=False, null=True
    )
    first_id = models.UUIDField()
    reserved = models.BigIntegerField(default=0)
    debited = models.BigIntegerField(default=0)
    released = models.BigIntegerField(default=0)
    entries = models.PositiveIntegerField(default=0, help_text="Its entries in the ledger.")
    changed_at = models.DateTimeField(db_default=Now())
    due_at = models.DateTimeField(null=True, help_text="When its texts are looked at again.")

    tenant_path = "account__workspace"
    brand_path = "campaign__brand"
    objects = TenantManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["campaign", "run", "first_id"],
                name="credit_hold_once",
                nulls_distinct=False,
            )
        ]
        indexes = [
            models.Index(fields=["first_id"], name="credit_hold_of_text"),
            models.Index(
                fields=["due_at"], name="credit_hold_due", condition=Q(due_at__isnull=False)
            ),
        ]

    def __str__(self) -> str:
        if self.campaign_id is None:
            return f"answer {self.first_id}"
        return f"run {self.run_id}" if self.run_id else f"a test of campaign {self.campaign_id}"

    @property
    def held(self) -> int:
        return self.reserved - self.debited - self.released


class CreditEntry(models.Model):
    """One change of a workspace's credits. Only ever added to: the database refuses the rest."""

    class Kind(models.TextChoices):
        GRANT = "grant", "Granted"
        ADJUST = "adjust", "Corrected"
        RESERVE = "reserve", "Reserved"
        DEBIT = "debit", "Debited"
        RELEASE = "release", "Released"

    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT)
    kind = models.CharField(max_length=7, choices=Kind)
    amount = models.BigIntegerField(help_text="In credits. One credit is one segment of a text.")
    hold = models.ForeignKey(
        CreditHold, on_delete=models.PROTECT, null=True, related_name="ledger", editable=False
    )
    reference = models.CharField(
        max_length=60, unique=True, editable=False, help_text="The same change twice is refused."
    )
    note = models.CharField(max_length=200, blank=True, db_default="")
    actor = models.CharField(max_length=150, blank=True, db_default="", editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    tenant_path = "workspace"
    objects = TenantManager()

    class Meta:
        verbose_name_plural = "credit entries"
        constraints = [
            models.CheckConstraint(
                condition=Q(amount__gt=0) | Q(kind="adjust", amount__lt=0),
                name="only_a_correction_takes_away",
            ),
            models.CheckConstraint(
                condition=Q(kind__in=["grant", "adjust"], hold__isnull=True)
                | Q(kind__in=["reserve", "debit", "release"], hold__isnull=False),
                name="credit_entry_of_texts_names_them",
            ),
        ]
        indexes = [models.Index(F("workspace"), F("id").desc(), name="credit_entry_latest")]
        triggers = [
            pgtrigger.Protect(
                name="credit_append_only", operation=pgtrigger.Update | pgtrigger.Delete
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.amount}"
