"""Segments and manual lists as rows. The filters themselves: `subscribers.segments`."""

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models.functions import Now

from subscribers.tenancy import TenantManager


class Segment(models.Model):
    """A saved filter over the subscribers of a workspace. `tree`: docs/segments.md."""

    workspace = models.ForeignKey("Workspace", on_delete=models.PROTECT, related_name="segments")
    brand = models.ForeignKey(
        "Brand",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="segments",
        help_text="Only for this brand's campaigns, and only its opted-in people are counted."
        " Empty: for all.",
    )
    name = models.CharField(max_length=100)
    tree = models.JSONField(help_text="The filter, in JSON.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)

    tenant_path = "workspace"
    objects = TenantManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["workspace", "name"],
                name="segment_name_once",
                violation_error_message="There is a segment of this name already.",
            )
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        if self.brand and self.brand.workspace_id != self.workspace_id:
            raise ValidationError({"brand": "This brand belongs to another workspace."})


class ManualList(models.Model):
    """People chosen by hand: staff, a panel, whoever is to be left out. `segments.lists` writes it."""

    workspace = models.ForeignKey(
        "Workspace", on_delete=models.PROTECT, related_name="manual_lists"
    )
    name = models.CharField(max_length=100)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    tenant_path = "workspace"
    objects = TenantManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["workspace", "name"],
                name="manual_list_name_once",
                violation_error_message="There is a list of this name already.",
            )
        ]

    def __str__(self) -> str:
        return self.name


class ManualListMember(models.Model):
    """One person on a list of the same workspace."""

    manual_list = models.ForeignKey(ManualList, on_delete=models.CASCADE, related_name="members")
    subscriber = models.ForeignKey("Subscriber", on_delete=models.CASCADE, related_name="on_lists")
    added_at = models.DateTimeField(db_default=Now(), editable=False)

    tenant_path = "manual_list__workspace"
    objects = TenantManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["manual_list", "subscriber"], name="manual_list_member_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.subscriber} on {self.manual_list}"
