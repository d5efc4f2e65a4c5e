"""`python -m config.embedded`: run the servers for programs that are not ours (psql, gunicorn)."""

import os
import shlex
import signal
import sys
from contextlib import suppress

from config.embedded import EmbeddedServerError, ensure_environment


def main() -> int:
    """Print what to export, then wait for Ctrl-C."""
    try:
        servers = ensure_environment()
    except EmbeddedServerError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if servers is None:
        sys.stderr.write("DATABASE_URL and REDIS_URL are both set: there is nothing to start.\n")
        return 1
    for name in ("DATABASE_URL", "REDIS_URL"):
        sys.stdout.write(f"export {name}={shlex.quote(os.environ[name])}\n")
    sys.stdout.flush()
    with suppress(KeyboardInterrupt):
        while True:
            signal.pause()
    return 0


if __name__ == "__main__":
    sys.exit(main())
