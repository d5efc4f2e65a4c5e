"""What integrators call their sends: a word of theirs, once for each brand."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now

from subscribers.models import Brand
from subscribers.tenancy import TenantManager

LONGEST = 64


class ClientReference(models.Model):
    """A `client_reference`, and the one request that sent something under it. Kept for ever.

    Written by `references.py`, in the transaction of what the request did.
    """

    class Use(models.TextChoices):
        LAUNCH = "launch", "the launch of campaign"
        TEST = "test", "a test of campaign"
        ANSWER = "answer", "the answer to reply"

    brand = models.ForeignKey(Brand, on_delete=models.PROTECT, db_index=False)
    reference = models.CharField(max_length=LONGEST)
    use = models.CharField(max_length=6, choices=Use)
    subject_id = models.BigIntegerField(help_text="The campaign's id; of an answer the reply's.")
    texts = ArrayField(
        models.UUIDField(), default=list, help_text="Ids in the sent log. Of a launch: none."
    )
    used_at = models.DateTimeField(db_default=Now())

    tenant_path = "brand__workspace"
    brand_path = "brand"
    objects = TenantManager()

    class Meta:
        constraints = [
            # In this order: who asks for a reference may ask of many brands.
            models.UniqueConstraint(fields=["reference", "brand"], name="client_reference_once")
        ]

    def __str__(self) -> str:
        return self.reference
