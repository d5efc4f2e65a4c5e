"""What providers told, as it came, until it is applied."""

from django.db import models
from django.db.models.functions import Now

from sending.models import Sender
from subscribers.tenancy import TenantManager


class InboundEvent(models.Model):
    """One verified request of a provider, stored before it is answered. Written by `inbox.py`.

    The body goes when it is applied: it holds phone numbers, and what the receipts say is then in
    their tracking events. The key stays for some days, so that a request told again costs nothing.
    """

    key = models.BinaryField(primary_key=True, help_text="SHA-256 of sender, query and body.")
    sender = models.ForeignKey(
        Sender, on_delete=models.CASCADE, db_constraint=False, db_index=False, related_name="+"
    )
    query = models.TextField(blank=True)
    body = models.BinaryField()
    received_at = models.DateTimeField(db_default=Now())
    applied_at = models.DateTimeField(null=True)
    problem = models.CharField(
        max_length=100, blank=True, db_default="", help_text="Why it could not be applied."
    )

    tenant_path = "sender__brand__workspace"
    brand_path = "sender__brand"
    objects = TenantManager()

    class Meta:
        # Finds what is to be applied (NULL) and what is to be forgotten.
        indexes = [models.Index(fields=["applied_at"], name="inbound_event_applied")]

    def __str__(self) -> str:
        return f"{len(self.body)} bytes at {self.received_at:%Y-%m-%d %H:%M:%S}"
