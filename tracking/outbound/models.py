"""Where events are told, what is to be told, and each attempt to tell it."""

import uuid

import pgtrigger
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from subscribers.models import Brand, Subscriber, Workspace
from subscribers.secrets import EncryptedJSONField
from subscribers.tenancy import TenantManager
from tracking.outbound import addresses

LONGEST_ANSWER = 500


class EventType(models.TextChoices):
    """What an endpoint may ask to be told."""

    TEXT_DELIVERED = "text.delivered", "A text was delivered"
    TEXT_UNDELIVERED = "text.undelivered", "A text was not delivered"
    TEXT_FAILED = "text.failed", "A text was refused and not sent"
    OPTED_OUT = "subscriber.opted_out", "A person opted out"
    OPTED_IN = "subscriber.opted_in", "A person opted in"
    REPLY = "reply.received", "A person replied"
    CLICK = "click.created", "A person followed a link"
    PURCHASE = "purchase.recorded", "A person bought something"
    REFUND = "refund.recorded", "A purchase was refunded"
    CAMPAIGN_COMPLETED = "campaign.completed", "A campaign ended"


class WebhookEndpoint(models.Model):
    """An integrator's address, and what it is told: of one brand, or (brand empty) of them all.

    Its secrets are written by `endpoints.py`, its circuit by `deliveries.py`. While `paused_until`
    is ahead nothing is sent to it; once it is past one delivery tries whether it answers again.
    """

    workspace = models.ForeignKey(
        Workspace, on_delete=models.CASCADE, related_name="webhook_endpoints"
    )
    brand = models.ForeignKey(
        Brand,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        help_text="Only events of this brand. Empty: of every brand of the workspace.",
    )
    url = models.CharField(
        max_length=addresses.LONGEST_URL, help_text="Where events are posted to, https only."
    )
    description = models.CharField(max_length=200, blank=True, help_text="Whose it is.")
    event_types = ArrayField(models.CharField(max_length=24, choices=EventType))
    enabled = models.BooleanField(
        default=True, help_text="While it is off nothing that happens is kept for it."
    )
    status_reason = models.CharField(max_length=200, blank=True, editable=False)
    secrets = EncryptedJSONField(editable=False)
    failures = models.PositiveIntegerField(default=0, editable=False)
    paused_until = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    tenant_path = "workspace"
    brand_path = "brand"
    objects = TenantManager()

    class Meta:
        verbose_name = "webhook endpoint"

    def __str__(self) -> str:
        return self.url[:80]

    def clean(self) -> None:
        if self.brand and self.brand.workspace_id != self.workspace_id:
            raise ValidationError({"brand": "This brand belongs to another workspace."})
        try:
            addresses.check_url(self.url)
        except addresses.Refused as error:
            raise ValidationError({"url": str(error)}) from None


class OutboundEvent(models.Model):
    """Something that happened and that an endpoint asked for, once: written with what happened.

    Triggers write it (migrations 0009, 0010, 0013), in the transaction of its source, for brands with an endpoint
    that asks for its type. `facts` are about the event alone: who it was about and what they wrote
    is read from its source each time that it is told (`payloads.py`), so that an erasure needs to
    look nowhere else. `uid` is the webhook-id.
    """

    uid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    workspace = models.ForeignKey(
        Workspace, on_delete=models.CASCADE, db_index=False, db_constraint=False
    )
    brand = models.ForeignKey(
        Brand, on_delete=models.PROTECT, null=True, db_index=False, db_constraint=False
    )
    type = models.CharField(max_length=24, choices=EventType)
    subscriber = models.ForeignKey(
        Subscriber, on_delete=models.PROTECT, null=True, db_constraint=False
    )
    text_id = models.UUIDField(null=True, help_text="The text's id in the sent log.")
    source = models.CharField(max_length=40, help_text="The id of the row that tells it.")
    facts = models.JSONField(default=dict)
    occurred_at = models.DateTimeField(db_default=Now())
    recorded_at = models.DateTimeField(db_default=Now(), db_index=True)
    spread = models.BooleanField(
        default=False, db_default=False, help_text="Its deliveries are made."
    )
    erased = models.BooleanField(
        default=False, db_default=False, help_text="Of an erased person: answers are not kept."
    )

    tenant_path = "workspace"
    brand_path = "brand"
    objects = TenantManager()

    class Meta:
        indexes = [
            models.Index(fields=["id"], name="outbound_to_spread", condition=Q(spread=False)),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.uid}"


