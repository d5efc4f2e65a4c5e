"""What consent rests on: evidence, suppressions, wordings, dated rules, open requests, erasures."""

import pgtrigger
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from subscribers.tenancy import TenantManager


class ConsentSource(models.TextChoices):
    """Where a consent or its withdrawal came from."""

    LIST_SYNC = "list_sync", "Contact list"
    API = "api", "API"
    KEYWORD = "keyword", "Keyword by text"
    FREE_TEXT = "free_text", "Free wording by text"
    OPERATOR = "operator", "Operator"
    PROVIDER = "provider", "Provider"
    IMPORT = "import", "Import"
    ERASURE = "erasure", "Erasure"


class ConsentWording(models.Model):
    """What people of a brand agree to, word for word. Never changed: new words are a new version."""

    brand = models.ForeignKey(
        "subscribers.Brand", on_delete=models.PROTECT, related_name="wordings"
    )
    version = models.CharField(max_length=20, help_text="Your own name for it, e.g. 2026-02.")
    text = models.TextField(max_length=4000, help_text="As people see it where they agree.")
    valid_from = models.DateTimeField(help_text="In UTC. Opt-ins from then on name it.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    tenant_path = "brand__workspace"
    objects = TenantManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["brand", "version"], name="consent_wording_once")
        ]
        triggers = [
            pgtrigger.Protect(name="wording_stays", operation=pgtrigger.Update | pgtrigger.Delete)
        ]

    def __str__(self) -> str:
        return f"{self.brand}, version {self.version}"


class ConsentEvent(models.Model):
    """Evidence of one opt-in or opt-out. Only ever added to: the database refuses the rest.

    An erasure alone may change a row, and only to take out who it was and what was said.
    """

    class Kind(models.TextChoices):
        OPT_IN = "opt_in", "Opt-in"
        OPT_OUT = "opt_out", "Opt-out"
        REQUEST = "request", "Asked to opt in"  # a double opt-in that waits for YES
        UNDO = "undo", "Opt-out undone"  # `source`: whose opt-out

    workspace = models.ForeignKey("subscribers.Workspace", on_delete=models.PROTECT)
    brand = models.ForeignKey(
        "subscribers.Brand",
        on_delete=models.PROTECT,
        null=True,
        help_text="Empty: the whole workspace.",
    )
    phone_hash = models.BinaryField(max_length=32)
    subscriber = models.ForeignKey(
        "subscribers.Subscriber",
        on_delete=models.SET_NULL,
        null=True,
        db_index=False,
        related_name="consent_events",
    )
    kind = models.CharField(max_length=10, choices=Kind)
    source = models.CharField(max_length=10, choices=ConsentSource)
    occurred_at = models.DateTimeField(help_text="When the person said so, as the source tells it.")
    recorded_at = models.DateTimeField(db_default=Now())
    evidence = models.JSONField(
        default=dict, help_text="What the source tells: list, keyword, wording, address, actor."
    )
    wording = models.ForeignKey(
        ConsentWording,
        on_delete=models.PROTECT,
        null=True,
        db_index=False,
        help_text="What the person agreed to: the version of that time.",
    )

    tenant_path = "workspace"
    objects = TenantManager()

    class Meta:
        constraints = [
            # The same fact synced again is the same evidence.
            models.UniqueConstraint(
                fields=["phone_hash", "brand", "kind", "source", "occurred_at"],
                name="consent_event_once",
                nulls_distinct=False,
            )
        ]
        indexes = [models.Index(fields=["subscriber", "occurred_at"], name="consent_of_person")]
        triggers = [
            pgtrigger.Protect(name="append_only", operation=pgtrigger.Delete),
            pgtrigger.Protect(
                name="changed_by_erasure_alone",
                operation=pgtrigger.Update,
                condition=pgtrigger.Condition(
                    """NOT (NEW.subscriber_id IS NULL AND NEW.evidence = '{"erased": true}'
                    AND (NEW.id, NEW.workspace_id, NEW.brand_id, NEW.phone_hash, NEW.kind,
                         NEW.source, NEW.occurred_at, NEW.recorded_at, NEW.wording_id)
                    IS NOT DISTINCT FROM
                        (OLD.id, OLD.workspace_id, OLD.brand_id, OLD.phone_hash, OLD.kind,
                         OLD.source, OLD.occurred_at, OLD.recorded_at, OLD.wording_id))"""
                ),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.occurred_at:%Y-%m-%d}"


class Suppression(models.Model):
    """A number that must not be texted, in one brand or (brand empty) in the whole workspace.

    Matched by keyed hash, so that it outlives the erasure of the person. Written by `consent.py`.
    """

    workspace = models.ForeignKey("subscribers.Workspace", on_delete=models.PROTECT)
    brand = models.ForeignKey("subscribers.Brand", on_delete=models.PROTECT, null=True, blank=True)
    phone_hash = models.BinaryField(max_length=32)
    phone = models.CharField(max_length=16, blank=True, help_text="Empty after erasure.")
    source = models.CharField(max_length=10, choices=ConsentSource)
    reason = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(db_default=Now())

    tenant_path = "workspace"
    objects = TenantManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["phone_hash", "brand"], name="suppression_once", nulls_distinct=False
            )
        ]

    def __str__(self) -> str:
        return f"{self.phone or 'erased number'}: {self.get_source_display()}"

    def clean(self) -> None:
        if self.brand and self.brand.workspace_id != self.workspace_id:
            raise ValidationError({"brand": "This brand belongs to another workspace."})


