"""Where the links of messages lead."""

from django.db import models

from campaigns import links
from subscribers.tenancy import TenantManager


class Link(models.Model):
    """Where a link of a message leads: short links refer to it. Written by `destinations.py`."""

    message = models.ForeignKey("campaigns.Message", on_delete=models.CASCADE, related_name="links")
    url = models.CharField(max_length=links.LONGEST_URL, help_text="As the message says it.")
    destination = models.TextField(help_text="With the campaign's UTM parameters.")
    position = models.PositiveSmallIntegerField(help_text="Of the message's links, from 1.")

    tenant_path = "message__campaign__brand__workspace"
    brand_path = "message__campaign__brand"
    objects = TenantManager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["message", "url"], name="link_once")]

    def __str__(self) -> str:
        return self.url[:80]
