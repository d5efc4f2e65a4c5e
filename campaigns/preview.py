"""What a message is for a person with a long name, and how long, in words."""

from campaigns import content, lint, look_alikes, policy, wording
from campaigns.models import Message


def body(message: Message) -> str:
    """What that person would read; or what is wrong."""
    try:
        return _written(message).sample()
    except content.BadContent as error:
        return str(error)


def size(message: Message) -> str:
    """'GSM-7, 1 segment (121 of 160)', and which characters make it UCS-2; or what is wrong."""
    try:
        written = _written(message)
    except content.BadContent as error:
        return str(error)
    measured = written.size
    outside = look_alikes.outside_gsm(written.sample())
    because = f" because of {lint.named(outside.items())}" if outside else ""
    plural = "" if measured.segments == 1 else "s"
    return (
        f"{measured.encoding}{because}, {measured.segments} segment{plural}"
        f" ({measured.units} of {_room(measured)})"
    )


def _written(message: Message) -> wording.Written:
    brand = message.campaign.brand
    style = wording.style_of(policy.of_brand(brand), message)
    return wording.write(message.body, {**content.SAMPLE, "brand": brand.name}, style)


def _room(measured: content.Size) -> int:
    alone, joined = (160, 153) if measured.encoding == "GSM-7" else (70, 67)
    return alone if measured.segments == 1 else joined * measured.segments
