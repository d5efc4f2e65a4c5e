"""When a delivery is tried again, and when an endpoint is left alone: plain decisions."""

import datetime as dt
from dataclasses import dataclass, replace

# Seconds from each attempt that failed to the next: all of them together stay within three days.
_SECOND, _MINUTE, _HOUR = 1, 60, 3600
WAITS = (
    *(5 * _SECOND, 1 * _MINUTE, 5 * _MINUTE, 30 * _MINUTE),
    *(2 * _HOUR, 5 * _HOUR, 10 * _HOUR, 12 * _HOUR, 18 * _HOUR, 24 * _HOUR),
)
# Jitter only shortens a wait, by so much at most, so that the last attempt is within the three days.
JITTER = 0.2
KEEP_TRYING = dt.timedelta(days=3)
LONGEST_ASKED = dt.timedelta(hours=24)

FAILURES_THAT_PAUSE = 10
FIRST_PAUSE = dt.timedelta(minutes=1)
LONGEST_PAUSE = dt.timedelta(hours=1)


def next_wait(attempts: int, *, draw: float, asked: dt.timedelta | None) -> dt.timedelta | None:
    """How long to wait after the `attempts`-th attempt failed; None: it was the last.

    `draw` is random in [0, 1); `asked` is what the endpoint's Retry-After asks for, which only
    makes the wait longer, by a day at most.
    """
    if attempts > len(WAITS):
        return None
    wait = dt.timedelta(seconds=WAITS[attempts - 1] * (1 - JITTER * draw))
    return max(wait, min(asked, LONGEST_ASKED)) if asked else wait


@dataclass(frozen=True, slots=True)
class Circuit:
    """Of one endpoint: failures in a row, and until when it is left alone (None: it is not)."""

    failures: int
    paused_until: dt.datetime | None

    def succeeded(self) -> "Circuit":
        return Circuit(0, None)

    def failed(self, now: dt.datetime, *, probe: bool) -> "Circuit":
        """After an attempt that failed. `probe`: it was the one that tries a paused endpoint."""
        if self.paused_until is not None and not probe:
            return self  # it was under way when the circuit opened
        failures = self.failures + 1
        if failures < FAILURES_THAT_PAUSE:
            return replace(self, failures=failures)
        doublings = min(failures - FAILURES_THAT_PAUSE, 10)
        return Circuit(failures, now + min(FIRST_PAUSE * 2**doublings, LONGEST_PAUSE))
