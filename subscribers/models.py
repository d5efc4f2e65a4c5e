"""Who: workspaces and their brands, subscribers, and what each of them consented to."""

import datetime as dt
from typing import TYPE_CHECKING

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ImproperlyConfigured
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower, Now

from subscribers.consent_models import (  # noqa: F401 - here Django finds them
    ConsentEvent,
    ConsentSource,
    ConsentWording,
    Erasure,
    OptInRequest,
    OptInRule,
    OptOutRule,
    Suppression,
)
from subscribers.key_models import ApiKey, FirstAnswer  # noqa: F401 - here Django finds them
from subscribers.phones import mask
from subscribers.secrets import EncryptedJSONField, phone_hash
from subscribers.segment_models import (  # noqa: F401 - here Django finds them
    ManualList,
    ManualListMember,
    Segment,
)
from subscribers.tenancy import TenantManager

if TYPE_CHECKING:
    from django.contrib.auth.models import User

slug_rule = RegexValidator(r"^[a-z][a-z0-9_]{0,29}$", "Use lower-case letters, digits and _.")


class Workspace(models.Model):
    """One customer of the installation: the wall between tenants."""

    slug = models.CharField(max_length=30, unique=True, validators=[slug_rule])
    name = models.CharField(max_length=100)
    members: "models.ManyToManyField[User, Membership]" = models.ManyToManyField(
        settings.AUTH_USER_MODEL, through="Membership", related_name="workspaces"
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    tenant_path = "pk"
    objects = TenantManager()

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    """A person of the staff who may see a workspace."""

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)

    tenant_path = "workspace"
    objects = TenantManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["workspace", "user"], name="membership_once")
        ]

    def __str__(self) -> str:
        return f"{self.user} in {self.workspace}"


