"""`GET /api/messages/{id}/events`: what happened after a text."""

import uuid

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django.urls import path
from rest_framework import serializers
from rest_framework.generics import ListAPIView

from sending.models import SentLog
from subscribers.api_pages import NamedFilters, Pages, SparseFields
from tracking.models import TrackingEvent


class EventShown(SparseFields, serializers.ModelSerializer):
    """One thing that happened. `name`: the state that a receipt tells, and so on."""

    brand = serializers.CharField(source="brand.slug")
    subscriber = serializers.IntegerField(source="subscriber_id", allow_null=True)
    message = serializers.UUIDField(source="text_id", allow_null=True)
    receivedAt = serializers.DateTimeField(source="received_at")

    class Meta:
        model = TrackingEvent
        fields = ("id", "kind", "name", "code", "brand", "subscriber", "message", "receivedAt")


class TextEvents(ListAPIView):
    """One text's history: receipts, clicks and replies, the latest first."""

    serializer_class = EventShown
    pagination_class = Pages
    filter_backends = (NamedFilters,)

    def get_queryset(self) -> QuerySet[TrackingEvent]:
        text_id: uuid.UUID = self.kwargs["text_id"]
        text = get_object_or_404(SentLog.objects.for_key(self.request.auth), pk=text_id)
        return TrackingEvent.objects.filter(text_id=text.pk).select_related("brand")


urlpatterns = [
    path("messages/<uuid:text_id>/events", TextEvents.as_view(), name="message-events"),
]
