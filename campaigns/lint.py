"""What is wrong with a campaign's messages, before anybody reads them.

A finding that blocks refuses the launch (`check_launch`, one of LAUNCH_CHECKS); the others are
advice. Everything is looked for in what people would read: with each field there and missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from campaigns import content, lifecycle, links, look_alikes, policy, wording
from campaigns.content import BadContent, NoFallback
from campaigns.models import BrandPolicy, Campaign, Message
from campaigns.wording import Style, TooLong
from subscribers.models import Brand

MOST_NAMED = 5  # characters outside of GSM-7 that one sentence names


class Code(StrEnum):
    """What is wrong. Stable: the API answers it."""

    UNREADABLE = "unreadable"
    NO_FALLBACK = "no_fallback"
    NO_BRAND_NAME = "no_brand_name"
    NO_OPT_OUT = "no_opt_out"
    TOO_LONG = "too_long"
    PUBLIC_SHORTENER = "public_shortener"
    FOREIGN_LINK = "foreign_link"
    INSECURE_LINK = "insecure_link"
    LINK_WITH_FIELD = "link_with_field"
    UCS2 = "ucs2"
    BARE_LINK = "bare_link"


ADVICE = frozenset({Code.UCS2, Code.BARE_LINK})


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to mend in a message (its primary key; None where it is not saved yet)."""

    code: Code
    sentence: str
    message: int | None = None
    position: int | None = None  # in the message's source, where it can be told

    @property
    def blocks(self) -> bool:
        """Whether it refuses the launch."""
        return self.code not in ADVICE


def of_campaign(campaign: Campaign) -> list[Finding]:
    """What is wrong with the messages that are in use, in their order."""
    own = policy.of_brand(campaign.brand)
    used = campaign.messages.filter(weight__gt=0).order_by("pk")
    return [finding for message in used for finding in _of_message(message, campaign.brand, own)]


def of_message(message: Message) -> list[Finding]:
    """What is wrong with one message."""
    brand = message.campaign.brand
    return _of_message(message, brand, policy.of_brand(brand))


def _of_message(message: Message, brand: Brand, own: BrandPolicy) -> list[Finding]:
    return of_source(
        message.body,
        brand=brand.name,
        own=own,
        style=wording.style_of(own, message),
        message=message.pk,
    )


def check_launch(campaign: Campaign) -> None:
    """Refuse to launch a campaign with a message that must be mended first.

    Raises lifecycle.NotAllowed with every reason.
    """
    names = {
        message.pk: message.name or f"no. {number}"
        for number, message in enumerate(campaign.messages.order_by("pk"), 1)
    }
    told = [
        f"Message {names[finding.message]}: {finding.sentence}"
        if len(names) > 1 and finding.message in names
        else finding.sentence
        for finding in of_campaign(campaign)
        if finding.blocks
    ]
    if told:
        raise lifecycle.NotAllowed(" ".join(told))


def of_source(
    source: str, *, brand: str, own: BrandPolicy, style: Style, message: int | None = None
) -> list[Finding]:
    """What is wrong with one message of a brand, each thing once."""
    try:
        content.check(source)
    except NoFallback:
        return [
            Finding(Code.NO_FALLBACK, str(error), message, error.position)
            for error in _without_fallback(source)
        ]
    except BadContent as error:
        return [Finding(Code.UNREADABLE, str(error), message, error.position)]
    bodies = [content.render(source, {**who, "brand": brand}) for who in content.people(source)]
    found = [
        *_missing(bodies, brand, style),
        *_length(source, brand, style),
        *_links(source, bodies, own),
    ]
    return [Finding(code, sentence, message, position) for code, sentence, position in found]


def _without_fallback(source: str) -> list[BadContent]:
    """One error for each output that somebody would find empty."""
    errors: dict[int | None, BadContent] = {}
    for who in content.people(source):
        try:
            content.render(source, {**who, "brand": "x"})
        except BadContent as error:
            errors.setdefault(error.position, error)
    return sorted(errors.values(), key=lambda error: error.position or 0)


type _Found = tuple[Code, str, int | None]


