"""Who the demo is about: a workspace with two sandbox brands, their lists, senders and campaigns."""

import datetime as dt
import secrets
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import requests
from django.conf import settings
from django.contrib.auth.models import User

from campaigns import lifecycle, policy
from campaigns.models import Campaign, Message
from campaigns.schedule import is_holiday
from sending.gateways import registry
from sending.models import Sender
from subscribers import clock
from subscribers.models import ApiKey, Brand, ContactList, Workspace
from tracking.webhooks.mitto import HEADER

EASTERN = ZoneInfo("America/New_York")
AFTERNOON = dt.time(13, 0)  # Hawaii still sleeps, Britain has not gone to bed
LOGIN = "demo"


@dataclass(frozen=True, slots=True)
class World:
    """What the demo made. `password` and `api_key` are shown to the person who runs it."""

    brands: list[Brand]
    broadcast: Campaign
    evergreen: Campaign
    password: str
    api_key: str


def build() -> World:
    """Make everything up to two drafts; nothing is launched yet."""
    workspace = Workspace.objects.create(slug="demo", name="Demo workspace")
    password = secrets.token_urlsafe(9)
    User.objects.create_superuser(LOGIN, "demo@example.com", password)
    shift = shift_to_afternoon(clock.now())
    wswd = _brand(workspace, "wswd", "Wild West Sweet Deals", shift)
    ta = _brand(workspace, "ta", "Tea Adventures", shift)
    _sender(wswd, "lime", "71441", weight=2)
    _sender(wswd, "twilio", "+12125550123", weight=1)
    _sender(ta, "mitto", "TeaAdv", weight=1)
    for brand in (wswd, ta):
        ContactList.objects.create(
            brand=brand, list_id=brand.slug, credentials={"user": "demo", "api_id": "demo"}
        )
    _, key = ApiKey.objects.create_key(name="demo", workspace=workspace)
    return World([wswd, ta], _broadcast(wswd), _evergreen(ta), password, key)


def shift_to_afternoon(now: dt.datetime) -> dt.timedelta:
    """How far the sandbox's clock must run ahead for it to be 13:00 Eastern on the next weekday."""
    day = now.astimezone(EASTERN).date()
    while True:
        target = dt.datetime.combine(day, AFTERNOON, EASTERN)
        if target >= now and target.weekday() < 5 and not is_holiday("US", day):
            return target - now
        day += dt.timedelta(days=1)


def _brand(workspace: Workspace, slug: str, name: str, shift: dt.timedelta) -> Brand:
    brand = Brand.objects.create(
        workspace=workspace, slug=slug, name=name, sandbox=True, clock_shift=shift
    )
    policy.of_brand(brand)
    return brand


def _sender(brand: Brand, gateway: str, address: str, *, weight: int) -> None:
    names = registry.get(gateway).credential_names
    credentials = {name: secrets.token_hex(16) for name in names}
    if gateway == "lime":
        credentials |= {"reference_parameter": "reference", "message_id_field": "messageId"}
    sender = Sender.objects.create(
        brand=brand,
        gateway=gateway,
        address=address,
        credentials=credentials,
        rate=500,
        weight=weight,
    )
    webhooks = f"{settings.PUBLIC_URL}/webhooks/{gateway}/{sender.webhook_token}"
    requests.post(
        f"{settings.FAKE_CARRIER_URL}/_carrier/webhooks",
        json={
            "gateway": gateway,
            "address": address,
            "receipts_url": f"{webhooks}/status",
            "inbound_url": f"{webhooks}/inbound",
            "headers": {HEADER: credentials["webhook_secret"]} if gateway == "mitto" else {},
            "token": credentials.get("auth_token", ""),
        },
        timeout=5,
    ).raise_for_status()


def _broadcast(brand: Brand) -> Campaign:
    campaign = Campaign.objects.create(brand=brand, name="Saturday saddle sale")
    for name, body in (
        (
            "A",
            "{{ brand }}: Hi {{ first_name | default: 'friend' }}, saddles are 20% off on Saturday.",
        ),
        ("B", "{{ brand }}: Saturday only: 20% off every saddle in the store."),
    ):
        Message.objects.create(campaign=campaign, name=name, body=f"{body} Reply STOP to opt out.")
    return campaign


def _evergreen(brand: Brand) -> Campaign:
    campaign = Campaign.objects.create(
        brand=brand, name="Tea of the week", kind=Campaign.Kind.EVERGREEN, weekly_cap=2
    )
    for tea in ("Assam", "Sencha", "Rooibos", "Earl Grey"):
        Message.objects.create(
            campaign=campaign,
            name=tea,
            body="{{ brand }}: Good day {{ first_name | default: 'to you' }}! This week's tea is "
            f"{tea}. Reply STOP to opt out.",
        )
    return campaign


def launch(world: World) -> None:
    """Launch both campaigns, as the API does."""
    for campaign in (world.broadcast, world.evergreen):
        lifecycle.launch(campaign, now=clock.now())
