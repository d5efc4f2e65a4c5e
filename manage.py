#!/usr/bin/env python
"""Django's command line, on embedded servers where DATABASE_URL or REDIS_URL is not set."""

import os
import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line

from config import embedded

HELP = {"help", "version", "--help", "-h", "--version"}


def main(arguments: list[str]) -> int:
    """Run a command. A wrong setting or a server that does not start is one sentence, not a
    traceback."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    try:
        prepare_environment(arguments)
        execute_from_command_line(["manage.py", *arguments])
    except (embedded.EmbeddedServerError, ImproperlyConfigured) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def prepare_environment(arguments: list[str]) -> None:
    """Fill in what an installation sets and a newcomer's machine does not.

    CARILLON_DEVELOPMENT=0, as in the container image, leaves everything to the installation.
    """
    if os.environ.get("CARILLON_DEVELOPMENT", "1").lower() in ("0", "false", "no", "off"):
        return
    if not arguments or HELP.intersection(arguments):
        # The list of commands comes from the settings, which want addresses; nothing connects.
        os.environ.setdefault("CARILLON_DEVELOPMENT", "1")
        os.environ.setdefault("DATABASE_URL", "postgresql:///carillon")
        os.environ.setdefault("REDIS_URL", "redis://localhost")
        return
    servers = embedded.ensure_environment()
    if servers is not None and servers.database_url:
        os.environ.setdefault("CARILLON_DEVELOPMENT", "1")
        os.environ["CARILLON_EMBEDDED"] = "1"  # the demo wipes nothing else


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
