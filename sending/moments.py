"""Moments that an operator names on the command line."""

import datetime as dt


def aware(text: str) -> dt.datetime:
    """An ISO 8601 moment with its time zone, e.g. 2026-11-22T09:30:00Z.

    Raises ValueError with a sentence for anything else: a guessed zone is hours off.
    """
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is no moment; write it like 2026-11-22T09:30:00Z.") from None
    if moment.tzinfo is None:
        raise ValueError(f"{text} has no time zone; write it like 2026-11-22T09:30:00Z.")
    return moment
