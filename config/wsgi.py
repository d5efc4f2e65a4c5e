"""WSGI entry point: `gunicorn config.wsgi`."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django_application = get_wsgi_application()

# Django is to be set up first.
from tracking.applier import applier  # noqa: E402
from tracking.clicks_wsgi import LinksFirst  # noqa: E402
from tracking.webhooks.wsgi import ReceiptsFirst  # noqa: E402

application = ReceiptsFirst(LinksFirst(django_application))
applier.on = True  # this is a server's process
