"""What people bought, which texts led to it, and other events that a shop tells of."""

import datetime as dt
import secrets

from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from campaigns.models import Campaign, Message
from subscribers.models import Brand, Subscriber
from subscribers.secrets import EncryptedJSONField
from subscribers.tenancy import TenantManager

CLICK_WINDOW = dt.timedelta(days=5)
DELIVERY_WINDOW = dt.timedelta(hours=12)
LONGEST_WINDOW = dt.timedelta(days=30)
CURRENCY = "USD"
_WINDOW_RANGE = [MinValueValidator(dt.timedelta(0)), MaxValueValidator(LONGEST_WINDOW)]


class AttributionModel(models.TextChoices):
    """Which of the texts that touched a person before an order gets its revenue."""

    LAST_TOUCH = "last_touch", "The last text"
    FIRST_TOUCH = "first_touch", "The first text"
    LINEAR = "linear", "All of them, in equal shares"


class AttributionRules(models.Model):
    """A brand's currency, and how its purchases are credited to texts. Without a row: the defaults."""

    brand = models.OneToOneField(Brand, on_delete=models.CASCADE, related_name="attribution_rules")
    currency = models.CharField(
        max_length=3,
        default=CURRENCY,
        validators=[RegexValidator(r"^[A-Z]{3}$", "Use three capital letters, such as USD.")],
        help_text="Of all the brand's orders, such as USD. An event in another one is refused.",
    )
    click_window = models.DurationField(
        default=CLICK_WINDOW,
        validators=_WINDOW_RANGE,
        help_text="An order this long after a click counts for the text. 30 days at most.",
    )
    delivery_window = models.DurationField(
        default=DELIVERY_WINDOW,
        validators=_WINDOW_RANGE,
        help_text="An order this long after the delivery counts too, without a click.",
    )
    model = models.CharField(
        "who gets the revenue",
        max_length=11,
        choices=AttributionModel,
        default=AttributionModel.LAST_TOUCH,
    )

    tenant_path = "brand__workspace"
    brand_path = "brand"
    objects = TenantManager()

    class Meta:
        verbose_name_plural = "attribution rules"

    def __str__(self) -> str:
        return f"Attribution of {self.brand}"


def new_token() -> str:
    return secrets.token_urlsafe(24)


class Shop(models.Model):
    """A shop that tells of a brand's orders by signed webhook."""

    brand = models.ForeignKey(Brand, on_delete=models.PROTECT, related_name="shops")
    name = models.CharField(max_length=60)
    active = models.BooleanField(default=True, help_text="Off: its calls are refused.")
    token = models.CharField(max_length=40, unique=True, default=new_token, editable=False)
    credentials = EncryptedJSONField(default=dict, help_text="`secret`; encrypted.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    tenant_path = "brand__workspace"
    brand_path = "brand"
    objects = TenantManager()

    def __str__(self) -> str:
        return self.name


class Purchase(models.Model):
    """One order of a brand, once. Written by `purchases.py`; `due_at` also by `attribution.py`.

    `order_key` is a keyed hash of the order's id: an order that is told again after its person was
    erased is still known.
    """

    class MatchedBy(models.TextChoices):
        CLICK = "click", "Click"
        PHONE = "phone", "Phone"
        EMAIL = "email", "E-mail"
        KEYWORD = "keyword", "Keyword"
        NOTHING = "", "Nobody known"

    brand = models.ForeignKey(Brand, on_delete=models.PROTECT, related_name="purchases")
    order_key = models.BinaryField(max_length=32, editable=False)
    order_id = models.CharField(max_length=100, blank=True)
    subscriber = models.ForeignKey(
        Subscriber, on_delete=models.PROTECT, null=True, related_name="purchases"
    )
    matched_by = models.CharField(max_length=7, choices=MatchedBy, blank=True, default="")
    click_text_id = models.UUIDField(null=True, help_text="The text whose link led to the order.")
    keyword = models.CharField(max_length=100, blank=True, default="")
    ordered_at = models.DateTimeField(help_text="As the shop tells it.")
    amount = models.DecimalField(max_digits=14, decimal_places=2)
    refunded = models.DecimalField(
        max_digits=14, decimal_places=2, default=0, help_text="The sum of its refunds."
    )
    currency = models.CharField(max_length=3)
    # Of a buyer who is not known yet: kept for some days, in case they become a subscriber.
    phone = models.CharField(max_length=16, blank=True, default="")
    email = models.CharField(max_length=254, blank=True, default="")
    received_at = models.DateTimeField(db_default=Now())
    due_at = models.DateTimeField(
        null=True, db_default=Now(), help_text="When it is credited to texts again. Empty: settled."
    )

    tenant_path = "brand__workspace"
    brand_path = "brand"
    objects = TenantManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["brand", "order_key"], name="purchase_once"),
            models.CheckConstraint(
                condition=Q(refunded__gte=0) & Q(refunded__lte=F("amount")),
                name="refunds_are_never_above_the_order",
            ),
        ]
        indexes = [
            models.Index(fields=["brand", "ordered_at"], name="purchase_of_brand"),
            models.Index(fields=["brand", "received_at"], name="purchase_by_arrival"),
            models.Index(fields=["due_at"], name="purchase_due", condition=Q(due_at__isnull=False)),
            models.Index(
                fields=["received_at"],
                name="purchase_of_a_stranger",
                condition=Q(subscriber__isnull=True) & (~Q(phone="") | ~Q(email="")),
            ),
        ]

    def __str__(self) -> str:
        return f"Order {self.order_id or self.pk}"


