"""`GET /api/messages/{id}`: one text, on wish after its provider was asked about it."""

import uuid

from django.shortcuts import get_object_or_404
from django.urls import path
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from sending import lookups
from sending.api_texts import TextShown
from sending.models import SentLog


class StatusQuery(serializers.Serializer):
    """`refresh=1`: ask the provider first, at most every 30 seconds about one text."""

    refresh = serializers.BooleanField(required=False, default=False)


class TextStatus(TextShown):
    """One text. `refreshed`: the provider was asked just now, and told."""

    refreshed = serializers.SerializerMethodField()

    class Meta(TextShown.Meta):
        fields = (*TextShown.Meta.fields, "refreshed")

    def get_refreshed(self, text: SentLog) -> bool:
        return bool(self.context.get("refreshed"))


class Text(APIView):
    """A text of the key's brands."""

    @extend_schema(parameters=[StatusQuery], responses=TextStatus)
    def get(self, request: Request, text_id: uuid.UUID) -> Response:
        """Where the provider does not answer within 4 seconds, the text is told as it is known."""
        asked = StatusQuery(data=request.query_params)
        asked.is_valid(raise_exception=True)
        rows = SentLog.objects.for_key(request.auth).select_related("brand", "sender")
        text = get_object_or_404(rows, pk=text_id)
        refreshed = asked.validated_data["refresh"] and lookups.refresh(text)
        if refreshed:
            text.refresh_from_db(fields=["state", "reason", "error_code", "sent_at", "changed_at"])
        context = {"request": request, "refreshed": refreshed}
        return Response(TextStatus(text, context=context).data)


urlpatterns = [path("messages/<uuid:text_id>", Text.as_view(), name="message")]
