"""What, whom and when: campaigns, their messages and runs, and the rules they obey."""

import datetime as dt

import pgtrigger
from django.apps import apps
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q, Value
from django.db.models.functions import Now
from django.db.models.lookups import GreaterThan

from campaigns import history
from campaigns.keyword_models import Keyword  # noqa: F401 - here Django finds it
from campaigns.languages import valid_language
from campaigns.link_models import Link  # noqa: F401 - here Django finds it
from campaigns.reference_models import ClientReference  # noqa: F401 - here Django finds it
from campaigns.schedule import parse_span
from campaigns.shares import Shares
from campaigns.text_rules import TextRules
from subscribers.models import Brand
from subscribers.segment_models import ManualList, Segment
from subscribers.tenancy import TenantManager


class Campaign(Shares):
    """A broadcast (once, to an audience) or an evergreen pool (every tick picks among its messages).

    `status` is written by `lifecycle.py` alone.
    """

    class Kind(models.TextChoices):
        BROADCAST = "broadcast", "Broadcast"
        EVERGREEN = "evergreen", "Evergreen"

    class Status(models.TextChoices):
        DRAFT = "draft", "Draft"
        SCHEDULED = "scheduled", "Scheduled"
        RUNNING = "running", "Running"
        PAUSED = "paused", "Paused"
        WAITING = "waiting", "Waiting for a person"
        COMPLETED = "completed", "Completed"
        CANCELLED = "cancelled", "Cancelled"

    brand = models.ForeignKey(Brand, on_delete=models.PROTECT, related_name="campaigns")
    name = models.CharField(max_length=120)
    kind = models.CharField(max_length=10, choices=Kind, default=Kind.BROADCAST)
    status = models.CharField(
        max_length=10, choices=Status, default=Status.DRAFT, editable=False, db_index=True
    )
    status_reason = models.CharField(max_length=200, blank=True, editable=False)
    starts_at = models.DateTimeField(
        null=True, blank=True, help_text="In UTC. Empty: as soon as it is launched."
    )
    weekly_cap = models.PositiveSmallIntegerField(
        default=1,
        validators=[MinValueValidator(1)],
        help_text="Texts of this campaign that one person may get in 7 days.",
    )
    segment = models.ForeignKey(
        Segment,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="campaigns",
        help_text="Who gets it. Empty: everybody who is opted in to the brand.",
    )
    exclude_segments = models.ManyToManyField(
        Segment, blank=True, related_name="excluded_from", help_text="Nobody in these gets it."
    )
    exclude_lists = models.ManyToManyField(
        ManualList, blank=True, related_name="excluded_from", help_text="Nobody on these gets it."
    )
    utm_source = models.CharField(
        "UTM source",
        max_length=100,
        blank=True,
        default="",
        db_default="",
        help_text="Added to the address that a link leads to, such as sms. Empty: nothing is added.",
    )
    utm_medium = models.CharField(
        "UTM medium", max_length=100, blank=True, default="", db_default=""
    )
    utm_campaign = models.CharField(
        "UTM campaign", max_length=100, blank=True, default="", db_default=""
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    launched_at = models.DateTimeField(null=True, editable=False)
    resumed_at = models.DateTimeField(null=True, editable=False)

    tenant_path = "brand__workspace"
    brand_path = "brand"
    objects = TenantManager()

    def __str__(self) -> str:
        return self.name


class Message(models.Model):
    """One text variant of a campaign, in Liquid."""

    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE, related_name="messages")
    name = models.CharField(max_length=60, blank=True)
    body = models.TextField(
        max_length=2000,
        help_text="May use {{ brand }}, and with a fallback what a person may lack:"
        " {{ first_name | default: 'friend' }}, {{ last_name }}, {{ name }}.",
    )
    language = models.CharField(
        max_length=35,
        blank=True,
        default="",
        db_default="",
        validators=[valid_language],
        help_text="Such as en, es or fr-CA. Empty: the brand's own. Each person gets a message in"
        " her language where there is one.",
    )
    replace_look_alikes = models.BooleanField(
        "plain characters",
        null=True,
        blank=True,
        help_text="Curly quotes, dashes and the like become plain ones, so that more fits in a"
        " segment. Unknown: as the brand does.",
    )
    weight = models.PositiveSmallIntegerField(default=1, help_text="0: not used any more.")

    tenant_path = "campaign__brand__workspace"
    brand_path = "campaign__brand"
    objects = TenantManager()

    def __str__(self) -> str:
        return self.name or self.body[:40]


# A run that was or is being planned for more than a day: it was paused in the middle.
SLOWEST_PLANNING = dt.timedelta(hours=24)
SLOWLY_PLANNED = Q(planned_at__isnull=True) | Q(
    GreaterThan(F("planned_at") - F("started_at"), Value(SLOWEST_PLANNING))
)


