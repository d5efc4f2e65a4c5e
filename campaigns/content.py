"""What a person reads: Liquid with a fixed set of fields, and how many segments it costs."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TextIO

from liquid import BoundTemplate, Environment, Node, RenderContext, StrictUndefined
from liquid.builtin.content import ContentNode
from liquid.builtin.expressions.filtered import FilteredExpression
from liquid.builtin.expressions.path import Path
from liquid.builtin.expressions.primitive import IntegerLiteral, RangeLiteral, StringLiteral
from liquid.builtin.output import Output, OutputNode
from liquid.exceptions import LiquidError
from liquid.expression import Expression

# 3GPP TS 23.038, default alphabet and its extension table (each of the latter takes two septets).
GSM_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
GSM_EXTENSION = frozenset("\f^{}\\[~]|€")
GSM = GSM_BASIC | GSM_EXTENSION
LONGEST_BODY = 1600  # characters: the strictest provider's limit (Twilio)
LONGEST_SOURCE = 4 * LONGEST_BODY
LONGEST_LOOP = 100
LONGEST_FIELD = 200  # characters: as a person's `name` may have
FIELDS = ("first_name", "last_name", "name", "brand")
OPTIONAL = ("first_name", "last_name", "name")  # what a person may lack
# Somebody with a long name: what a message looks like at its longest, nearly.
SAMPLE = {
    "first_name": "Alexandra",
    "last_name": "Montgomery",
    "name": "Alexandra Montgomery",
}
FILTERS = (
    *("append", "capitalize", "default", "downcase", "first", "last", "lstrip", "prepend"),
    *("remove", "rstrip", "size", "slice", "split", "squish", "strip", "strip_newlines"),
    *("truncate", "truncatewords", "upcase"),
)
TAGS = ("assign", "break", "capture", "case", "comment", "continue", "for", "if", "unless", "#")
_PARTS = ("content", "illegal", "output")  # what is between the tags
UNSENDABLE = "The message holds a character that no text can carry."


class BadContent(Exception):
    """A message that cannot be written; the text says what to mend.

    `position`: where in the source, as far as it is known.
    """

    def __init__(self, sentence: str, *, position: int | None = None) -> None:
        super().__init__(sentence)
        self.position = position


class NoFallback(BadContent):
    """An output of the message writes nothing for somebody who lacks a field."""


class _WroteNothing(LiquidError):
    """An output came out empty."""


@dataclass(frozen=True, slots=True)
class Size:
    """How a body travels. `units`: septets (GSM-7) or 16-bit units (UCS-2)."""

    encoding: str  # "GSM-7" or "UCS-2"
    units: int
    segments: int


def measure(body: str) -> Size:
    """Segments of a body: 160 septets, or 153 each when joined; 70 and 67 units in UCS-2."""
    if GSM_BASIC.issuperset(body):
        return Size("GSM-7", len(body), 1 if len(body) <= 160 else _joined_gsm(body))
    if GSM.issuperset(body):
        units = len(body) + sum(char in GSM_EXTENSION for char in body)
        return Size("GSM-7", units, 1 if units <= 160 else _joined_gsm(body))
    units = len(body.encode("utf-16-be")) // 2
    return Size("UCS-2", units, 1 if units <= 70 else _joined_ucs2(body))


def _joined_gsm(body: str) -> int:
    """Parts of 153 septets; an extension character is never split between two."""
    parts, used = 1, 0
    for char in body:
        width = 2 if char in GSM_EXTENSION else 1
        if used + width > 153:
            parts, used = parts + 1, 0
        used += width
    return parts


def _joined_ucs2(body: str) -> int:
    """Parts of 67 units; a surrogate pair is never split between two."""
    parts, used = 1, 0
    for char in body:
        width = 2 if ord(char) > 0xFFFF else 1
        if used + width > 67:
            parts, used = parts + 1, 0
        used += width
    return parts


class _SpeakingNode(OutputNode):
    """`{{ ... }}` that always writes something: 'Hi ,' is never sent to who has no name."""

    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        written = super().render_to_output(context, buffer)
        if not written:
            raise _WroteNothing(str(self), token=self.token)
        return written


class _SpeakingOutput(Output):
    node_class = _SpeakingNode


class _Limited(Environment):
    """Liquid that a marketer's mistake cannot turn into a runaway.

    Only tags and filters that text needs: none reads a file or a clock, none multiplies its input
    (a chain of five `replace` makes a gigabyte), none raises anything but LiquidError.
    """

    context_depth_limit = 10  # four are taken before the first loop
    loop_iteration_limit = LONGEST_LOOP
    output_stream_limit = 4 * LONGEST_BODY
    local_namespace_limit = 10_000

    def setup_tags_and_filters(self, *, extra: bool = False) -> None:
        super().setup_tags_and_filters(extra=extra)
        self.add_tag(_SpeakingOutput)
        self.tags = {name: self.tags[name] for name in (*_PARTS, *TAGS)}
        self.filters = {name: self.filters[name] for name in FILTERS}


_environment = _Limited(undefined=StrictUndefined)


@lru_cache(maxsize=1024)
def compiled(source: str) -> BoundTemplate:
    """A message's template. Raises BadContent with the line and what is wrong."""
    if len(source) > LONGEST_SOURCE:
        raise BadContent(f"The message is written with more than {LONGEST_SOURCE} characters.")
    try:
        template = _environment.from_string(source)
        _refuse_unknown_names(template)
        _refuse_long_ranges(template)
    except LiquidError as error:
        sentence = f"The message cannot be read: {_what(error)}."
        raise BadContent(sentence, position=_where(error)) from None
    except RecursionError:
        raise BadContent("The message cannot be read: it is nested too deeply.") from None
    return template


