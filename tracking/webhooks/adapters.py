"""Which adapter understands which gateway's webhooks."""

from tracking.webhooks.base import Webhook
from tracking.webhooks.lime import Lime
from tracking.webhooks.mitto import Mitto
from tracking.webhooks.twilio import Twilio

WEBHOOKS: dict[str, Webhook] = {"lime": Lime(), "mitto": Mitto(), "twilio": Twilio()}