def _missing(bodies: Sequence[str], brand: str, style: Style) -> Iterator[_Found]:
    if not style.add_brand_name and not all(wording.mentions(body, brand) for body in bodies):
        yield Code.NO_BRAND_NAME, f"Say who is writing: mention {brand}, or {{{{ brand }}}}.", None
    if not style.opt_out_line and not all(map(wording.says_how_to_opt_out, bodies)):
        yield Code.NO_OPT_OUT, "Say how to opt out, such as: Reply STOP to opt out.", None


def _length(source: str, brand: str, style: Style) -> Iterator[_Found]:
    """For a person with a long name; who has a longer one is passed over when it is too long."""
    try:
        written = wording.write(source, {**content.SAMPLE, "brand": brand}, style)
    except TooLong as error:
        yield Code.TOO_LONG, str(error), None
        return
    outside = look_alikes.outside_gsm(written.sample())
    if outside:
        char = next(iter(outside))
        position = source.find(char)
        yield Code.UCS2, _forces_ucs2(written.sample()), position if position >= 0 else None


def _forces_ucs2(body: str) -> str:
    saved = look_alikes.replace(body)
    hint = ""
    if saved != body:
        segments = content.measure(saved).segments
        hint = f" Plain characters would make it {segments} segment{'s' * (segments > 1)}."
    return (
        "Only 70 characters fit in a segment, not 160, because of"
        f" {named(look_alikes.outside_gsm(body).items())}.{hint}"
    )


def named(outside: Iterable[tuple[str, int]]) -> str:
    """'\u2019 (right single quotation mark) twice, ...': characters with how often they occur."""
    all_of = list(outside)
    times = {1: "once", 2: "twice"}
    told = [
        f"{look_alikes.name(char)} {times.get(count, f'{count} times')}"
        for char, count in all_of[:MOST_NAMED]
    ]
    rest = len(all_of) - MOST_NAMED
    return ", ".join([*told, *([f"and {rest} more characters"] if rest > 0 else [])])


def _links(source: str, bodies: Sequence[str], own: BrandPolicy) -> Iterator[_Found]:
    """Links as people would read them; what a field makes of one is nobody's to check."""
    written = links.literal(source)
    seen: set[str] = set()
    for body in bodies:
        for found in links.find(body):
            if found.url in seen:
                continue
            seen.add(found.url)
            yield from _link(source, found.url, written, own)
        for found in links.find_bare(body):
            if found.url not in seen:
                seen.add(found.url)
                yield from _bare_link(source, found.url, own)


def _link(source: str, url: str, written: frozenset[str], own: BrandPolicy) -> Iterator[_Found]:
    position = source.find(url) if url in written else None
    host = links.host_of(url)
    if url not in written:
        sentence = f"The link {url} is made of a field: write the whole link into the message."
        yield Code.LINK_WITH_FIELD, sentence, None
    elif len(url) > links.LONGEST_URL:
        yield Code.FOREIGN_LINK, f"A link is longer than {links.LONGEST_URL} characters.", position
    elif links.is_shortener(host):
        yield Code.PUBLIC_SHORTENER, _shortener(host), position
    elif not links.is_allowed(host, own.link_domains):
        yield Code.FOREIGN_LINK, _foreign(host, own), position
    elif not url.lower().startswith("https://"):
        yield Code.INSECURE_LINK, f"The link {url} must begin with https://.", position


def _bare_link(source: str, url: str, own: BrandPolicy) -> Iterator[_Found]:
    at = source.find(url)
    position = at if at >= 0 else None
    host = links.host_of(url)
    if links.is_shortener(host):
        yield Code.PUBLIC_SHORTENER, _shortener(host), position
    elif not links.is_allowed(host, own.link_domains):
        yield Code.FOREIGN_LINK, _foreign(host, own), position
    else:
        yield Code.BARE_LINK, f"Write https://{url}, so that its clicks are counted.", position


def _shortener(host: str) -> str:
    return f"Carriers block links of public shorteners such as {host}: write the whole link."


def _foreign(host: str, own: BrandPolicy) -> str:
    if not host:
        return "A link names no host."
    return f"Links of this brand may lead to {', '.join(own.link_domains)}, not to {host}."
