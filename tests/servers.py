"""pytest plugin: the tests' own PostgreSQL and Valkey, started once before Django's settings load.

They live in a temporary folder, never in the project's data folder, and whatever the shell says about
DATABASE_URL is overwritten: a test cannot reach a database that anybody needs. Each xdist process has
its own PostgreSQL database (pytest-django's doing) and its own Valkey database (done here).

The tests' PostgreSQL does not wait for the disk; CARILLON_TEST_FSYNC=1 makes it. Tests of durability
start servers of their own.
"""

import base64
import os
import re
import secrets
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from config import embedded

STARTED = "CARILLON_TEST_SERVERS"  # tells an xdist worker that its controller has done it all
FAST = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Iterator[None]:
    """Before pytest-django imports the settings, which it does in this same hook."""
    options = early_config.known_args_namespace
    if os.environ.get(STARTED):
        worker = re.sub(r"\D", "", os.environ.get("PYTEST_XDIST_WORKER", "")) or "0"
        os.environ["REDIS_URL"] = re.sub(r"db=\d+", f"db={worker}", os.environ["REDIS_URL"])
    elif not (options.help or options.version):
        _start(early_config)
    yield


def _start(config: pytest.Config) -> None:
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the servers are stopped
    folder = Path(tempfile.mkdtemp(prefix="carillon-tests-"))
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
    settings = {} if os.environ.get("CARILLON_TEST_FSYNC") == "1" else FAST
    try:
        servers = embedded.start(folder / "data", settings=settings)
    except embedded.EmbeddedServerError as error:
        raise pytest.UsageError(str(error)) from None
    config.add_cleanup(servers.stop)  # runs before the folder goes: last in, first out
    for name in [name for name in os.environ if name.startswith("CARILLON_")]:
        del os.environ[name]
    os.environ |= {
        STARTED: "1",
        "CARILLON_DATA": str(folder / "project"),
        "CARILLON_DEVELOPMENT": "0",
        "DATABASE_URL": servers.database_url,
        "REDIS_URL": servers.redis_url,
        "SECRET_KEY": secrets.token_urlsafe(48),
        "CREDENTIAL_KEYS": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "PHONE_HASH_KEY": secrets.token_urlsafe(48),
        "PUBLIC_URL": "http://testserver",
        "ALLOWED_HOSTS": "testserver,localhost,127.0.0.1",
    }
