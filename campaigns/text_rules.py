"""What a brand wants of its texts' words and links: fields of its policy."""

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from campaigns import links
from campaigns.languages import valid_language
from campaigns.wording import valid_opt_out_line


def valid_domain(text: str) -> None:
    if not links.is_host(text):
        raise ValidationError("Use a domain in lower case, such as shop.example.com.")


class TextRules(models.Model):
    """The part of a brand's policy by which its messages are written and checked."""

    default_language = models.CharField(
        max_length=35,
        default="en",
        db_default="en",
        validators=[valid_language],
        help_text="Of messages that name none, and for people whose language is not known.",
    )
    add_brand_name = models.BooleanField(
        default=False,
        db_default=False,
        help_text="Begin a text with the brand's name where it lacks it. Off: such a campaign"
        " cannot be launched.",
    )
    add_opt_out_line = models.BooleanField(
        default=False,
        db_default=False,
        help_text="End a text with the opt-out line where it does not say how to opt out. Off:"
        " such a campaign cannot be launched.",
    )
    opt_out_line = models.CharField(
        max_length=100,
        default="Reply STOP to opt out.",
        db_default="Reply STOP to opt out.",
        validators=[valid_opt_out_line],
    )
    replace_look_alikes = models.BooleanField(
        "plain characters",
        default=False,
        db_default=False,
        help_text="Curly quotes, dashes and the like become plain ones where that makes a text"
        " shorter.",
    )
    most_segments = models.PositiveSmallIntegerField(
        default=4,
        db_default=4,
        validators=[MinValueValidator(1), MaxValueValidator(10)],
        help_text="A longer text is not sent.",
    )
    link_domains = ArrayField(
        models.CharField(max_length=253, validators=[valid_domain]),
        default=list,
        db_default=[],
        blank=True,
        help_text="Links may lead to these domains and what is below them. Empty: anywhere.",
    )
    shorten_links = models.BooleanField(
        default=True, db_default=True, help_text="Replace links by short ones that count clicks."
    )
    link_domain = models.CharField(
        max_length=253,
        blank=True,
        default="",
        db_default="",
        validators=[valid_domain],
        help_text="Where short links live, such as go.example.com; it must lead to this"
        " installation and be one of its ALLOWED_HOSTS. Empty: the installation's own address.",
    )

    class Meta:
        abstract = True
