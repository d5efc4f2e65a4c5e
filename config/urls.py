"""All routes. Each app brings its own `api.py`; webhooks belong to tracking."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

urlpatterns = [
    path("", RedirectView.as_view(url="/admin/")),
    path("admin/", admin.site.urls),
    path("api/", include("subscribers.api_bulk")),
    path("api/", include("subscribers.api_people")),
    path("api/", include("subscribers.api_consent")),
    path("api/", include("subscribers.api_lists")),
    path("api/", include("subscribers.api_segments")),
    path("api/", include("campaigns.api")),
    path("api/", include("campaigns.api_drafts")),
    path("api/", include("campaigns.api_controls")),
    path("api/", include("sending.api")),
    path("api/", include("sending.api_texts")),
    path("api/", include("sending.api_messages")),
    path("api/", include("tracking.api_history")),
    path("api/", include("tracking.api_replies")),
    path("api/", include("tracking.api_events")),
    path("api/", include("tracking.outbound.api")),
    path("api/", include("tracking.outbound.api_deliveries")),
    path("api/", include("tracking.api_reports")),
    path("api/schema", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs", SpectacularSwaggerView.as_view(url_name="schema"), name="docs"),
    path("webhooks/", include("tracking.webhooks.urls")),
    path("webhooks/", include("tracking.webhooks.shops")),
    path("", include("tracking.clicks")),
]

handler404 = "config.envelope.not_found"