class Run(models.Model):
    """One execution of a campaign. Written by `runs.py` alone.

    `started_at` has whole milliseconds: it is the time half of the id of every text of the run.
    """

    campaign = models.ForeignKey(Campaign, on_delete=models.PROTECT, related_name="runs")
    brand = models.ForeignKey(Brand, on_delete=models.PROTECT, related_name="runs")
    started_at = models.DateTimeField()
    cursor = models.BigIntegerField(default=0, help_text="The last subscriber that was planned.")
    audience = models.PositiveIntegerField(default=0)
    planned_at = models.DateTimeField(null=True, help_text="When the whole audience was planned.")
    finished_at = models.DateTimeField(null=True, help_text="When the last text left the queue.")
    winner = models.ForeignKey(
        Message,
        on_delete=models.PROTECT,
        null=True,
        related_name="+",
        help_text="What the rest of the audience gets, after the test. Empty: all messages.",
    )
    winner_because = models.CharField(
        max_length=250, blank=True, default="", db_default="", help_text="Why it was chosen."
    )

    tenant_path = "brand__workspace"
    brand_path = "brand"
    objects = TenantManager()

    class Meta:
        constraints = [
            # A broadcast runs once however often it is launched; a pool once per tick.
            models.UniqueConstraint(fields=["campaign", "started_at"], name="run_once"),
            models.UniqueConstraint(
                fields=["campaign"], condition=Q(winner__isnull=False), name="one_winner"
            ),
        ]
        indexes = [
            models.Index(
                fields=["campaign"], name="run_open", condition=Q(finished_at__isnull=True)
            ),
            # Those whose texts may be much younger than their ids: `sending/facts.py`.
            models.Index(fields=["brand", "planned_at"], name="run_slow", condition=SLOWLY_PLANNED),
        ]

    def __str__(self) -> str:
        return f"{self.campaign} {self.started_at:%Y-%m-%d %H:%M}"


# The caps look for texts by the time of their ids, and so far back that none is missed.
LONGEST_LIFETIME = dt.timedelta(hours=48)


@history.tracked()
class PlatformPolicy(models.Model):
    """Rules for the whole installation: one row."""

    id = models.SmallIntegerField(primary_key=True, default=1, editable=False)
    sending_enabled = models.BooleanField(default=True, help_text="Off: nothing is sent at all.")
    off_reason = models.CharField(
        max_length=200, blank=True, db_default="", help_text="Why sending is off, for the others."
    )
    daily_cap = models.PositiveIntegerField(
        default=1_000_000, help_text="Texts that the installation may send in a day (UTC)."
    )
    text_lifetime = models.DurationField(
        default=dt.timedelta(hours=24),
        help_text="How long a planned text may wait to be sent: 48 hours at most.",
    )
    late_start = models.DurationField(
        default=dt.timedelta(minutes=60),
        help_text="A campaign found later than this after its start waits for a person.",
    )

    class Meta:
        verbose_name_plural = "platform policy"
        constraints = [
            models.CheckConstraint(condition=Q(id=1), name="platform_policy_is_one"),
            models.CheckConstraint(
                condition=Q(text_lifetime__lte=LONGEST_LIFETIME),
                name="no_text_waits_longer_than_caps_look_back",
                violation_error_message="A text may wait 48 hours at most.",
            ),
        ]

    def __str__(self) -> str:
        return "Platform policy"


def _percent(default: int, what: str) -> models.DecimalField:
    """A share at which a campaign pauses by itself."""
    return models.DecimalField(
        max_digits=4,
        decimal_places=1,
        null=True,
        blank=True,
        default=default,
        db_default=default,
        validators=[MinValueValidator(0.1), MaxValueValidator(100)],
        help_text=f"A campaign pauses by itself at so many percent of {what}. Empty: never.",
    )