class Refund(models.Model):
    """Money that went back, whole or in part, once."""

    purchase = models.ForeignKey(
        Purchase, on_delete=models.CASCADE, related_name="refunds", db_index=False
    )
    refund_key = models.BinaryField(max_length=32, editable=False)
    refund_id = models.CharField(max_length=100, blank=True)
    amount = models.DecimalField(max_digits=14, decimal_places=2)
    refunded_at = models.DateTimeField()
    received_at = models.DateTimeField(db_default=Now())

    tenant_path = "purchase__brand__workspace"
    brand_path = "purchase__brand"
    objects = TenantManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["purchase", "refund_key"], name="refund_once"),
            models.CheckConstraint(condition=Q(amount__gt=0), name="refund_is_positive"),
        ]
        indexes = [models.Index(fields=["received_at"], name="refund_by_arrival")]

    def __str__(self) -> str:
        return f"{self.amount} of {self.purchase}"


class CustomEvent(models.Model):
    """Anything else that a shop tells of, by a name of its own. Kept once, counted nowhere."""

    brand = models.ForeignKey(Brand, on_delete=models.PROTECT, related_name="custom_events")
    event_key = models.BinaryField(max_length=32, editable=False)
    event_id = models.CharField(max_length=100, blank=True)
    name = models.CharField(max_length=60)
    subscriber = models.ForeignKey(
        Subscriber, on_delete=models.PROTECT, null=True, related_name="custom_events"
    )
    matched_by = models.CharField(max_length=7, choices=Purchase.MatchedBy, blank=True, default="")
    happened_at = models.DateTimeField()
    properties = models.JSONField(default=dict)
    received_at = models.DateTimeField(db_default=Now())

    tenant_path = "brand__workspace"
    brand_path = "brand"
    objects = TenantManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["brand", "event_key"], name="custom_event_once")
        ]
        indexes = [models.Index(fields=["brand", "received_at"], name="custom_event_by_arrival")]

    def __str__(self) -> str:
        return self.name


class Attribution(models.Model):
    """A text's share of a purchase. Written by `attribution.py` alone, anew whenever it may change."""

    class Touch(models.TextChoices):
        CLICK = "click", "Click"
        DELIVERY = "delivery", "Delivery"
        KEYWORD = "keyword", "Keyword"

    purchase = models.ForeignKey(
        Purchase, on_delete=models.CASCADE, related_name="attributions", db_index=False
    )
    brand = models.ForeignKey(Brand, on_delete=models.PROTECT, db_index=False, related_name="+")
    text_id = models.UUIDField(null=True, help_text="The text's id in the sent log.")
    campaign = models.ForeignKey(
        Campaign, on_delete=models.PROTECT, null=True, db_constraint=False, related_name="+"
    )
    message = models.ForeignKey(
        Message,
        on_delete=models.PROTECT,
        null=True,
        db_constraint=False,
        db_index=False,
        related_name="+",
    )
    touch = models.CharField(max_length=8, choices=Touch)
    touched_at = models.DateTimeField(null=True)
    amount = models.DecimalField(
        max_digits=14, decimal_places=2, help_text="Its share of the order less its refunds."
    )

    tenant_path = "brand__workspace"
    brand_path = "brand"
    objects = TenantManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["purchase", "text_id"], name="attribution_once", nulls_distinct=False
            )
        ]

    def __str__(self) -> str:
        return f"{self.amount} of {self.purchase}"


class TouchedPerson(models.Model):
    """Somebody of whom something was just recorded, in the same transaction. Taken by `activity.py`.

    Only ever added to and taken away: a click never waits for another one of the same person.
    """

    subscriber = models.ForeignKey(
        Subscriber, on_delete=models.CASCADE, db_constraint=False, related_name="+"
    )

    tenant_path = "subscriber__workspace"
    objects = TenantManager()

    def __str__(self) -> str:
        return f"{self.subscriber_id}"


class CountedPerson(models.Model):
    """What `activity.py` counted of a person last: tells our totals from those of an integrator."""

    subscriber = models.OneToOneField(
        Subscriber,
        on_delete=models.CASCADE,
        primary_key=True,
        db_constraint=False,
        related_name="counted",
    )
    clicks = models.PositiveIntegerField()
    purchases = models.PositiveIntegerField()
    revenue = models.DecimalField(max_digits=16, decimal_places=2)

    tenant_path = "subscriber__workspace"
    objects = TenantManager()

    def __str__(self) -> str:
        return f"{self.subscriber_id}"
