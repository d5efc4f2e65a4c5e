"""An integrator's key: what it covers, what it may do, and how often."""

import datetime as dt
from typing import TYPE_CHECKING

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from rest_framework_api_key.models import AbstractAPIKey, BaseAPIKeyManager

from subscribers.tenancy import TenantManager, TenantQuerySet

if TYPE_CHECKING:
    from subscribers.models import Brand

LAST_USE_EVERY = dt.timedelta(minutes=1)


class Scope(models.TextChoices):
    """What a key may do. `read` covers every GET of what the key covers."""

    READ = "read", "Read everything that the key covers"
    SUBSCRIBERS = "subscribers", "Write people, their consent, suppressions and segments"
    CAMPAIGNS = "campaigns", "Make and edit campaigns"
    SEND = "send", "Launch, pause, resume and cancel; send tests and answers"
    EVENTS = "events", "Post purchases and other events"
    WEBHOOKS = "webhooks", "Manage where events are told"


def every_scope() -> list[str]:
    return list(Scope.values)


class ApiKey(AbstractAPIKey):
    """A hashed, expiring key of an integrator. Without brands it covers the whole workspace.

    A test key covers sandbox brands alone, whatever it names: its texts never leave the fake carrier.
    """

    workspace = models.ForeignKey(
        "subscribers.Workspace", on_delete=models.CASCADE, related_name="api_keys"
    )
    brands: "models.ManyToManyField[Brand, models.Model]" = models.ManyToManyField(
        "subscribers.Brand", blank=True, related_name="api_keys"
    )
    scopes = ArrayField(
        models.CharField(max_length=12, choices=Scope), default=every_scope, blank=True
    )
    test = models.BooleanField(
        default=False,
        help_text="Covers sandbox brands alone: nothing it sends leaves the fake carrier.",
    )
    per_minute = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="Requests a minute. Empty: the installation's default.",
    )
    events_per_minute = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="Requests a minute that post events. Empty: the installation's default.",
    )
    last_used_at = models.DateTimeField(null=True, editable=False)
    replaces = models.ForeignKey(
        "self", on_delete=models.SET_NULL, null=True, editable=False, related_name="successors"
    )

    tenant_path = "workspace"
    objects = BaseAPIKeyManager.from_queryset(TenantQuerySet)()

    class Meta(AbstractAPIKey.Meta):
        verbose_name = "API key"
        verbose_name_plural = "API keys"

    def brand_ids(self) -> list[int] | None:
        """The brands that it is bound to, which may be none at all; None: its whole workspace."""
        if not hasattr(self, "_brand_ids"):
            own = list(self.brands.values_list("pk", flat=True))
            if self.test:
                sandbox = self.workspace.brands.filter(sandbox=True)
                sandbox = sandbox.filter(pk__in=own) if own else sandbox
                self._brand_ids: list[int] | None = list(sandbox.values_list("pk", flat=True))
            else:
                self._brand_ids = own or None
        return self._brand_ids

    def used(self, now: dt.datetime) -> None:
        """Note the use, once a minute at most: a busy key's row is not written all the time."""
        before = now - LAST_USE_EVERY
        if self.last_used_at is None or self.last_used_at < before:
            older = Q(last_used_at=None) | Q(last_used_at__lt=before)
            type(self).objects.filter(older, pk=self.pk).update(last_used_at=now)


class FirstAnswer(models.Model):
    """What a POST with an `Idempotency-Key` was answered, written with what it did. Kept 24 hours."""

    key = models.ForeignKey(ApiKey, on_delete=models.CASCADE, db_index=False)
    given = models.CharField(max_length=200, help_text="The Idempotency-Key that the client gave.")
    request = models.BinaryField(max_length=32, help_text="Hash of method, path and body.")
    status = models.PositiveSmallIntegerField()
    content_type = models.CharField(max_length=100)
    body = models.BinaryField()
    answered_at = models.DateTimeField(db_default=Now(), db_index=True)

    tenant_path = "key__workspace"
    objects = TenantManager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["key", "given"], name="first_answer_once")]

    def __str__(self) -> str:
        return f"{self.given}: {self.status}"
