"""`manage.py fake_carrier`: Lime, Mitto and Twilio for sandbox brands, on one local port."""

from __future__ import annotations

import errno
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

from django.core.management.base import BaseCommand, CommandError, CommandParser

from sending.carrier import server
from sending.carrier.behaviour import Knobs


class Command(BaseCommand):
    """Serves until SIGTERM or SIGINT and prints its address first."""

    help = "Run the fake carrier: three providers' interfaces that text nobody."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """Address, files, and one flag per knob of `Knobs`."""
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=8090, help="0 takes a free one")
        parser.add_argument("--log", type=Path, help="JSON lines of what was accepted")
        parser.add_argument("--lists", type=Path, default=server.LISTS, help="opted-in lists")
        kinds = get_type_hints(Knobs)
        for knob in fields(Knobs):
            flag = f"--{knob.name.replace('_', '-')}"
            kind = kinds[knob.name] if kinds[knob.name] is not bool else str
            parser.add_argument(flag, type=kind, default=None, help=f"default {knob.default}")

    def handle(self, *args: Any, **options: Any) -> None:
        """Raises CommandError, one sentence, when it cannot start."""
        host, port = options["host"], options["port"]
        given = {knob.name: options[knob.name] for knob in fields(Knobs)}
        settings = server.Options(
            host=host,
            port=port,
            log=options["log"],
            lists=options["lists"],
            knobs={name: value for name, value in given.items() if value is not None},
        )
        try:
            server.run(settings, self._announce)
        except ValueError as error:
            raise CommandError(f"The fake carrier cannot start: {error}.") from None
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise CommandError(
                    f"Port {port} on {host} is already in use; choose another with --port."
                ) from None
            reason = error.strerror or str(error)
            raise CommandError(
                f"The fake carrier cannot start on {host}:{port}: {reason}."
            ) from None

    def _announce(self, url: str) -> None:
        self.stdout.write(f"Fake carrier listening on {url}")
        self.stdout.flush()
