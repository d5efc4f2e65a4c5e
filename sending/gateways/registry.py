"""Which adapters exist, by the name that a sender's account carries."""

from __future__ import annotations

from sending.gateways.base import Gateway
from sending.gateways.lime import Lime
from sending.gateways.mitto import Mitto
from sending.gateways.twilio import Twilio

_ALL: tuple[Gateway, ...] = (Lime(), Mitto(), Twilio())
GATEWAYS: dict[str, Gateway] = {gateway.name: gateway for gateway in _ALL}


def get(name: str) -> Gateway:
    """The adapter of that name. Raises LookupError with the names that exist."""
    try:
        return GATEWAYS[name]
    except KeyError:
        known = ", ".join(sorted(GATEWAYS))
        raise LookupError(f"no gateway is called {name!r}; there are {known}") from None
