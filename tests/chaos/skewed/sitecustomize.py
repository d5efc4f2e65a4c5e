"""On a process's PYTHONPATH it puts that process's clock CLOCK_OFF seconds off."""

import datetime
import os
import time

OFF = float(os.environ.get("CLOCK_OFF", "0"))
_time, _time_ns, _datetime = time.time, time.time_ns, datetime.datetime


def _shifted() -> float:
    return _time() + OFF


def _shifted_ns() -> int:
    return _time_ns() + int(OFF * 1e9)


class _AnyDatetime(type):
    """What the database driver makes is a datetime as well."""

    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, _datetime)

    def __subclasscheck__(cls, other: type) -> bool:
        return issubclass(other, _datetime)


class ShiftedDatetime(_datetime, metaclass=_AnyDatetime):
    """A datetime whose now is off."""

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> _datetime:
        return _datetime.fromtimestamp(_shifted(), tz)

    @classmethod
    def utcnow(cls) -> _datetime:
        return _datetime.fromtimestamp(_shifted(), datetime.UTC).replace(tzinfo=None)

    @classmethod
    def today(cls) -> _datetime:
        return _datetime.fromtimestamp(_shifted())


if OFF:
    time.time, time.time_ns = _shifted, _shifted_ns
    datetime.datetime = ShiftedDatetime  # type: ignore[misc]
