"""One row per text: the log, the queue beside it, and what sends it."""

import secrets

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from campaigns.models import Campaign, Message, Run
from sending.archive_models import ArchivedMonth  # noqa: F401 - here Django finds it
from sending.count_models import CampaignCount  # noqa: F401 - here Django finds it
from sending.credit_models import (  # noqa: F401 - here Django finds them
    CreditAccount,
    CreditEntry,
    CreditHold,
)
from sending.gateways import registry
from sending.link_models import ShortLink  # noqa: F401 - here Django finds it
from sending.route_models import (  # noqa: F401 - here Django finds them
    GATEWAY_CHOICES,
    ProviderAccount,
    SenderShift,
    UnknownCode,
)
from subscribers.models import Brand, Subscriber, Workspace
from subscribers.phones import mask
from subscribers.secrets import EncryptedJSONField
from subscribers.tenancy import TenantManager


def new_webhook_token() -> str:
    return secrets.token_urlsafe(24)


class Sender(models.Model):
    """A number or short code of a brand on a gateway, with its own rate."""

    class Status(models.TextChoices):
        ACTIVE = "active", "Active"
        PAUSED = "paused", "Paused"
        STOPPED = "stopped", "Stopped by an error"

    brand = models.ForeignKey(Brand, on_delete=models.PROTECT, related_name="senders")
    gateway = models.CharField(max_length=10, choices=GATEWAY_CHOICES)
    account = models.ForeignKey(
        ProviderAccount,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="senders",
        help_text="Whose rate and daily cap it shares with other senders, if any.",
    )
    address = models.CharField(max_length=16, help_text="E.164 number, short code or name.")
    credentials = EncryptedJSONField(default=dict, help_text="Encrypted; written, never shown.")
    rate = models.PositiveIntegerField(default=10, help_text="Segments per second.")
    in_flight = models.PositiveSmallIntegerField(
        default=50, help_text="Calls to the provider at the same time, per worker."
    )
    weight = models.PositiveSmallIntegerField(
        default=1, help_text="Its share of the brand's texts."
    )
    status = models.CharField(max_length=10, choices=Status, default=Status.ACTIVE)
    status_reason = models.CharField(max_length=200, blank=True, editable=False)
    # Its circuit: `circuits.py` alone writes these.
    share = models.PositiveSmallIntegerField(
        default=100,
        db_default=100,
        editable=False,
        help_text="Percent of its weight that it carries at present; 0 while it fails.",
    )
    share_reason = models.CharField(max_length=200, blank=True, db_default="", editable=False)
    share_since = models.DateTimeField(null=True, editable=False)
    usual_receipts = models.PositiveSmallIntegerField(
        null=True, editable=False, help_text="Percent of its texts that get a receipt in time."
    )
    webhook_token = models.CharField(
        max_length=40, unique=True, default=new_webhook_token, editable=False
    )

    tenant_path = "brand__workspace"
    brand_path = "brand"
    objects = TenantManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["brand", "gateway", "address"], name="sender_once")
        ]

    def __str__(self) -> str:
        return f"{self.address} on {self.get_gateway_display()}"

    def clean(self) -> None:
        if self.gateway not in registry.GATEWAYS:
            return  # the field's own error says so
        self._check_account()
        missing = [
            name
            for name in registry.get(self.gateway).credential_names
            if not (self.credentials or {}).get(name)
        ]
        if missing:
            raise ValidationError(f"{self.get_gateway_display()} needs {', '.join(missing)}.")

    def _check_account(self) -> None:
        account = self.account
        if account is None or self.brand_id is None:
            return
        if (account.workspace_id, account.gateway) != (self.brand.workspace_id, self.gateway):
            raise ValidationError(
                {"account": "Choose an account of the brand's workspace at the same provider."}
            )


class State(models.TextChoices):
    """A text's states; `outcomes.py` alone changes them. A claim is a lease on the queue row."""

    PLANNED = "planned", "Planned"
    SENDING = "sending", "Sending"
    UNKNOWN = "unknown", "Unknown"
    ACCEPTED = "accepted", "Accepted"
    SENT = "sent", "Sent"
    DELIVERED = "delivered", "Delivered"
    UNDELIVERED = "undelivered", "Undelivered"
    FAILED = "failed", "Failed"
    SKIPPED = "skipped", "Skipped"
    EXPIRED = "expired", "Expired"
    CANCELLED = "cancelled", "Cancelled"


