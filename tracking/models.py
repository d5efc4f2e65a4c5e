"""What happened to a text afterwards: receipts, replies and clicks."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from campaigns.models import Campaign
from sending.models import Sender, State
from subscribers.models import Brand, Subscriber
from subscribers.tenancy import TenantManager
from tracking.inbox_models import InboundEvent  # noqa: F401 - here Django finds it
from tracking.kept_models import (  # noqa: F401 - here Django finds them
    KeptClicks,
    KeptDay,
    KeptFigures,
)
from tracking.outbound.models import (  # noqa: F401 - here Django finds them
    OutboundEvent,
    WebhookAttempt,
    WebhookDelivery,
    WebhookEndpoint,
)
from tracking.purchase_models import (  # noqa: F401 - here Django finds them
    Attribution,
    AttributionRules,
    CountedPerson,
    CustomEvent,
    Purchase,
    Refund,
    Shop,
    TouchedPerson,
)


class TrackingEvent(models.Model):
    """One thing that happened, once. Partitioned by month of its id, like the log.

    The id's time half is a fact of the event (for a receipt: the time of its text), its hash half
    names the event, so the same event told twice is one row.
    """

    class Kind(models.TextChoices):
        RECEIPT = "receipt", "Delivery receipt"
        REPLY = "reply", "Reply"
        CLICK = "click", "Click"

    id = models.UUIDField(primary_key=True)
    brand = models.ForeignKey(Brand, on_delete=models.PROTECT, db_constraint=False, db_index=False)
    subscriber = models.ForeignKey(
        Subscriber, on_delete=models.PROTECT, db_constraint=False, db_index=False, null=True
    )
    text_id = models.UUIDField(null=True, help_text="The text's id in the sent log.")
    kind = models.CharField(max_length=10, choices=Kind)
    name = models.CharField(max_length=20, help_text="The state that a receipt tells, and so on.")
    code = models.CharField(max_length=20, blank=True, db_default="")
    received_at = models.DateTimeField(db_default=Now())
    raw = models.JSONField(default=dict, help_text="As the provider told it, without credentials.")

    tenant_path = "brand__workspace"
    brand_path = "brand"
    objects = TenantManager()

    class Meta:
        indexes = [
            models.Index(fields=["text_id"], name="tracking_of_text"),
            # Clicks are few among the receipts.
            models.Index(
                fields=["subscriber"], name="tracking_clicks_of_person", condition=Q(kind="click")
            ),
            models.Index(
                fields=["brand", "received_at"],
                name="tracking_clicks_of_brand",
                condition=Q(kind="click"),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.name}"


class WaitingReceipt(models.Model):
    """A receipt of a text that is not known (yet): kept, and matched when the text appears."""

    sender = models.ForeignKey(Sender, on_delete=models.CASCADE)
    provider_id = models.CharField(max_length=64)
    state = models.CharField(max_length=11, choices=State)
    code = models.CharField(max_length=20, blank=True)
    raw = models.JSONField(default=dict)
    received_at = models.DateTimeField(db_default=Now())

    tenant_path = "sender__brand__workspace"
    brand_path = "sender__brand"
    objects = TenantManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["provider_id", "sender", "state"], name="waiting_receipt_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.provider_id}: {self.state}"


class Reply(models.Model):
    """A text from a person to a brand."""

    class Meaning(models.TextChoices):
        OPT_OUT = "opt_out", "Opt-out"
        OPT_IN = "opt_in", "Opt-in"
        HELP = "help", "Help"
        OTHER = "other", "Other"

    brand = models.ForeignKey(Brand, on_delete=models.PROTECT, related_name="replies")
    sender = models.ForeignKey(Sender, on_delete=models.PROTECT)
    subscriber = models.ForeignKey(
        Subscriber, on_delete=models.SET_NULL, null=True, related_name="replies"
    )
    campaign = models.ForeignKey(Campaign, on_delete=models.SET_NULL, null=True)
    text_id = models.UUIDField(null=True, help_text="The last text that this may answer.")
    phone = models.CharField(max_length=16)
    body = models.TextField(max_length=4000)
    meaning = models.CharField(max_length=10, choices=Meaning)
    provider_id = models.CharField(max_length=64)
    received_at = models.DateTimeField(db_default=Now())
    answered_at = models.DateTimeField(
        null=True, help_text="When it was answered, or somebody said that it needs no answer."
    )

    tenant_path = "brand__workspace"
    brand_path = "brand"
    objects = TenantManager()

    class Meta:
        verbose_name_plural = "replies"
        constraints = [
            # Providers tell an inbound text again until they are answered.
            models.UniqueConstraint(fields=["provider_id", "sender"], name="reply_once")
        ]
        indexes = [
            models.Index(fields=["brand", "-received_at"], name="reply_of_brand"),
            models.Index(fields=["phone"], name="reply_of_number"),
            models.Index(
                fields=["brand", "-id"],
                name="reply_to_be_answered",
                condition=Q(meaning="other", answered_at__isnull=True),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.phone}: {self.get_meaning_display()}"


class GivenAnswer(models.Model):
    """What a person at the brand answered: who, when, to which reply, by which text.

    Written by `conversations.py`.
    """

    reply = models.ForeignKey(Reply, on_delete=models.CASCADE, related_name="answers")
    key = models.CharField(max_length=80, help_text="The same key again is the same answer.")
    text_id = models.UUIDField(unique=True, help_text="The text's id in the sent log.")
    answered_by = models.CharField(max_length=150)
    answered_at = models.DateTimeField(db_default=Now())

    tenant_path = "reply__brand__workspace"
    brand_path = "reply__brand"
    objects = TenantManager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["reply", "key"], name="answer_once")]

    def __str__(self) -> str:
        return f"Answer to reply {self.reply_id}"


class PossibleOptOut(models.Model):
    """A reply that reads like an opt-out in the person's own words: obeyed, and shown to a person.

    Written by `possible_opt_outs.py`.
    """

    class Status(models.TextChoices):
        OPEN = "open", "To be looked at"
        CONFIRMED = "confirmed", "Is an opt-out"
        UNDONE = "undone", "Was none: undone"

    reply = models.OneToOneField(Reply, on_delete=models.CASCADE, related_name="possible_opt_out")
    brand = models.ForeignKey(Brand, on_delete=models.PROTECT)
    everywhere = models.BooleanField(help_text="It suppressed the number in the whole workspace.")
    status = models.CharField(max_length=10, choices=Status, default=Status.OPEN)
    decided_at = models.DateTimeField(null=True, editable=False)
    decided_by = models.CharField(max_length=150, blank=True, editable=False)
    reason = models.CharField(max_length=200, blank=True)

    tenant_path = "brand__workspace"
    brand_path = "brand"
    objects = TenantManager()

    class Meta:
        verbose_name = "possible opt-out"
        indexes = [
            models.Index(fields=["-id"], name="possible_opt_out_open", condition=Q(status="open"))
        ]

    def __str__(self) -> str:
        return f"Reply {self.reply_id}: {self.get_status_display()}"
