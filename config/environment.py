"""The environment, read once and checked: a wrong variable is named at the start, not at 3 a.m."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from urllib.parse import SplitResult, urlsplit

import psycopg
from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured
from psycopg.conninfo import conninfo_to_dict

REQUIRED = object()


def read[T](
    name: str,
    parse: Callable[[str], T],
    *,
    default: T | object = REQUIRED,
    environ: Mapping[str, str] = os.environ,
) -> T:
    """The variable's value, parsed; its default when unset or empty.

    Raises ImproperlyConfigured with the variable's name and never its value.
    """
    raw = environ.get(name, "").strip()
    if not raw:
        if default is REQUIRED:
            raise ImproperlyConfigured(f"{name} is not set: {WHAT.get(name, 'it is required')}.")
        return default  # type: ignore[return-value]
    try:
        return parse(raw)
    except ValueError as error:
        raise ImproperlyConfigured(f"{name} is wrong: {error}.") from None


WHAT = {
    "SECRET_KEY": "give it 50 or more random characters",
    "DATABASE_URL": "give it a PostgreSQL address, or start with manage.py to use the embedded server",
    "REDIS_URL": "give it a Redis or Valkey address, or start with manage.py to use the embedded server",
    "CREDENTIAL_KEYS": "give it one or more Fernet keys, the newest first, separated by commas",
    "PHONE_HASH_KEY": "give it 32 or more random characters, and never change it",
}


def text(raw: str) -> str:
    return raw


def flag(raw: str) -> bool:
    if raw.lower() in ("1", "true", "yes", "on"):
        return True
    if raw.lower() in ("0", "false", "no", "off"):
        return False
    raise ValueError("use 1 or 0")


def seconds(raw: str) -> float:
    if not re.fullmatch(r"\d{1,4}(\.\d+)?", raw, re.ASCII) or not 0.1 <= float(raw) <= 3600:
        raise ValueError("use seconds, from 0.1 to 3600")
    return float(raw)


def few(raw: str) -> int:
    if not re.fullmatch(r"[0-9]", raw, re.ASCII):
        raise ValueError("use a number from 0 to 9")
    return int(raw)


def count(raw: str) -> int:
    if not re.fullmatch(r"[0-9]{1,7}", raw, re.ASCII) or int(raw) < 1:
        raise ValueError("use a whole number from 1 to 9999999")
    return int(raw)


def days(raw: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", raw, re.ASCII) or not 1 <= int(raw) <= 36_500:
        raise ValueError("use whole days, from 1 to 36500")
    return int(raw)


def percent(raw: str) -> int:
    if not re.fullmatch(r"[0-9]{1,3}", raw, re.ASCII) or not 1 <= int(raw) <= 100:
        raise ValueError("use whole percent, from 1 to 100")
    return int(raw)


def names(raw: str) -> list[str]:
    return [part.strip() for part in raw.split(",") if part.strip()]


def secret(raw: str) -> str:
    if len(raw) < 32:
        raise ValueError("it is shorter than 32 characters")
    return raw


def address(raw: str) -> str:
    if not raw.startswith(("http://", "https://")):
        raise ValueError("it must start with http:// or https://")
    if not _split(raw).hostname:
        raise ValueError("it names no host")
    return raw.rstrip("/")


def database(raw: str) -> str:
    if not raw.startswith(("postgres://", "postgresql://")):
        raise ValueError("it must start with postgresql://")
    try:
        parts = conninfo_to_dict(raw)
    except psycopg.ProgrammingError:  # whose words hold the address, password and all
        raise ValueError("use postgresql://user:password@host:port/name") from None
    if not all(port.isdecimal() for port in str(parts.get("port") or 0).split(",")):
        raise ValueError("its port is no number")
    return raw


def redis(raw: str) -> str:
    if not raw.startswith(("redis://", "rediss://", "unix://")):
        raise ValueError("it must start with redis://, rediss:// or unix://")
    _split(raw)
    return raw


def _split(raw: str) -> SplitResult:
    """The parts of an address. The standard library's own words would show them."""
    try:
        parts = urlsplit(raw)
        _ = parts.port  # only looking at it checks it
    except ValueError:
        raise ValueError("its host or port cannot be read") from None
    return parts


def fernet_keys(raw: str) -> list[str]:
    keys = names(raw)
    if not keys:
        raise ValueError("it holds no key")
    for key in keys:
        try:
            Fernet(key)
        except ValueError:
            raise ValueError("each key must be 32 url-safe base64-encoded bytes") from None
    return keys