@history.tracked(tenant_path="brand__workspace", brand_path="brand", objects=TenantManager())
class BrandPolicy(TextRules):
    """Rules of one brand, at least as strict as the law's."""

    brand = models.OneToOneField(Brand, on_delete=models.CASCADE, related_name="policy")
    sending_enabled = models.BooleanField(default=True, help_text="Off: this brand sends nothing.")
    off_reason = models.CharField(
        max_length=200, blank=True, db_default="", help_text="Why sending is off, for the others."
    )
    daily_limit = models.PositiveSmallIntegerField(
        default=4, help_text="Texts that one person may get from this brand in a day."
    )
    engagement_days = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="Only people who engaged within so many days. Empty: all."
    )
    opens = models.TimeField(default=dt.time(9), help_text="In the time zone of each person.")
    closes = models.TimeField(default=dt.time(20), help_text="In the time zone of each person.")
    evergreen_gap = models.DurationField(
        default=dt.timedelta(days=2), help_text="Between two evergreen texts to one person."
    )
    pause_at_errors = _percent(20, "failed or unknown texts among those sent")
    pause_at_undelivered = _percent(30, "undelivered texts among those with a final receipt")
    pause_at_opt_outs = _percent(5, "people who opted out among those texted")
    pause_window = models.DurationField(
        default=dt.timedelta(hours=1),
        db_default=dt.timedelta(hours=1),
        validators=[
            MinValueValidator(dt.timedelta(minutes=1)),
            MaxValueValidator(dt.timedelta(hours=24)),
        ],
        help_text="The shares are of texts sent within this time, up to 24 hours.",
    )
    pause_sample = models.PositiveIntegerField(
        default=200,
        db_default=200,
        validators=[MinValueValidator(1)],
        help_text="Of fewer texts no share is taken.",
    )

    tenant_path = "brand__workspace"
    brand_path = "brand"
    objects = TenantManager()

    class Meta:
        verbose_name_plural = "brand policies"
        constraints = [
            models.CheckConstraint(
                condition=Q(opens__lt=F("closes")),
                name="brand_opens_before_it_closes",
                violation_error_message="The opening time must be before the closing time.",
            )
        ]

    def __str__(self) -> str:
        return f"Policy of {self.brand}"


class AutomaticPause(models.Model):
    """A campaign paused by itself. Only ever added to: the database refuses the rest."""

    class Cause(models.TextChoices):
        ERRORS = "errors", "Errors"
        UNDELIVERED = "undelivered", "Undelivered"
        OPT_OUTS = "opt_outs", "Opt-outs"

    campaign = models.ForeignKey(
        Campaign, on_delete=models.PROTECT, related_name="automatic_pauses"
    )
    cause = models.CharField(max_length=11, choices=Cause)
    bad = models.PositiveIntegerField(help_text="Texts that failed, were not delivered, and so on.")
    of = models.PositiveIntegerField(help_text="Texts that were counted.")
    limit = models.DecimalField(max_digits=4, decimal_places=1, help_text="In percent.")
    since = models.DateTimeField(help_text="Counted were texts sent from then on.")
    paused_at = models.DateTimeField(db_default=Now())

    tenant_path = "campaign__brand__workspace"
    brand_path = "campaign__brand"
    objects = TenantManager()

    class Meta:
        indexes = [models.Index(fields=["campaign", "-paused_at"], name="pause_of_campaign")]
        triggers = [
            pgtrigger.Protect(
                name="pause_append_only", operation=pgtrigger.Update | pgtrigger.Delete
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_cause_display()}: {self.bad} of {self.of}"


def valid_hours(text: str) -> None:
    """One row that nobody can read would stop all sending: it is refused when it is typed."""
    try:
        parse_span(text)
    except ValueError as error:
        raise ValidationError(str(error)) from None


def valid_holiday_hours(text: str) -> None:
    if text != "same":
        valid_hours(text)


@history.tracked()
class LegalWindow(models.Model):
    """The hours and caps that a jurisdiction sets, from a date on. Hours are HH:MM-HH:MM or none."""

    class CapScope(models.TextChoices):
        SUBJECT = "subject", "Per subject"
        BRAND = "brand", "Per brand"

    jurisdiction = models.CharField(max_length=20, help_text="Country, country-state or default.")
    weekdays = models.CharField(max_length=11, validators=[valid_hours])
    saturday = models.CharField(max_length=11, validators=[valid_hours])
    sunday = models.CharField(max_length=11, validators=[valid_hours])
    public_holidays = models.CharField(
        max_length=11,
        validators=[valid_holiday_hours],
        help_text="Hours, none, or same as the day.",
    )
    cap_per_24h = models.PositiveSmallIntegerField(null=True, blank=True)
    cap_scope = models.CharField(max_length=10, choices=CapScope, blank=True)
    effective_from = models.DateField()
    confidence = models.CharField(max_length=10)
    basis = models.CharField(max_length=300)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["jurisdiction", "effective_from"], name="legal_window_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.jurisdiction} from {self.effective_from}"


# Made by `history.tracked`: the trail of each table of rules.
BrandPolicyEvent = apps.get_model("campaigns", "BrandPolicyEvent", require_ready=False)
LegalWindowEvent = apps.get_model("campaigns", "LegalWindowEvent", require_ready=False)
PlatformPolicyEvent = apps.get_model("campaigns", "PlatformPolicyEvent", require_ready=False)
