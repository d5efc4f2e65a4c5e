"""What rates and routes are kept in: accounts at providers, shifts of traffic, codes nobody knows."""

import pgtrigger
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from sending.gateways import registry
from subscribers.models import Workspace
from subscribers.tenancy import TenantManager

GATEWAY_CHOICES = [(name, name.title()) for name in registry.GATEWAYS]


class ProviderAccount(models.Model):
    """A workspace's account at a provider: what its senders may send together.

    The defaults are those of the system that this one replaces: 10 a second, bursts of 50, a minute's
    rest. `used` and `used_on` repeat what Valkey counts, so that a lost Valkey loses no day's count.
    """

    workspace = models.ForeignKey(
        Workspace, on_delete=models.PROTECT, related_name="provider_accounts"
    )
    gateway = models.CharField(max_length=10, choices=GATEWAY_CHOICES)
    name = models.CharField(max_length=60, help_text="As people call it: Twilio main account.")
    rate = models.PositiveIntegerField(
        default=10,
        validators=[MinValueValidator(1)],
        help_text="Segments per second, of all its senders together.",
    )
    burst = models.PositiveIntegerField(
        default=50,
        validators=[MinValueValidator(1)],
        help_text="Segments at once after a rest. 1: evenly spaced, 1/rate seconds apart.",
    )
    per_minute = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="Segments in any 60 seconds, where the provider limits that too.",
    )
    daily_cap = models.PositiveIntegerField(
        null=True, blank=True, help_text="Segments per day (UTC). Empty: no limit."
    )
    cool_down = models.PositiveSmallIntegerField(
        default=60,
        help_text="Seconds of rest when the provider says too fast, but not for how long.",
    )
    used = models.PositiveIntegerField(default=0, db_default=0, editable=False)
    used_on = models.DateField(null=True, editable=False, help_text="The day (UTC) of `used`.")

    tenant_path = "workspace"
    objects = TenantManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["workspace", "gateway", "name"], name="provider_account_once"
            ),
            models.CheckConstraint(
                condition=Q(rate__gte=1, burst__gte=1), name="provider_account_may_send"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.get_gateway_display()})"


class SenderShift(models.Model):
    """Traffic that moved away from a sender or back to it, and why. Only ever added to."""

    sender = models.ForeignKey("sending.Sender", on_delete=models.PROTECT, related_name="shifts")
    at = models.DateTimeField(db_default=Now(), editable=False)
    from_share = models.PositiveSmallIntegerField(help_text="Percent of its weight, before.")
    to_share = models.PositiveSmallIntegerField(help_text="Percent of its weight, since then.")
    reason = models.CharField(max_length=200)

    tenant_path = "sender__brand__workspace"
    brand_path = "sender__brand"
    objects = TenantManager()

    class Meta:
        indexes = [models.Index(F("sender"), F("id").desc(), name="sender_shift_latest")]
        triggers = [
            pgtrigger.Protect(
                name="shift_append_only", operation=pgtrigger.Update | pgtrigger.Delete
            )
        ]

    def __str__(self) -> str:
        return f"{self.from_share} % to {self.to_share} %"


class UnknownCode(models.Model):
    """A provider's code that no table explains, as it came, and how often. Of the installation."""

    class Source(models.TextChoices):
        ANSWER = "answer", "Answer to a send"
        RECEIPT = "receipt", "Receipt"

    gateway = models.CharField(max_length=10, choices=GATEWAY_CHOICES)
    source = models.CharField(max_length=7, choices=Source)
    code = models.CharField(max_length=64)
    count = models.PositiveBigIntegerField(default=0, help_text="Texts that it came for.")
    example = models.CharField(
        max_length=200, blank=True, help_text="The provider's words, the last time it gave any."
    )
    first_seen = models.DateTimeField(db_default=Now())
    last_seen = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["gateway", "source", "code"], name="unknown_code_once")
        ]

    def __str__(self) -> str:
        return f"{self.code} of {self.get_gateway_display()}"