def _refuse_unknown_names(template: BoundTemplate) -> None:
    """Also in branches that few people's texts take: nobody's should fail on the day."""
    used = template.analyze(include_partials=False)
    for name in used.globals:
        if name not in FIELDS:
            raise BadContent(f"The message mentions {name!r}, but may use {', '.join(FIELDS)}.")
    for name in used.filters:
        if name not in FILTERS:
            raise BadContent(f"The message uses an unknown filter: {name!r}.")


def _refuse_long_ranges(template: BoundTemplate) -> None:
    """`(1..300000000)` takes gigabytes as soon as something looks into it."""
    for expression in _expressions(template):
        if isinstance(expression, RangeLiteral) and not _is_short(expression):
            raise BadContent(f"The message counts with something else than 1 to {LONGEST_LOOP}.")


def _is_short(counted: RangeLiteral) -> bool:
    return all(
        isinstance(end, IntegerLiteral) and 0 <= end.value <= LONGEST_LOOP
        for end in (counted.start, counted.stop)
    )


def _expressions(template: BoundTemplate) -> Iterator[Expression]:
    context = RenderContext(template)
    nodes: list[Node] = list(template.nodes)
    while nodes:
        node = nodes.pop()
        nodes.extend(node.children(context, include_partials=False))
        expressions = list(node.expressions())
        while expressions:
            expression = expressions.pop()
            expressions.extend(expression.children())
            yield expression


def _what(error: LiquidError) -> str:
    """One line; Liquid's own words draw a picture of the source, and can fail at its end."""
    words = " ".join(str(error.message).split())[:200].rstrip(".")
    position = _where(error)
    if position is None or error.token is None:
        return words
    return f"{words} (line {error.token.source.count(chr(10), 0, position) + 1})"


def _where(error: LiquidError) -> int | None:
    """Where in the source."""
    token = error.token
    return None if token is None or token.start_index < 0 else token.start_index


