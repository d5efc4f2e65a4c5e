"""Signatures of Standard Webhooks (standardwebhooks.com, specification 1.0.0), version v1.

HMAC-SHA256 over `{webhook-id}.{webhook-timestamp}.{body}` with the secret's bytes. While a secret is
being replaced there are two signatures in the header, and a receiver needs to find one that fits.
"""

import base64
import datetime as dt
import hashlib
import hmac
import secrets
from collections.abc import Sequence

PREFIX = "whsec_"
SECRET_BYTES = 32  # the specification: 24 to 64
OVERLAP = dt.timedelta(hours=24)


def new_secret() -> str:
    """A secret as integrators are given it: `whsec_` and base64."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def fresh() -> dict[str, str]:
    """The secrets of a new endpoint, as they are kept."""
    return {"current": new_secret()}


def rotated(kept: dict[str, str], now: dt.datetime) -> dict[str, str]:
    """A new secret beside the one before it, which signs as well for 24 hours."""
    return {
        "current": new_secret(),
        "previous": kept["current"],
        "previous_until": (now + OVERLAP).isoformat(),
    }


def in_force(kept: dict[str, str], now: dt.datetime) -> list[str]:
    """The secrets that sign at a moment, the newest first."""
    until = kept.get("previous_until")
    overlapping = until is not None and now < dt.datetime.fromisoformat(until)
    return [kept["current"], *([kept["previous"]] if overlapping else [])]


def headers(
    webhook_id: str, body: bytes, *, keys: Sequence[str], now: dt.datetime
) -> dict[str, str]:
    """The three headers of a delivery; `keys` are secrets, each of which signs."""
    timestamp = str(int(now.timestamp()))
    signed = f"{webhook_id}.{timestamp}.".encode() + body
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(f"v1,{_signature(key, signed)}" for key in keys),
    }


def _signature(key: str, signed: bytes) -> str:
    raw = base64.b64decode(key.removeprefix(PREFIX))
    return base64.b64encode(hmac.digest(raw, signed, hashlib.sha256)).decode()
