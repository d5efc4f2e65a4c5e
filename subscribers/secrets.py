"""Secrets at rest: provider credentials are encrypted, phone numbers can be matched by keyed hash."""

import hashlib
import hmac
import json
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.db import models


class CredentialsUnreadable(Exception):
    """No key in CREDENTIAL_KEYS opens these credentials: they must be entered again."""


def _box() -> MultiFernet:
    return MultiFernet([Fernet(key) for key in settings.CREDENTIAL_KEYS])


class EncryptedJSONField(models.BinaryField):
    """A flat dict of strings, stored encrypted with the first of CREDENTIAL_KEYS.

    Any key of the list opens it, so keys rotate by putting a new one in front.
    Reading raises CredentialsUnreadable when none fits.
    """

    def get_prep_value(self, value: Any) -> bytes | None:
        if value is None:
            return None
        return _box().encrypt(json.dumps(value, sort_keys=True).encode())

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> dict[str, str] | None:
        if value is None:
            return None
        try:
            return json.loads(_box().decrypt(bytes(value)))
        except InvalidToken:
            raise CredentialsUnreadable(
                "No key in CREDENTIAL_KEYS opens these credentials; enter them again."
            ) from None

    def value_to_string(self, obj: Any) -> str:
        return ""

    def to_python(self, value: Any) -> Any:
        return value


def phone_hash(workspace_id: int, phone: str) -> bytes:
    """32 bytes that stand for a number in a workspace after the number itself is erased.

    Keyed with PHONE_HASH_KEY: without the key, the ten billion possible numbers cannot be tried.
    """
    message = f"{workspace_id}:{phone}".encode()
    return hmac.digest(settings.PHONE_HASH_KEY.encode(), message, hashlib.sha256)
