"""CPU seconds of the processes that take part: where the time of a run goes, read from /proc."""

import os
from collections.abc import Iterable
from pathlib import Path

DATA = Path(__file__).resolve().parent.parent / ".carillon" / "bench"
TICKS = os.sysconf("SC_CLK_TCK")


def of(pids: Iterable[int]) -> float:
    """User and system seconds of processes so far; those that ended count as nothing."""
    return sum(_own(pid) for pid in pids)


def of_database() -> float:
    """Of PostgreSQL's processes so far, those that ended included: their parent inherits the sum."""
    parent = int((DATA / "postgresql" / "postmaster.pid").read_text().split()[0])
    children = [pid for pid in _all() if _stat(pid)[1:2] == [str(parent)]]
    ended = sum(int(ticks) for ticks in _stat(parent)[13:15]) / TICKS
    return of([parent, *children]) + ended


def of_doorbell() -> float:
    """Of Valkey so far."""
    return of([int((DATA / "valkey" / "valkey.pid").read_text())])


def _own(pid: int) -> float:
    return sum(int(ticks) for ticks in _stat(pid)[11:13]) / TICKS


def _all() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the command's name: state, parent, ... (proc(5), from 3)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


class Meter:
    """What each part used between two moments. `parts`: name -> process ids, beside the servers."""

    def __init__(self, **parts: Iterable[int]) -> None:
        self._parts = {name: list(pids) for name, pids in parts.items()}
        self._before = self._read()

    def read(self, texts: int) -> dict[str, float]:
        """CPU seconds since the start by part, and what they come to for so many texts.

        `limit_texts_per_second` is what this machine would do with every core busy with nothing
        else all the time: the database's, the network's and Python's share all count in it.
        """
        now = self._read()
        used = {f"cpu_{name}": now[name] - self._before[name] for name in now}
        total = sum(used.values())
        cores = os.cpu_count() or 1
        return {
            **used,
            "cpu_per_10000_texts": total * 10_000 / max(texts, 1),
            "limit_texts_per_second": texts * cores / total if total else 0.0,
        }

    def _read(self) -> dict[str, float]:
        return {
            "postgresql": of_database(),
            "valkey": of_doorbell(),
            **{name: of(pids) for name, pids in self._parts.items()},
        }