# A text in one of these may have reached the person: it counts for every cap.
MAY_HAVE_ARRIVED = (
    State.SENDING,
    State.UNKNOWN,
    State.ACCEPTED,
    State.SENT,
    State.DELIVERED,
    State.UNDELIVERED,
)


class SentLog(models.Model):
    """One text to one person, from planned to final. Partitioned by month of its id.

    The id's time half is the time of the run (or of the cause), its hash half says which text of
    it. Foreign keys have no constraint in the database: five checks a row cost more than the row,
    and their targets are never deleted. The indexes hold only what never changes, so that
    every change of state is a HOT update.
    """

    id = models.UUIDField(primary_key=True)
    brand = models.ForeignKey(
        Brand, on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="texts"
    )
    campaign = models.ForeignKey(
        Campaign, on_delete=models.PROTECT, db_constraint=False, db_index=False, null=True
    )
    run = models.ForeignKey(
        Run, on_delete=models.PROTECT, db_constraint=False, db_index=False, null=True
    )
    message = models.ForeignKey(
        Message, on_delete=models.PROTECT, db_constraint=False, db_index=False, null=True
    )
    subscriber = models.ForeignKey(
        Subscriber, on_delete=models.PROTECT, db_constraint=False, db_index=False, null=True
    )
    sender = models.ForeignKey(
        Sender, on_delete=models.PROTECT, db_constraint=False, db_index=False, null=True
    )
    purpose = models.CharField(max_length=12)
    phone = models.CharField(max_length=16)
    body = models.TextField(blank=True)
    segments = models.PositiveSmallIntegerField(default=0)
    state = models.CharField(max_length=11, choices=State, default=State.PLANNED)
    reason = models.CharField(max_length=20, blank=True, db_default="")
    attempts = models.PositiveSmallIntegerField(default=0, db_default=0)
    expires_at = models.DateTimeField(help_text="Not handed over after this.")
    lease_token = models.UUIDField(null=True, help_text="The departure that handed it over.")
    sent_at = models.DateTimeField(null=True)
    changed_at = models.DateTimeField(db_default=Now())
    provider_message_id = models.CharField(max_length=64, blank=True, db_default="")
    bulk_id = models.CharField(max_length=64, blank=True, db_default="")
    error_code = models.CharField(max_length=20, blank=True, db_default="")
    error_detail = models.CharField(max_length=200, blank=True, db_default="")

    tenant_path = "brand__workspace"
    brand_path = "brand"
    objects = TenantManager()

    class Meta:
        verbose_name = "sent text"
        indexes = [
            models.Index(fields=["subscriber", "-id"], name="sentlog_of_person"),
            models.Index(fields=["brand", "id"], name="sentlog_of_brand"),
        ]

    def __str__(self) -> str:
        return str(self.id)


class QueuedText(models.Model):
    """A text that is still to be sent: its place in its brand's queue.

    Taking it is locking its row for as long as the gate decides. It leaves with its text's point of
    no return; a worker that dies before has taken nothing.
    """

    class Lane(models.IntegerChoices):
        HIGH = 0, "High"
        NORMAL = 1, "Normal"
        BULK = 2, "Bulk"

    id = models.UUIDField(primary_key=True, help_text="The text's id in the log.")
    brand = models.ForeignKey(Brand, on_delete=models.PROTECT, db_constraint=False, db_index=False)
    campaign = models.ForeignKey(
        Campaign, on_delete=models.PROTECT, db_constraint=False, db_index=False, null=True
    )
    subscriber = models.ForeignKey(
        Subscriber, on_delete=models.PROTECT, db_constraint=False, db_index=False, null=True
    )
    lane = models.SmallIntegerField(choices=Lane)
    due_at = models.DateTimeField(help_text="The year 9999: until somebody resumes.")

    tenant_path = "brand__workspace"
    brand_path = "brand"
    objects = TenantManager()

    class Meta:
        indexes = [
            models.Index(fields=["brand", "lane", "due_at"], name="queue_order"),
            models.Index(fields=["campaign"], name="queue_of_campaign"),
        ]

    def __str__(self) -> str:
        return str(self.id)


class Departure(models.Model):
    """A batch past the point of no return: its texts may be at the provider.

    Written before the calls and deleted with their answers. One that outlives its lease had a
    worker that died: the reaper makes what it did not answer for `unknown`.
    """

    token = models.UUIDField(primary_key=True)
    brand = models.ForeignKey(Brand, on_delete=models.PROTECT)
    texts = ArrayField(models.UUIDField())
    departed_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField()

    tenant_path = "brand__workspace"
    brand_path = "brand"
    objects = TenantManager()

    def __str__(self) -> str:
        return f"{len(self.texts)} texts of {self.brand}"


