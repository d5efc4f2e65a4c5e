"""The API's reads, and the admin's page of texts, while the sent log is long.

Three months of broadcasts by brands of very different sizes in two workspaces, twenty texts to each
person. The log is kept for the next run of the row.
"""

import datetime as dt
import http.client
import json
import time
from statistics import median, quantiles
from urllib.parse import quote, urlsplit

from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client

from benchmarks import load, world
from campaigns.models import Campaign, Message, Run
from sending import partitions
from sending.models import SentLog
from subscribers import clock
from subscribers.key_models import ApiKey, Scope
from subscribers.models import Brand, Membership, Subscriber, Workspace

DAYS = 90
TEXTS_OF_A_PERSON = 20
# Of a hundred campaigns so many are of each brand; the last one has a workspace of its own.
BRANDS = {"wide": 60, "second": 25, "third": 12, "small": 3}
CALLS = 40
PATIENCE = 5.0  # seconds for the calls of one read
PAGES_AHEAD = 20  # of 500 rows, before a deep page is looked at


def answered(texts: int) -> dict[str, float]:
    """The 95th percentile of each read in ms, and the worst of them as `worst_p95_ms`."""
    campaigns = max(100, texts // 50_000)
    if not _is_there(texts):
        _make(texts, campaigns)
    wide, small = (Brand.objects.get(slug=slug) for slug in ("wide", "small"))
    with load.installation() as (port, _, _):
        told: dict[str, float] = {}
        for who, brand in (("", wide), ("small_", small)):
            api = _Api(port, {"Authorization": f"Api-Key {_key(brand.workspace)}"})
            for name, paths in _reads(api, brand).items():
                told |= _timed(f"{who}{name}", api, paths)
            admin = _Api(port, {"Cookie": _cookie(brand.workspace)})
            told |= _timed(f"{who}admin_texts", admin, ["/admin/sending/sentlog/"])
    worst = max(value for name, value in told.items() if name.endswith("_p95_ms"))
    return {"worst_p95_ms": worst, **told}


def _reads(api: "_Api", brand: Brand) -> dict[str, list[str]]:
    """The addresses of each read; it is asked for one after the other."""
    campaigns = list(
        Campaign.objects.filter(brand=brand).order_by("-pk").values_list("pk", flat=True)
    )
    people = list(Subscriber.objects.filter(subscriptions__brand=brand).order_by("-pk")[:CALLS])
    texts = list(
        SentLog.objects.filter(brand=brand).order_by("-pk").values_list("pk", flat=True)[:CALLS]
    )
    now = clock.now()
    hours = [now - dt.timedelta(days=day) for day in range(5, 45)]
    spans = [(quote(_iso(hour)), quote(_iso(hour + dt.timedelta(hours=6)))) for hour in hours]
    today = now.date()
    month = f"from={today - dt.timedelta(days=30)}&to={today}"
    return {
        "texts": ["/api/messages"],
        "texts_deep": api.ahead(f"/api/messages?since={quote(_iso(now - dt.timedelta(days=80)))}"),
        "texts_of_campaign": [f"/api/messages?campaign={pk}" for pk in campaigns],
        "texts_of_campaign_deep": api.ahead(f"/api/messages?campaign={campaigns[-1]}"),
        "failed_of_campaign": [f"/api/messages?campaign={pk}&state=failed" for pk in campaigns],
        "texts_of_person": [f"/api/messages?subscriber={one.pk}" for one in people],
        "texts_of_number": [f"/api/messages?phone={quote(one.phone)}" for one in people],
        "texts_of_time": [f"/api/messages?since={since}&until={until}" for since, until in spans],
        "failed": ["/api/messages?state=failed"],
        "unknown": ["/api/messages?state=unknown"],
        "texts_of_brand": [f"/api/messages?brand={brand.slug}"],
        "text": [f"/api/messages/{pk}" for pk in texts],
        "history": [f"/api/messages/{pk}/events" for pk in texts],
        "campaigns": ["/api/campaigns"],
        "progress": [f"/api/campaigns/{pk}" for pk in campaigns],
        "report": [f"/api/reports/campaigns/{pk}" for pk in campaigns],
        "brand_report": [f"/api/reports/brands/{brand.slug}?{month}"],
        "subscribers": ["/api/subscribers"],
        "subscribers_deep": api.ahead("/api/subscribers"),
        "subscriber": [f"/api/subscribers/{one.pk}" for one in people],
        "queue": [f"/api/brands/{brand.slug}/queue"],
        "suppressions": ["/api/suppressions"],
        "replies": ["/api/replies"],
    }


def _iso(moment: dt.datetime) -> str:
    return moment.isoformat(timespec="seconds")


class _Api:
    """One kept connection with the headers of somebody who may read."""

    def __init__(self, port: int, headers: dict[str, str]) -> None:
        self.server = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.headers = headers

    def get(self, path: str) -> bytes:
        self.server.request("GET", path, headers=self.headers)
        answer = self.server.getresponse()
        told = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{path} answered {answer.status}: {told[:300]!r}")
        return told

    def ahead(self, path: str) -> list[str]:
        """Addresses of pages of 50 that lie many pages of 500 behind the first."""
        joint = "&" if "?" in path else "?"
        following = f"{path}{joint}limit=500"
        for _ in range(PAGES_AHEAD):
            following = self._next(following) or following
        pages = [following.replace("limit=500", "limit=50")]
        while len(pages) < 10 and (later := self._next(pages[-1])):
            pages.append(later)
        return pages

    def _next(self, path: str) -> str:
        told = json.loads(self.get(path))["next"]
        parts = urlsplit(told or "")
        return f"{parts.path}?{parts.query}" if told else ""


def _timed(name: str, api: _Api, paths: list[str]) -> dict[str, float]:
    """p50 and p95 of so many calls, the addresses in turn; the first two are for the caches.

    Of what takes seconds there are fewer calls.
    """
    took: list[float] = []
    until = time.monotonic() + PATIENCE
    for at in range(CALLS + 2):
        if len(took) > 3 and time.monotonic() > until:
            break
        began = time.monotonic()
        api.get(paths[at % len(paths)])
        took.append((time.monotonic() - began) * 1000)
    return {f"{name}_p50_ms": median(took[2:]), f"{name}_p95_ms": quantiles(took[2:], n=20)[18]}


def _key(workspace: Workspace) -> str:
    ApiKey.objects.filter(workspace=workspace).delete()
    _, key = ApiKey.objects.create_key(
        name="bench",
        workspace=workspace,
        scopes=[str(scope) for scope in Scope],
        per_minute=1_000_000,
    )
    return key


def _cookie(workspace: Workspace) -> str:
    """Of a member of the workspace who may look at everything."""
    user, new = User.objects.get_or_create(username=f"of {workspace.slug}", is_staff=True)
    if new:
        user.user_permissions.set(_permissions())
        Membership.objects.create(workspace=workspace, user=user)
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    name = settings.SESSION_COOKIE_NAME
    return f"{name}={client.cookies[name].value}"


def _permissions() -> list[int]:
    from django.contrib.auth.models import Permission

    return list(Permission.objects.values_list("pk", flat=True))


def _is_there(texts: int) -> bool:
    slugs = set(Brand.objects.values_list("slug", flat=True))
    return slugs == set(BRANDS) and SentLog.objects.count() == texts


def _make(texts: int, campaigns: int) -> None:
    world.empty()
    workspaces = [
        Workspace.objects.get_or_create(slug=slug, name=slug)[0] for slug in ("bench", "other")
    ]
    brands = [world.brand(slug, workspaces[slug == "small"]) for slug, share in BRANDS.items()]
    for brand in brands:
        world.sender(brand, "twilio")
    people = texts // TEXTS_OF_A_PERSON
    first = 2_000_000  # a valid number each
    for brand, share in zip(brands, BRANDS.values(), strict=True):
        world.people(brand, people * share // 100, first=first)
        first += people * share // 100
    now = clock.now().replace(microsecond=0)
    for day in range(0, DAYS + 31, 28):
        for table in ("sending_sentlog", "tracking_trackingevent"):
            partitions.ensure_month(
                table, (now - dt.timedelta(days=day)).replace(day=1, hour=0, minute=0, second=0)
            )
    with _late_index("sentlog_of_person"):
        for number in range(campaigns):
            at = now - dt.timedelta(seconds=DAYS * 86_400 * (1 - (number + 0.5) / campaigns))
            _sent(brands, number, at.replace(microsecond=0), texts // campaigns)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")


def _sent(brands: list[Brand], number: int, at: dt.datetime, count: int) -> None:
    """One broadcast: of a thousand texts ten failed, 30 were skipped; one in forty was clicked."""
    shares = [
        brand for brand, share in zip(brands, BRANDS.values(), strict=True) for _ in range(share)
    ]
    brand = shares[number * 37 % 100]
    campaign = Campaign.objects.create(brand=brand, name=f"Broadcast {number}", status="finished")
    message = Message.objects.create(campaign=campaign, body=world.BODY)
    run = Run.objects.create(
        campaign=campaign, brand=brand, started_at=at, finished_at=at, audience=count
    )
    values = {
        "brand": brand.pk, "campaign": campaign.pk, "run": run.pk, "message": message.pk,
        "at": at, "count": count, "ms": f"{int(at.timestamp() * 1000):012x}",
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(_TEXTS, values)
        cursor.execute(_CLICKS, values)


class _late_index:  # noqa: N801 - it reads as a statement
    """An index made anew at the end: row by row in no order it takes longer than all the rows."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT indexdef FROM pg_indexes WHERE indexname = %s", [self.name])
            self.definition = cursor.fetchone()[0].replace(" ON ONLY ", " ON ")
            cursor.execute(f"DROP INDEX {self.name}")

    def __exit__(self, *_: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET maintenance_work_mem = '512MB'")
            cursor.execute(self.definition)


_TEXTS = """
    INSERT INTO sending_sentlog (id, brand_id, campaign_id, run_id, message_id, subscriber_id,
        sender_id, purpose, phone, body, segments, state, reason, expires_at, sent_at, changed_at,
        provider_message_id)
    SELECT (%(ms)s || '8' || substr(hashed, 1, 3) || '8' || substr(hashed, 4, 15))::uuid,
           %(brand)s, %(campaign)s, %(run)s, %(message)s, person.first + n %% person.total,
           sender.id, 'campaign', '+12125550100', 'All saddles are 20%% off on Saturday. Reply STOP',
           1, CASE WHEN n %% 100 = 0 THEN 'failed' WHEN n %% 33 = 0 THEN 'skipped'
                   ELSE 'delivered' END,
           CASE WHEN n %% 33 = 0 THEN 'weekly_cap' ELSE '' END, %(at)s, %(at)s, %(at)s, 'SM' || n
    FROM generate_series(1, %(count)s) AS n,
         LATERAL (SELECT md5(%(run)s || '/' || n) AS hashed OFFSET 0) AS named,
         (SELECT min(subscriber_id) AS first, count(*) AS total FROM subscribers_subscription
          WHERE brand_id = %(brand)s) AS person,
         (SELECT id FROM sending_sender WHERE brand_id = %(brand)s) AS sender
    ORDER BY 1"""
_CLICKS = """
    INSERT INTO tracking_trackingevent
        (id, brand_id, subscriber_id, text_id, kind, name, raw, received_at)
    SELECT (%(ms)s || '8' || substr(hashed, 1, 3) || '8' || substr(hashed, 4, 15))::uuid,
           brand_id, subscriber_id, text.id, 'click', 'click', '{}', sent_at + interval '1 hour'
    FROM sending_sentlog AS text, LATERAL (SELECT md5('click' || text.id) AS hashed OFFSET 0) AS n
    WHERE id >= (%(ms)s || repeat('0', 20))::uuid AND id <= (%(ms)s || repeat('f', 20))::uuid
      AND substr(provider_message_id, 3)::bigint %% 40 = 0"""