class OptInRule(models.Model):
    """Whether a brand's opt-ins wait for a YES, from a date on. The latest one counts."""

    brand = models.ForeignKey(
        "subscribers.Brand", on_delete=models.PROTECT, related_name="opt_in_rules"
    )
    effective_from = models.DateTimeField(
        help_text="In UTC. It counts for people who opt in from then on."
    )
    double_opt_in = models.BooleanField(
        default=True, help_text="On: people get one text and are subscribed when they reply YES."
    )
    answer_days = models.PositiveSmallIntegerField(
        default=7,
        validators=[MinValueValidator(1), MaxValueValidator(30)],
        help_text="How many days their YES is waited for.",
    )

    tenant_path = "brand__workspace"
    objects = TenantManager()

    class Meta:
        verbose_name = "opt-in rule"
        constraints = [
            models.UniqueConstraint(fields=["brand", "effective_from"], name="opt_in_rule_once")
        ]

    def __str__(self) -> str:
        kind = "Double" if self.double_opt_in else "Single"
        return f"{kind} opt-in from {self.effective_from:%Y-%m-%d %H:%M} UTC"


class OptOutRule(models.Model):
    """What a STOP to one brand covers, from a date on. Without a rule: that brand."""

    class Scope(models.TextChoices):
        BRAND = "brand", "The brand that it was sent to"
        WORKSPACE = "workspace", "Every brand of the workspace"

    workspace = models.ForeignKey(
        "subscribers.Workspace", on_delete=models.PROTECT, related_name="opt_out_rules"
    )
    effective_from = models.DateTimeField(
        help_text="In UTC. It counts for opt-outs from then on, not for earlier ones."
    )
    scope = models.CharField(max_length=10, choices=Scope, default=Scope.BRAND)

    tenant_path = "workspace"
    objects = TenantManager()

    class Meta:
        verbose_name = "opt-out rule"
        constraints = [
            models.UniqueConstraint(
                fields=["workspace", "effective_from"], name="opt_out_rule_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_scope_display()} from {self.effective_from:%Y-%m-%d %H:%M} UTC"


class OptInRequest(models.Model):
    """A person who asked for a brand's texts and has not replied YES. Gone once they answered."""

    subscriber = models.ForeignKey(
        "subscribers.Subscriber", on_delete=models.CASCADE, related_name="opt_in_requests"
    )
    brand = models.ForeignKey("subscribers.Brand", on_delete=models.PROTECT)
    requested_at = models.DateTimeField()
    expires_at = models.DateTimeField(help_text="A YES after this counts for nothing.")
    times = models.PositiveSmallIntegerField(default=1, help_text="How many texts asked so far.")
    asked_at = models.DateTimeField(null=True, help_text="When the text that asks was planned.")
    source = models.CharField(max_length=10)
    evidence = models.JSONField(default=dict)

    tenant_path = "brand__workspace"
    brand_path = "brand"
    objects = TenantManager()

    class Meta:
        verbose_name = "opt-in request"
        constraints = [
            models.UniqueConstraint(fields=["subscriber", "brand"], name="opt_in_request_once")
        ]
        indexes = [
            models.Index(fields=["id"], name="opt_in_unasked", condition=Q(asked_at__isnull=True))
        ]

    def __str__(self) -> str:
        return f"{self.subscriber} to {self.brand}"


class Erasure(models.Model):
    """A person was erased, or is being: when, by whom, why. Of the number only its hash stays."""

    workspace = models.ForeignKey("subscribers.Workspace", on_delete=models.PROTECT)
    phone_hash = models.BinaryField(max_length=32)
    phone = models.CharField(max_length=16, blank=True, help_text="Empty once it is finished.")
    subscriber_id = models.BigIntegerField(null=True, help_text="The row that remains, emptied.")
    actor = models.CharField(max_length=150)
    reason = models.CharField(max_length=200)
    asked_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True)

    tenant_path = "workspace"
    objects = TenantManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["phone_hash"],
                name="one_open_erasure_of_a_number",
                condition=Q(finished_at__isnull=True),
            )
        ]

    def __str__(self) -> str:
        return f"Erasure of {self.asked_at:%Y-%m-%d %H:%M} UTC"
