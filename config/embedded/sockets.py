"""Where the sockets lie: a folder that only we can enter, under a path short enough for a socket."""

import json
import os
import pwd
import re
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

# The smallest limit of the systems we run on is macOS's: 104 bytes for the whole path.
LONGEST_PATH = 100
LONGEST_NAME = ".s.PGSQL.5432"


def socket_folder(data: Path) -> Path:
    """A private folder for the sockets: in the data folder, or in the system's temporary one when
    the path is too long for a socket or holds what a connection string cannot."""
    inside = data / "sockets"
    short = len(os.fsencode(inside / LONGEST_NAME)) <= LONGEST_PATH
    if short and re.fullmatch(r"[\w./+-]+", str(inside), re.ASCII):
        inside.mkdir(mode=0o700, exist_ok=True)
        return inside
    record = data / "sockets.json"
    with suppress(FileNotFoundError, ValueError, KeyError):
        known = json.loads(record.read_text())
        # A copied data folder names the sockets of its original: those are not ours.
        if known["data"] == str(data) and _is_private(Path(known["sockets"])):
            return Path(known["sockets"])
    made = Path(tempfile.mkdtemp(prefix="carillon-"))
    record.write_text(json.dumps({"data": str(data), "sockets": str(made)}))
    return made


def _is_private(folder: Path) -> bool:
    """Whether a folder in a place that everybody can write to is (still) ours alone."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    owners = {os.geteuid()}
    if os.geteuid() == 0:
        owners.add(pwd.getpwnam("nobody").pw_uid)  # see processes.unprivileged
    return stat.S_ISDIR(found.st_mode) and found.st_uid in owners and not found.st_mode & 0o077
