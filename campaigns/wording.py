"""From a message to a body: the person's fields, then what the brand adds, then its length.

Pure and remembered: of 100,000 people few read different words. Short links differ for each text,
so they are left open here (`Written.body` fills them in); their length is known.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from django.conf import settings
from django.core.exceptions import ValidationError

from campaigns import content, links, look_alikes
from campaigns.content import BadContent
from subscribers import keywords

if TYPE_CHECKING:
    from campaigns.models import BrandPolicy, Message


class TooLong(BadContent):
    """More segments than the brand allows."""


@dataclass(frozen=True, slots=True)
class Style:
    """How a brand finishes a message."""

    add_brand_name: bool = False
    opt_out_line: str = ""  # added where a body does not say how to opt out; '': never
    replace_look_alikes: bool = False
    most_segments: int = 10
    link_prefix: str = ""  # what short links begin with; '': links stay as they are


@dataclass(frozen=True, slots=True)
class Written:
    """A body, open where its short links will stand: one between each two of `parts`."""

    parts: tuple[str, ...]
    urls: tuple[str, ...]  # where they lead, as the message says it
    link_prefix: str
    size: content.Size

    def body(self, codes: Sequence[str]) -> str:
        """The body with a code for each link."""
        if not self.urls:
            return self.parts[0]
        return links.fill(self.parts, [self.link_prefix + code for code in codes])

    def sample(self) -> str:
        """The body with codes that lead nowhere: as long as any."""
        return self.body(["x" * links.CODE_LENGTH] * len(self.urls))


def style_of(own: BrandPolicy, message: Message | None = None) -> Style:
    """The brand's style, for one message."""
    replace = own.replace_look_alikes
    if message is not None and message.replace_look_alikes is not None:
        replace = message.replace_look_alikes
    return Style(
        add_brand_name=own.add_brand_name,
        opt_out_line=own.opt_out_line if own.add_opt_out_line else "",
        replace_look_alikes=replace,
        most_segments=own.most_segments,
        link_prefix=_link_prefix(own) if own.shorten_links else "",
    )


def _link_prefix(own: BrandPolicy) -> str:
    return f"https://{own.link_domain}/" if own.link_domain else f"{settings.PUBLIC_URL}/l/"


def write(source: str, fields: Mapping[str, str], style: Style) -> Written:
    """The body for one person. `fields`: content.FIELDS. Raises BadContent; TooLong among others."""
    return hand(source, style).write(fields)


@lru_cache(maxsize=1024)
def hand(source: str, style: Style) -> Hand:
    """Who writes a message in a style. Raises BadContent."""
    names = content.names_used(source)
    return Hand(source, style, (*names, "brand") if style.add_brand_name else names)


@dataclass(frozen=True, slots=True, eq=False)
class Hand:
    """A message in a brand's style. Compared by identity, so that remembering is cheap."""

    source: str
    style: Style
    names: tuple[str, ...]  # of the fields that its words depend on

    def write(self, fields: Mapping[str, str]) -> Written:
        """The body for one person. `fields`: content.FIELDS. Raises BadContent; TooLong among others."""
        return _written(self, tuple(map(fields.__getitem__, self.names)))


@lru_cache(maxsize=50_000)
def _written(of: Hand, values: tuple[str, ...]) -> Written:
    style = of.style
    fields = dict(zip(of.names, values, strict=True))
    body = content.render(of.source, fields)
    parts, urls = links.cut(body, links.tracked(of.source) if style.link_prefix else ())
    if style.replace_look_alikes:
        parts = look_alikes.replace_in(parts)
    if style.add_brand_name and fields["brand"] and not mentions(body, fields["brand"]):
        parts[0] = f"{fields['brand']}: {parts[0]}"
    if style.opt_out_line and not says_how_to_opt_out(body):
        parts[-1] = f"{parts[-1]}\n{style.opt_out_line}"
    sample = links.fill(parts, [style.link_prefix + "x" * links.CODE_LENGTH] * len(urls))
    size = content.measure(sample)
    _refuse_too_long(sample, size, style)
    return Written(tuple(parts), tuple(urls), style.link_prefix, size)


def _refuse_too_long(body: str, size: content.Size, style: Style) -> None:
    if size.segments > style.most_segments or len(body) > content.LONGEST_BODY:
        raise TooLong(
            f"The message takes {size.segments} segments; the brand allows {style.most_segments}."
        )


def mentions(body: str, brand: str) -> bool:
    """Whether a body names the brand, whatever the case, accents and punctuation."""
    return f" {keywords.normalise(brand)} " in f" {keywords.normalise(body)} "


def says_how_to_opt_out(body: str) -> bool:
    """Whether a body tells the reader which word ends it ('Reply STOP to opt out', 'STOP=end').

    The word must be one that is obeyed (keywords.csv); 'one stop for tea' says nothing.
    """
    plain = unicodedata.normalize("NFKD", body)
    plain = "".join(char for char in plain if not unicodedata.combining(char))
    return any(pattern.search(plain) for pattern in _opt_out_patterns())


@cache
def _opt_out_patterns() -> tuple[re.Pattern[str], ...]:
    phrases = keywords.phrases(keywords.Meaning.OPT_OUT)
    any_of = "|".join(r"[\s-]".join(map(re.escape, phrase.split())) for phrase in phrases)
    verb = "reply|text|txt|send|respond|answer|responda|responde|envie|envia|envoyez|repondez|texto"
    filler = r"(?:(?:back|with|the|word|keyword|us|la|palabra|avec|con|por)\W+){0,3}"
    end = r"(?:opt|end|unsub|quit|cancel|stop|leave|be\b|get\b|salir|darse|no\b|vous|se\b|ne\b)"
    return (
        re.compile(rf"\b(?:{verb})\W+{filler}(?:{any_of})(?![a-z])", re.IGNORECASE),
        re.compile(
            rf"(?<![\w-])(?:STOP(?:ALL)?|UNSUBSCRIBE|ARRET)\s*(?:[=:]|(?:to|TO|2|para|pour)\s*{end})"
        ),
        re.compile(r"\bopt[\s-]?out\W{1,3}(?:STOP|UNSUBSCRIBE)\b", re.IGNORECASE),
    )


def valid_opt_out_line(line: str) -> None:
    """A validator: it says how to opt out, and holds no Liquid."""
    if not says_how_to_opt_out(line):
        raise ValidationError("Say how to opt out, such as: Reply STOP to opt out.")
    if "{" in line or "\n" in line:
        raise ValidationError("Use one line without braces.")