class WebhookDelivery(models.Model):
    """One event on its way to one endpoint. `deliveries.py` alone writes it.

    Taking it is moving `due_at` to the end of the lease, under a token: when its process dies it is
    due again by itself, with the same webhook-id.
    """

    class State(models.TextChoices):
        WAITING = "waiting", "Waiting"
        DELIVERED = "delivered", "Delivered"
        GIVEN_UP = "given_up", "Given up"

    event = models.ForeignKey(OutboundEvent, on_delete=models.CASCADE, related_name="deliveries")
    endpoint = models.ForeignKey(
        WebhookEndpoint, on_delete=models.CASCADE, related_name="deliveries", db_index=False
    )
    state = models.CharField(max_length=10, choices=State, default=State.WAITING)
    attempts = models.PositiveSmallIntegerField(default=0, db_default=0)
    due_at = models.DateTimeField(db_default=Now())
    give_up_at = models.DateTimeField(help_text="Not tried again after this.")
    lease_token = models.UUIDField(null=True)
    created_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True)

    tenant_path = "endpoint__workspace"
    brand_path = "endpoint__brand"
    objects = TenantManager()

    class Meta:
        verbose_name = "webhook delivery"
        verbose_name_plural = "webhook deliveries"
        constraints = [
            models.UniqueConstraint(fields=["event", "endpoint"], name="webhook_delivery_once")
        ]
        indexes = [
            models.Index(fields=["endpoint", "-id"], name="webhook_delivery_of"),
            models.Index(
                fields=["endpoint", "due_at"],
                name="webhook_delivery_due",
                condition=Q(state="waiting"),
            ),
            models.Index(
                fields=["give_up_at"], name="webhook_delivery_late", condition=Q(state="waiting")
            ),
        ]

    def __str__(self) -> str:
        return f"Delivery {self.pk}: {self.get_state_display()}"


class WebhookAttempt(models.Model):
    """One request to an endpoint and what came of it. Only ever added to.

    An erasure alone may blank an answer: it may repeat what we told of the person.
    """

    delivery = models.ForeignKey(
        WebhookDelivery, on_delete=models.CASCADE, related_name="attempt_log"
    )
    at = models.DateTimeField(db_default=Now())
    status = models.PositiveSmallIntegerField(null=True, help_text="Empty: no answer came.")
    milliseconds = models.PositiveIntegerField()
    error = models.CharField(max_length=200, blank=True, help_text="Why it did not succeed.")
    answer = models.CharField(max_length=LONGEST_ANSWER, blank=True)

    tenant_path = "delivery__endpoint__workspace"
    brand_path = "delivery__endpoint__brand"
    objects = TenantManager()

    class Meta:
        verbose_name = "attempt"
        triggers = [
            pgtrigger.Protect(
                name="only_its_answer_is_blanked",
                operation=pgtrigger.Update,
                condition=pgtrigger.Condition(
                    """NOT (NEW.answer = ''
                    AND (NEW.id, NEW.delivery_id, NEW.at, NEW.status, NEW.milliseconds, NEW.error)
                    IS NOT DISTINCT FROM
                        (OLD.id, OLD.delivery_id, OLD.at, OLD.status, OLD.milliseconds, OLD.error))"""
                ),
            )
        ]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} UTC: {self.status or self.error}"