class Brand(models.Model):
    """What a person consents to. It owns a queue, a rate, hours and senders."""

    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="brands")
    slug = models.CharField(
        max_length=30, validators=[slug_rule], help_text="Used by commands and the API, e.g. wswd."
    )
    name = models.CharField(max_length=100, help_text="As its subscribers know it.")
    sandbox = models.BooleanField(
        default=False, help_text="Its texts go to the fake carrier and never leave this machine."
    )
    clock_shift = models.DurationField(
        default=dt.timedelta(0),
        help_text="Sandbox only: how far its clock runs ahead of real time.",
    )
    help_text = models.CharField(
        max_length=320,
        blank=True,
        default="",
        db_default="",
        help_text="Answers HELP: who you are and how to reach you. Empty: a plain answer.",
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    tenant_path = "workspace"
    brand_path = "pk"
    objects = TenantManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["workspace", "slug"], name="brand_slug_once"),
            models.CheckConstraint(
                condition=Q(sandbox=True) | Q(clock_shift=dt.timedelta(0)),
                name="only_a_sandbox_shifts_its_clock",
                violation_error_message="Only a sandbox brand can have a shifted clock.",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def provider_url(self, provider: str) -> str:
        """Where this brand's calls to a provider go; the sandbox knows only the fake carrier.

        Raises ImproperlyConfigured where the installation has no address for the provider.
        """
        url = settings.FAKE_CARRIER_URL if self.sandbox else settings.PROVIDER_URLS[provider]
        if not url:
            raise ImproperlyConfigured(
                f"{provider.upper()}_URL is not set: give it the provider's address."
            )
        return url


class ContactList(models.Model):
    """A provider's list of opted-in numbers that a brand's subscribers are synced from."""

    class Provider(models.TextChoices):
        LIME = "lime", "Lime"

    brand = models.ForeignKey(Brand, on_delete=models.PROTECT, related_name="contact_lists")
    provider = models.CharField(max_length=10, choices=Provider, default=Provider.LIME)
    list_id = models.CharField(max_length=60, help_text="The list's id at the provider.")
    credentials = EncryptedJSONField(default=dict, help_text="user and api_id, encrypted.")
    clock = models.CharField(
        max_length=40,
        default="America/New_York",
        help_text="Time zone of the list's opt-in dates: the provider does not state it.",
    )
    last_synced_at = models.DateTimeField(null=True, editable=False)

    tenant_path = "brand__workspace"
    objects = TenantManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["brand", "provider", "list_id"], name="contact_list_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.brand}: {self.provider} list {self.list_id}"


class Subscriber(models.Model):
    """A person, unique by workspace and phone. Field names: the subscriber API's request schema."""

    class Status(models.TextChoices):
        ACTIVE = "ACTIVE", "Active"
        OPTOUT = "OPTOUT", "Opted out"

    workspace = models.ForeignKey(  # the unique constraint's index begins with it
        Workspace, on_delete=models.PROTECT, related_name="subscribers", db_index=False
    )
    phone = models.CharField(max_length=16, help_text="E.164, e.g. +17325555555.")
    phone_hash = models.BinaryField(max_length=32, editable=False)
    status = models.CharField(
        max_length=6, choices=Status, default=Status.ACTIVE, editable=False, db_default="ACTIVE"
    )

    name = models.CharField(max_length=200, blank=True, db_default="")
    first_name = models.CharField(max_length=100, blank=True, db_default="")
    last_name = models.CharField(max_length=100, blank=True, db_default="")
    email = models.EmailField(blank=True, db_default="")
    postcode = models.CharField(max_length=12, blank=True, db_default="")

    has_clicked = models.BooleanField(db_default=False, default=False)
    has_purchased = models.BooleanField(db_default=False, default=False)
    first_click_at = models.DateTimeField(null=True, blank=True)
    first_purchase_at = models.DateTimeField(null=True, blank=True)
    total_clicks = models.PositiveIntegerField(db_default=0, default=0)
    total_purchases = models.PositiveIntegerField(db_default=0, default=0)
    total_revenue = models.DecimalField(max_digits=14, decimal_places=2, db_default=0, default=0)
    last_engagement = models.DateTimeField(null=True, blank=True)
    last_purchase_at = models.DateTimeField(null=True, blank=True)

    acq_source = models.CharField(max_length=200, blank=True, db_default="")
    acq_campaign = models.CharField(max_length=200, blank=True, db_default="")
    acq_medium = models.CharField(max_length=200, blank=True, db_default="")
    acq_term = models.CharField(max_length=200, blank=True, db_default="")
    acq_content = models.CharField(max_length=200, blank=True, db_default="")
    form_title = models.CharField(max_length=200, blank=True, db_default="")
    traits = models.JSONField(default=dict, blank=True, db_default={})

    timezone = models.CharField(
        max_length=40, blank=True, db_default="", help_text="IANA name, where the person told us."
    )
    number_kind = models.CharField(max_length=20, blank=True, db_default="", editable=False)
    country = models.CharField(max_length=2, blank=True, db_default="", editable=False)
    zones = ArrayField(
        models.CharField(max_length=40),
        default=list,
        editable=False,
        help_text="Every time zone this person may be in; a text must be allowed in all of them.",
    )
    jurisdictions = ArrayField(models.CharField(max_length=20), default=list, editable=False)
    reassigned_checked_at = models.DateTimeField(
        null=True,
        editable=False,
        help_text="When the number was last found not to be reassigned to somebody else.",
    )
    erased_at = models.DateTimeField(null=True, editable=False)

    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)

    tenant_path = "workspace"
    objects = TenantManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["workspace", "phone"], name="subscriber_phone_once"),
            models.CheckConstraint(
                condition=Q(phone__regex=r"^\+[1-9][0-9]{6,14}$"), name="subscriber_phone_is_e164"
            ),
        ]
        indexes = [
            models.Index(fields=["phone_hash"], name="subscriber_phone_hash"),
            models.Index(
                fields=["workspace", "email"], name="subscriber_email", condition=~Q(email="")
            ),
            # A shop writes an address in another case than the form did.
            models.Index(
                "workspace",
                Lower("email"),
                name="subscriber_email_any_case",
                condition=~Q(email=""),
            ),
        ]

    def __str__(self) -> str:
        return mask(self.phone)  # it is copied into the admin's history, which outlives an erasure

    def save(self, **kwargs) -> None:  # type: ignore[override]
        # Derived, never edited: the hash must always be that of the number.
        self.phone_hash = phone_hash(self.workspace_id, self.phone)
        super().save(**kwargs)


class Subscription(models.Model):
    """One subscriber's consent to one brand. Written by `consent.py` alone."""

    class Status(models.TextChoices):
        PENDING = "pending", "Pending"
        OPTED_IN = "opted_in", "Opted in"
        OPTED_OUT = "opted_out", "Opted out"

    # Its own two indexes begin with either of them.
    subscriber = models.ForeignKey(
        Subscriber, on_delete=models.CASCADE, related_name="subscriptions", db_index=False
    )
    brand = models.ForeignKey(
        Brand, on_delete=models.PROTECT, related_name="subscriptions", db_index=False
    )
    status = models.CharField(max_length=10, choices=Status, default=Status.PENDING)
    opted_in_at = models.DateTimeField(null=True, blank=True)
    opted_out_at = models.DateTimeField(null=True, blank=True)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)

    tenant_path = "brand__workspace"
    brand_path = "brand"
    objects = TenantManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["subscriber", "brand"], name="subscription_once"),
            models.CheckConstraint(
                condition=~Q(status="opted_in") | Q(opted_in_at__isnull=False),
                name="an_opt_in_has_a_date",
            ),
        ]
        # A broadcast walks a brand's audience in this order.
        indexes = [models.Index(fields=["brand", "subscriber"], name="subscription_audience")]

    def __str__(self) -> str:
        return f"{self.subscriber} to {self.brand}: {self.get_status_display()}"