def render(source: str, fields: Mapping[str, str]) -> str:
    """The body for one person. `fields`: FIELDS. Raises BadContent; never answers an empty body,
    nor one in which a field is silently missing (NoFallback)."""
    known = {name: value.strip() for name, value in fields.items()}
    plain = _filled(source, known)
    if plain is not None:
        return plain
    try:
        body = compiled(source).render(**known).strip()
    except _WroteNothing as error:
        raise NoFallback(
            f"The message says nothing where it says {_what(error)}: give a fallback,"
            " such as {{ first_name | default: 'friend' }}.",
            position=_where(error),
        ) from None
    except LiquidError as error:
        sentence = f"The message cannot be written: {_what(error)}."
        raise BadContent(sentence, position=_where(error)) from None
    except RecursionError:
        raise BadContent("The message cannot be written: it is nested too deeply.") from None
    except UnicodeEncodeError:  # half of a surrogate pair
        raise BadContent(UNSENDABLE) from None
    if "\x00" in body:
        raise BadContent(UNSENDABLE)
    if not any(char.isprintable() and not char.isspace() for char in body):
        raise BadContent("The message is empty for this person.")
    if len(body) > LONGEST_BODY:
        raise BadContent(f"The message is longer than {LONGEST_BODY} characters for this person.")
    return body


def _filled(source: str, known: Mapping[str, str]) -> str | None:
    """The body of a message that only names fields; None where Liquid must say it, or what is wrong.

    As Liquid would write it, in a twentieth of the time: most messages do nothing else.
    """
    pieces = _pieces(source)
    if pieces is None:
        return None
    written = []
    for name, fallback in pieces:
        word = (known.get(name, "") or fallback) if name else fallback
        if not word:
            return None
        written.append(word)
    body = "".join(written).strip()
    fits = len(body) <= LONGEST_BODY and "\x00" not in body and "\r" not in body
    if not fits or not any(char.isprintable() and not char.isspace() for char in body):
        return None
    # Liquid limits what it writes in bytes, and half of a surrogate pair has none.
    return body if body.isascii() or body.encode(errors="ignore").decode() == body else None


@lru_cache(maxsize=1024)
def _pieces(source: str) -> tuple[tuple[str, str], ...] | None:
    """A message as fields with their fallbacks and, where the field is '', words between them.

    None where it does something else. Raises BadContent.
    """
    found = []
    for node in compiled(source).nodes:
        if isinstance(node, ContentNode):
            piece = None if node.text.endswith("\r") else ("", node.text.replace("\r\n", "\n"))
        else:
            piece = _field(node)
        if piece is None:
            return None
        found.append(piece)
    return tuple(found)


def _field(node: Node) -> tuple[str, str] | None:
    """`{{ name }}` or `{{ name | default: "words" }}`: the name and the words."""
    expression = node.expression if isinstance(node, OutputNode) else None
    if type(expression) is not FilteredExpression or not isinstance(expression.left, Path):
        return None
    path, filters = expression.left.path, expression.filters or []
    if len(path) != 1 or not isinstance(path[0], str) or len(filters) > 1:
        return None
    if not filters:
        return path[0], ""
    values = [argument.value for argument in filters[0].args]
    if filters[0].name != "default" or len(values) != 1:
        return None
    return (path[0], values[0].value) if isinstance(values[0], StringLiteral) else None


@lru_cache(maxsize=1024)
def names_used(source: str) -> tuple[str, ...]:
    """The FIELDS that a message mentions. Raises BadContent."""
    return tuple(sorted(compiled(source).analyze(include_partials=False).globals))


def people(source: str, *, name: str = "x") -> Iterator[dict[str, str]]:
    """Everybody that a message may meet: each of the fields it mentions there or missing.

    The first lacks nothing. Without the brand's name. Raises BadContent.
    """
    mentioned = [field for field in OPTIONAL if field in names_used(source)]
    for values in itertools.product((name, ""), repeat=len(mentioned)):
        yield dict.fromkeys(OPTIONAL, name) | dict(zip(mentioned, values, strict=True))


def check(source: str) -> None:
    """Refuse a message that somebody could not get: without a name, or with the longest one.

    Raises BadContent.
    """
    for name in ("x", "x" * LONGEST_FIELD):
        for fields in people(source, name=name):
            render(source, fields | {"brand": name})
