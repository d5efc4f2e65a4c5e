"""Which of a campaign's messages a person can read. Languages are BCP 47 tags ('es', 'fr-CA')."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from django.core.exceptions import ValidationError

if TYPE_CHECKING:
    from campaigns.models import Message

# RFC 5646 without private use: language, then script, region and variants.
_TAG = re.compile(r"[a-z]{2,3}(-[a-z]{4})?(-([a-z]{2}|[0-9]{3}))?(-[a-z0-9]{5,8})*", re.IGNORECASE)


def normalise(tag: str) -> str:
    """A tag in the usual spelling ('es', 'fr-CA', 'zh-Hant-TW'), '' for what is none."""
    tag = tag.strip().replace("_", "-")
    if not _TAG.fullmatch(tag):
        return ""
    first, *rest = tag.split("-")
    return "-".join([first.lower(), *map(_subtag, rest)])


def _subtag(part: str) -> str:
    return part.title() if len(part) == 4 else part.upper() if len(part) < 4 else part.lower()


def valid_language(tag: str) -> None:
    """A validator: a tag that can be read, in the usual spelling."""
    if normalise(tag) != tag:
        raise ValidationError("Use a language tag such as en, es or fr-CA.")


def readable(messages: Sequence[Message], wanted: str, default: str) -> Sequence[Message]:
    """The messages in a person's language, else in the brand's default one, else all of them.

    A message without a language is in the default one. By RFC 4647, section 3.4: es-MX takes es
    where there is no es-MX; and es-US rather than nothing, as it is the same language.
    """
    if len({message.language for message in messages}) <= 1:
        return messages
    spoken = [message.language or default for message in messages]
    for tag in (normalise(wanted), default):
        found = _lookup(tag, spoken)
        if found:
            return [one for one, of_it in zip(messages, spoken, strict=True) if of_it in found]
    return messages


def _lookup(tag: str, spoken: Sequence[str]) -> set[str]:
    """Those of the spoken tags that stand for a wanted one: '' is wanted by nobody."""
    parts = tag.split("-") if tag else []
    for length in range(len(parts), 0, -1):
        shorter = "-".join(parts[:length])
        if shorter in spoken:
            return {shorter}
    return {one for one in spoken if parts and one.split("-")[0] == parts[0]}
