"""How long a message is for a person with a long name, in words."""

from campaigns import content

SAMPLE = {
    "first_name": "Alexandra",
    "last_name": "Montgomery",
    "name": "Alexandra Montgomery",
}


def size(source: str, *, brand: str) -> str:
    """'GSM-7, 1 segment (121 of 160)', and which character makes it UCS-2; or what is wrong."""
    try:
        body = content.render(source, {**SAMPLE, "brand": brand})
    except content.BadContent as error:
        return str(error)
    measured = content.measure(body)
    room = _room(measured)
    culprit = _first_outside_gsm(body)
    because = f" because of {culprit}" if culprit else ""
    plural = "" if measured.segments == 1 else "s"
    return (
        f"{measured.encoding}{because}, {measured.segments} segment{plural}"
        f" ({measured.units} of {room})"
    )


def _room(measured: content.Size) -> int:
    alone, joined = (160, 153) if measured.encoding == "GSM-7" else (70, 67)
    return alone if measured.segments == 1 else joined * measured.segments


def _first_outside_gsm(body: str) -> str:
    alphabet = content.GSM_BASIC | content.GSM_EXTENSION
    return next((char for char in body if char not in alphabet), "")
