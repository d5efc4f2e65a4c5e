"""Which text a short link stands in."""

from django.db import models

from campaigns import links
from campaigns.models import Link
from subscribers.models import Brand
from subscribers.tenancy import TenantManager


class ShortLink(models.Model):
    """A link of one text: who follows it is that text's person. Written by `short_links.py`.

    Without foreign keys in the database, like the log. A text that was planned again has the same.
    """

    code = models.CharField(primary_key=True, max_length=links.CODE_LENGTH)
    text_id = models.UUIDField(help_text="The text's id in the sent log.")
    link = models.ForeignKey(
        Link, on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="+"
    )
    brand = models.ForeignKey(Brand, on_delete=models.PROTECT, db_constraint=False, db_index=False)

    tenant_path = "brand__workspace"
    brand_path = "brand"
    objects = TenantManager()

    def __str__(self) -> str:
        return self.code
