"""Settings. Everything that differs between installations comes from the environment."""

import base64
import hashlib
import secrets
import zoneinfo
from pathlib import Path
from typing import Any

from psycopg.conninfo import conninfo_to_dict

from config import environment as env
from config.navigation import SIDEBAR

# The locked tzdata package instead of the system's files, which may be years old: several Canadian
# provinces stopped changing their clocks in 2026, and hours are the law.
zoneinfo.reset_tzpath(to=())

BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = Path(env.read("CARILLON_DATA", env.text, default=str(BASE_DIR / ".carillon")))
DEVELOPMENT = env.read("CARILLON_DEVELOPMENT", env.flag, default=False)


def _development_secret() -> str:
    """A secret kept in the data folder, so that `make demo` needs no configuration."""
    path = DATA_DIR / "secret"
    if not path.exists():
        DATA_DIR.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(48))
    return path.read_text().strip()


def _derived(purpose: str) -> bytes:
    return hashlib.blake2b(f"{purpose}:{_development_secret()}".encode(), digest_size=32).digest()


if DEVELOPMENT:
    SECRET_KEY = env.read("SECRET_KEY", env.secret, default=None) or _development_secret()
    CREDENTIAL_KEYS = env.read("CREDENTIAL_KEYS", env.fernet_keys, default=None) or [
        base64.urlsafe_b64encode(_derived("credentials")).decode()
    ]
    PHONE_HASH_KEY = (
        env.read("PHONE_HASH_KEY", env.secret, default=None) or _derived("phones").hex()
    )
else:
    SECRET_KEY = env.read("SECRET_KEY", env.secret)
    CREDENTIAL_KEYS = env.read("CREDENTIAL_KEYS", env.fernet_keys)
    PHONE_HASH_KEY = env.read("PHONE_HASH_KEY", env.secret)

DEBUG = env.read("DEBUG", env.flag, default=False)
ALLOWED_HOSTS = env.read("ALLOWED_HOSTS", env.names, default=["localhost", "127.0.0.1", "[::1]"])
PUBLIC_URL = env.read("PUBLIC_URL", env.address, default="http://127.0.0.1:8000")
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL]

INSTALLED_APPS = [
    "config",
    "unfold",
    "unfold.contrib.filters",
    "unfold.contrib.forms",
    "unfold.contrib.import_export",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "pgtrigger",
    "pghistory",
    "rest_framework",
    "rest_framework_api_key",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_rq",
    "import_export",
    "axes",
    "django_otp",
    "django_otp.plugins.otp_totp",
    "subscribers",
    "campaigns",
    "sending",
    "tracking",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "config.health.HealthMiddleware",
    "config.logs.RequestLogMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_otp.middleware.OTPMiddleware",
    "config.signature.SignatureMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",
    "config.api_requests.ApiMiddleware",
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
APPEND_SLASH = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = 1  # hours
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_VERBOSE = False


def _database(url: str) -> dict[str, Any]:
    parts = {key: value for key, value in conninfo_to_dict(url).items() if value is not None}
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.pop("dbname", "carillon"),
        "USER": parts.pop("user", ""),
        "PASSWORD": parts.pop("password", ""),
        "HOST": parts.pop("host", ""),
        "PORT": str(parts.pop("port", "")),
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {"connect_timeout": 5, "application_name": "carillon", **parts},
    }


DATABASES = {"default": _database(env.read("DATABASE_URL", env.database))}
REDIS_URL = env.read("REDIS_URL", env.redis)
RQ_QUEUES = {"default": {"URL": REDIS_URL}}
RQ_SHOW_ADMIN_LINK = False

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedStaticFilesStorage"},
}
WHITENOISE_USE_FINDERS = True

if PUBLIC_URL.startswith("https://"):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True
    SECURE_HSTS_SECONDS = 3600 * 24 * 30
# Our own proxies in front: whom a request comes from is what the outermost of them saw.
TRUSTED_PROXIES = env.read(
    "TRUSTED_PROXIES", env.few, default=1 if PUBLIC_URL.startswith("https://") else 0
)
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["subscribers.tenancy.ApiKeyAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["subscribers.tenancy.HasApiKey"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["subscribers.api_json.Json"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "config.envelope.handle",
    "UNAUTHENTICATED_USER": None,
}
# Requests a minute of one API key, where the key itself sets no other figure.
API_PER_MINUTE = env.read("API_PER_MINUTE", env.count, default=100)
API_EVENTS_PER_MINUTE = env.read("API_EVENTS_PER_MINUTE", env.count, default=50)
SPECTACULAR_SETTINGS = {
    "TITLE": "Carillon",
    "DESCRIPTION": "Text campaigns for many brands.",
    "VERSION": "0.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "config.openapi.add_errors",
    ],
}
SPECTACULAR_SETTINGS["SERVE_PERMISSIONS"] = ["rest_framework.permissions.AllowAny"]
SPECTACULAR_SETTINGS["SERVE_AUTHENTICATION"] = []

UNFOLD = {
    "SITE_TITLE": "Carillon",
    "SITE_HEADER": "Carillon",
    "SITE_SUBHEADER": "Text campaigns",
    "SITE_SYMBOL": "notifications_active",
    "SIDEBAR": SIDEBAR,
    "DASHBOARD_CALLBACK": "config.dashboard.summary",
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
}

