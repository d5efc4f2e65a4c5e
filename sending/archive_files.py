"""A month of a table as a file: CSV, compressed, on the disk and read back before anybody relies on it."""

import datetime as dt
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import zstandard
from django.db import connection, transaction

from sending import partitions

CHUNK = 1024 * 1024  # bytes
LEVEL = 9
# When a row of each table last changed.
_CHANGED = {"sending_sentlog": "changed_at", "tracking_trackingevent": "received_at"}


@dataclass(frozen=True, slots=True)
class Written:
    """A file that holds a partition `table` of the table `of`. `sha256` is of the file itself."""

    of: str
    table: str
    name: str
    rows: int
    bytes: int
    sha256: str
    latest: dt.datetime | None  # change of a row


class Damaged(OSError):
    """What was read back is not what was written."""


def write(folder: Path, table: str, month: dt.datetime, columns: Sequence[str]) -> Written:
    """Write a month's partition as it is at one moment; a file of the same name is replaced whole.

    Raises OSError where the disk refuses, or answers something else than was written (Damaged).
    """
    partition = partitions.name_of(table, month)
    name = f"{partition}.csv.zst"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    half = folder / f".{name}.half"
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        rows, latest = state_of(table, partition)
        told = _copy(half, f'SELECT {", ".join(columns)} FROM "{partition}" ORDER BY id')
    read, sha256 = _read_back(half)
    if read != told:
        raise Damaged(f"{half} was not written whole: the disk answers something else.")
    half.replace(folder / name)
    _sync(folder)
    size = (folder / name).stat().st_size
    return Written(table, partition, name, rows, size, sha256, latest)


def state_of(table: str, partition: str) -> tuple[int, dt.datetime | None]:
    """How many rows a partition of a table has, and when one of them last changed."""
    with connection.cursor() as cursor:
        cursor.execute(f'SELECT count(*), max({_CHANGED[table]}) FROM "{partition}"')
        return cursor.fetchone()


def _copy(path: Path, query: str) -> str:
    """Write the rows of a query, compressed and synced; the digest of what was compressed."""
    digest = hashlib.sha256()
    copied = f"COPY ({query}) TO STDOUT (FORMAT csv, HEADER)"
    with (
        open(path, "wb", opener=_private) as file,
        zstandard.ZstdCompressor(level=LEVEL).stream_writer(file, closefd=False) as packed,
        connection.connection.cursor() as cursor,
    ):
        with cursor.copy(copied) as chunks:
            for chunk in chunks:
                digest.update(chunk)
                packed.write(chunk)
        packed.flush(zstandard.FLUSH_FRAME)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _read_back(path: Path) -> tuple[str, str]:
    """The digests of what the file holds, unpacked, and of the file."""
    held, packed = hashlib.sha256(), hashlib.sha256()
    with path.open("rb") as file:
        reader = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
        while chunk := reader.read(CHUNK):
            held.update(chunk)
        file.seek(0)
        while chunk := file.read(CHUNK):
            packed.update(chunk)
    return held.hexdigest(), packed.hexdigest()


def _sync(folder: Path) -> None:
    """Let the new name survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