class ProviderMessage(models.Model):
    """Which text a provider's message id stands for. Beside the log, whose indexes never change."""

    id = models.BigAutoField(primary_key=True)
    provider_id = models.CharField(max_length=64)
    sender = models.ForeignKey(
        Sender, on_delete=models.PROTECT, db_constraint=False, db_index=False
    )
    text_id = models.UUIDField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["provider_id", "sender"], name="provider_message_once")
        ]

    def __str__(self) -> str:
        return self.provider_id


class DailyTotal(models.Model):
    """Texts that the installation sent on a day (UTC): what the platform's cap counts."""

    day = models.DateField(primary_key=True)
    sent = models.PositiveIntegerField(default=0, db_default=0)

    def __str__(self) -> str:
        return f"{self.day}: {self.sent}"


class StatusLookup(models.Model):
    """When a provider was last asked about a text, so that it is not asked all the time."""

    text_id = models.UUIDField(primary_key=True)
    brand = models.ForeignKey(Brand, on_delete=models.PROTECT, db_constraint=False, db_index=False)
    asked_at = models.DateTimeField()
    times = models.PositiveSmallIntegerField(default=1)

    tenant_path = "brand__workspace"
    brand_path = "brand"
    objects = TenantManager()

    def __str__(self) -> str:
        return str(self.text_id)


class SafeMode(models.Model):
    """The installation was restored from a backup and what may have been sent since is unknown."""

    since = models.DateTimeField(help_text="The moment of the backup.")
    entered_at = models.DateTimeField(db_default=Now())
    texts = models.PositiveIntegerField(help_text="Texts that became unknown.")

    def __str__(self) -> str:
        return f"since {self.since:%Y-%m-%d %H:%M} UTC"


class TickerBeat(models.Model):
    """When the ticker last planned: one row, written by `outage.py`."""

    id = models.SmallIntegerField(primary_key=True, default=1, editable=False)
    at = models.DateTimeField()

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(id=1), name="ticker_beat_is_one")]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} UTC"


class EvergreenTurn(models.Model):
    """When a subscriber's next evergreen text of a brand is to be decided.

    Every text moves it, and with it its entry in each index: so there are two.
    """

    pk = models.CompositePrimaryKey("subscriber_id", "brand_id")
    brand = models.ForeignKey(Brand, on_delete=models.CASCADE, db_index=False)
    subscriber = models.ForeignKey(Subscriber, on_delete=models.CASCADE, db_index=False)
    next_at = models.DateTimeField()
    last_message = models.ForeignKey(
        Message, on_delete=models.SET_NULL, null=True, db_constraint=False, db_index=False
    )
    turn = models.PositiveIntegerField(default=0, help_text="How many texts it has had: the draw.")

    tenant_path = "brand__workspace"
    brand_path = "brand"
    objects = TenantManager()

    class Meta:
        indexes = [models.Index(fields=["brand", "next_at"], name="evergreen_due")]

    def __str__(self) -> str:
        return f"{self.subscriber} at {self.next_at}"


class TestNumber(models.Model):
    """A number that a workspace calls its own: test sends to it are not bound to hours."""

    __test__ = False  # pytest: no test

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="test_numbers")
    phone = models.CharField(max_length=16, help_text="E.164, e.g. +17325555555.")
    note = models.CharField(max_length=100, blank=True, help_text="Whose it is.")
    added_at = models.DateTimeField(db_default=Now(), editable=False)

    tenant_path = "workspace"
    objects = TenantManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["workspace", "phone"], name="test_number_once")
        ]

    def __str__(self) -> str:
        return mask(self.phone)


class TestRequest(models.Model):
    """One request for test sends: the cause, and with `asked_at` the time half, of their ids."""

    __test__ = False  # pytest: no test

    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE, related_name="test_requests")
    key = models.CharField(max_length=80, help_text="The same key again asks for the same texts.")
    asked_by = models.CharField(max_length=150)
    asked_at = models.DateTimeField(help_text="In whole milliseconds.")

    tenant_path = "campaign__brand__workspace"
    brand_path = "campaign__brand"
    objects = TenantManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["campaign", "key"], name="test_request_once")
        ]

    def __str__(self) -> str:
        return f"Test of {self.campaign} at {self.asked_at:%Y-%m-%d %H:%M}"
