"""The environment: what is wrong or missing is named, and its value is never shown."""

import base64
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from hypothesis import given
from hypothesis import strategies as st

from config import environment as env

ROOT = Path(__file__).parents[2]
# Fixed, for they are part of the names of tests.
KEY, OTHER_KEY = (base64.urlsafe_b64encode(byte * 32).decode() for byte in (b"a", b"b"))

RIGHT: list[tuple[Callable[[str], Any], str, Any]] = [
    (env.text, " as it is ", "as it is"),
    (env.flag, "1", True),
    (env.flag, "Yes", True),
    (env.flag, "off", False),
    (env.flag, "FALSE", False),
    (env.names, "a, b,,c ", ["a", "b", "c"]),
    (env.secret, "x" * 32, "x" * 32),
    (env.address, "https://carillon.test/", "https://carillon.test"),
    (env.database, "postgresql://u:p@db:5432/c", "postgresql://u:p@db:5432/c"),
    (env.database, "postgres:///carillon", "postgres:///carillon"),
    (env.database, "postgresql:///c?host=/run/pg&port=1", "postgresql:///c?host=/run/pg&port=1"),
    (env.redis, "redis://localhost:6379/1", "redis://localhost:6379/1"),
    (env.redis, "rediss://:p@cache", "rediss://:p@cache"),
    (env.redis, "unix:///run/valkey.sock?db=2", "unix:///run/valkey.sock?db=2"),
    (env.fernet_keys, f"{KEY}, {OTHER_KEY}", [KEY, OTHER_KEY]),
]
WRONG: list[tuple[Callable[[str], Any], str]] = [
    (env.flag, "s3cret"),
    (env.flag, "2"),
    (env.secret, "s3cret"),
    (env.secret, "x" * 31),
    (env.address, "s3cret.test"),
    (env.address, "ftp://s3cret.test"),
    (env.database, "mysql://u:s3cret@db/c"),
    (env.database, "postgresql://u:s3cret@[::1/c"),
    (env.database, "postgresql://u:s3cret@db/c?s3cret=1"),
    (env.database, "postgresql://u:s3cret@db/%zz"),
    (env.database, "postgresql://u:s3cret@db:port/c"),
    (env.redis, "http://s3cret"),
    (env.redis, "redis://:s3cret@cache:port/0"),
    (env.redis, "redis://:s3cret@[::1/0"),
    (env.redis, "redis://:s3cret@cache:99999/0"),
    (env.fernet_keys, "s3cret"),
    (env.fernet_keys, f"{KEY},s3cret"),
    (env.fernet_keys, "s3crét"),
    (env.fernet_keys, ","),
]
PARSERS = [env.flag, env.secret, env.address, env.database, env.redis, env.fernet_keys]


@pytest.mark.parametrize(("parse", "raw", "value"), RIGHT)
def test_a_right_value_is_parsed(parse: Callable[[str], Any], raw: str, value: object) -> None:
    assert env.read("NAME", parse, environ={"NAME": raw}) == value


@pytest.mark.parametrize(("parse", "raw"), WRONG)
def test_a_wrong_value_names_the_variable_and_never_the_value(
    parse: Callable[[str], Any], raw: str
) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"^NAME is wrong: .+\.$") as refused:
        env.read("NAME", parse, environ={"NAME": raw})

    sentence = str(refused.value)
    assert "s3cr" not in sentence
    assert raw not in sentence or raw == ","
    assert refused.value.__suppress_context__  # a traceback would show the parser's own words


@pytest.mark.parametrize("raw", [None, "", "   "])
def test_an_unset_or_empty_variable_has_its_default(raw: str | None) -> None:
    environ = {} if raw is None else {"NAME": raw}

    assert env.read("NAME", env.flag, default=None, environ=environ) is None
    with pytest.raises(ImproperlyConfigured, match=r"^NAME is not set: it is required"):
        env.read("NAME", env.flag, environ=environ)


@pytest.mark.parametrize("name", env.WHAT)
def test_a_missing_variable_says_what_to_give_it(name: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=rf"^{name} is not set: give it "):
        env.read(name, env.text, environ={})


@given(st.sampled_from(PARSERS), st.text(min_size=1))
def test_any_value_is_parsed_or_refused_in_a_sentence(
    parse: Callable[[str], Any], raw: str
) -> None:
    try:
        env.read("NAME", parse, default=None, environ={"NAME": raw})
    except ImproperlyConfigured as error:
        refusal = str(error)
    else:
        refusal = "NAME is wrong: it is not."

    assert refusal.startswith("NAME is wrong: ")


def start(*without: str, **changes: str) -> subprocess.CompletedProcess[str]:
    """manage.py as an installation starts it, with these variables changed or left out."""
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PYTEST")},
        "DATABASE_URL": "postgresql://127.0.0.1:1/none",
        "REDIS_URL": "redis://127.0.0.1:1",
        "CARILLON_DEVELOPMENT": "0",
        **changes,
    }
    for name in without:
        del environ[name]
    return subprocess.run(
        [sys.executable, "manage.py", "diffsettings", "--default", "config.settings"],
        cwd=ROOT, env=environ, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


@pytest.mark.parametrize("name", sorted(env.WHAT))
def test_the_program_does_not_start_without_a_required_variable(name: str) -> None:
    done = start(name)

    assert done.returncode == 1
    assert done.stderr.startswith(f"{name} is not set: give it ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "postgresql://u:s3cret@[::1/c"),
        ("CREDENTIAL_KEYS", "s3cret"),
        ("LOG_LEVEL", "s3cret"),
    ],
)
def test_the_program_does_not_start_with_a_wrong_variable(name: str, value: str) -> None:
    done = start(**{name: value})

    assert done.returncode == 1
    assert done.stderr.startswith(f"{name} is wrong: ")
    assert len(done.stderr.splitlines()) == 1
    assert "s3cret" not in done.stderr.lower()


def test_the_program_starts_with_every_variable_set() -> None:
    assert start().returncode == 0