# A sandbox brand talks to the fake carrier, every other brand to its providers.
FAKE_CARRIER_URL = env.read("FAKE_CARRIER_URL", env.address, default="http://127.0.0.1:8100")
PROVIDER_URLS = {
    "lime": env.read("LIME_URL", env.address, default=""),
    "mitto": env.read("MITTO_URL", env.address, default=""),
    "twilio": env.read("TWILIO_URL", env.address, default="https://api.twilio.com"),
}

# How long a worker may hold texts, and how long one call to a provider may take. The lease must
# leave room for two calls and the last record: `config.checks`.
SENDING_LEASE_SECONDS = env.read("SENDING_LEASE_SECONDS", env.seconds, default=60.0)
SENDING_CALL_TIMEOUT_SECONDS = env.read("SENDING_CALL_TIMEOUT_SECONDS", env.seconds, default=20.0)
# A sender rests when so many of a minute's answers were errors or never came.
SENDING_CIRCUIT_ERROR_PERCENT = env.read("SENDING_CIRCUIT_ERROR_PERCENT", env.percent, default=25)

# Webhooks go to https addresses of the public internet alone. 1 also lets them go to http and to
# this machine: for development and tests, never where integrators enter addresses.
WEBHOOKS_ALLOW_LOCAL = env.read("WEBHOOKS_ALLOW_LOCAL", env.flag, default=False)

# What the ticker does, how often (seconds). A dotted path keeps the import rule: `sending` runs
# the jobs of `tracking` without knowing them.
TICKER_JOBS = [
    ("sending.reaper.reap", 2),
    ("sending.opt_in_requests.ask_waiting", 2),
    ("sending.planning.plan_due", 1),
    ("sending.evergreen.tick_due", 1),
    ("sending.parking.follow_campaigns", 1),
    ("sending.stranded.expire_stranded", 15),
    ("sending.circuits.review", 2),
    ("sending.circuits.review_receipts", 30),
    ("sending.queues.ring_due", 1),
    ("tracking.inbox.apply_due", 1),
    ("tracking.receipts.match_waiting", 2),
    ("tracking.activity.count_touched", 2),
    ("tracking.attribution.attribute_due", 2),
    ("tracking.matching.match_waiting", 300),
    ("tracking.inbox.forget_applied", 600),
    ("sending.strain.brake", 10),
    ("tracking.opt_out_brake.brake", 10),
    ("tracking.winners.choose_due", 60),
    ("sending.counts.squash", 2),
    ("sending.credits.settle_due", 5),
    ("sending.accounts.remember_use", 5),
    ("sending.lookups.resolve_unknown", 10),
    ("sending.partitions.ensure_ahead", 3600),
    ("subscribers.erasure.finish_open", 30),
    ("subscribers.idempotency.forget_old", 600),
    ("tracking.outbound.retention.forget_old", 60),
    ("tracking.retention.forget_shop_events", 600),
]

# What may refuse to launch a campaign: each takes it, and raises campaigns.lifecycle.NotAllowed.
LAUNCH_CHECKS = ["campaigns.lint.check_launch", "sending.costs.check_launch"]

# Who may read /metrics: with a token whoever has it, else only this machine.
METRICS_TOKEN = env.read("METRICS_TOKEN", env.secret, default="")

# How long things are kept, in days. Texts with their events and short links go by whole months, by
# `manage.py archive`, into files of this folder; the rest is forgotten by the ticker.
KEEP_TEXTS_DAYS = env.read("KEEP_TEXTS_DAYS", env.days, default=730)
ARCHIVE_DIR = Path(env.read("ARCHIVE_DIR", env.text, default=str(DATA_DIR / "archive")))
KEEP_INBOX_DAYS = env.read("KEEP_INBOX_DAYS", env.days, default=3)
KEEP_WEBHOOKS_DAYS = env.read("KEEP_WEBHOOKS_DAYS", env.days, default=30)
KEEP_SHOP_EVENTS_DAYS = env.read("KEEP_SHOP_EVENTS_DAYS", env.days, default=730)
# What `manage.py archive` asks whether a month may go, and what keeps something of it in the
# transaction that drops it: each takes the month's first moment and that of the next one.
ARCHIVE_CHECKS = ["tracking.archive.reasons_to_keep"]
ARCHIVE_STEPS = ["tracking.archive.keep"]

# What erases a person in the apps above `subscribers`, in this order; each takes an erasure.Person,
# may be repeated, and answers whether it has finished. Tracking once before `sending` forgets which
# texts there were, and once after.
ERASURE_STEPS = [
    "tracking.erasure.erase",
    "sending.erasure.erase",
    "tracking.erasure.erase",
    "tracking.purchase_erasure.erase",
]
# What an export of a person holds beside what `subscribers` knows: each takes an erasure.Person and
# answers sections by name.
EXPORT_STEPS = [
    "sending.person_export.sections",
    "tracking.person_export.sections",
    "tracking.purchase_erasure.sections",
]

# What else `manage.py audit_ledger` compares: each takes a books.Scope and answers sentences.
AUDIT_CHECKS = ["tracking.books.differences"]

# Asks whether numbers were given to somebody else: a dotted path to a function that takes pairs of
# an E.164 number and the moment of its consent and answers the numbers that were. Empty: nobody asks.
REASSIGNED_NUMBER_CHECK = env.read("REASSIGNED_NUMBER_CHECK", env.text, default="")

LOG_LEVEL = env.read("LOG_LEVEL", env.text, default="INFO").upper()
LOGGING_CONFIG = "config.logs.configure"
LOGGING = {"level": LOG_LEVEL}
