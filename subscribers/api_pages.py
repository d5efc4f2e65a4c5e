"""What all lists of the API share: pages by cursor, and answers with some of their fields only."""

from typing import Any

from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request


class Pages(CursorPagination):
    """The newest first. `next` and `previous` are addresses to follow; a list is never counted."""

    page_size = 50
    max_page_size = 500
    page_size_query_param = "limit"
    ordering = "-pk"
    invalid_cursor_message = "This cursor is not one of ours: begin without it."


class SparseFields(serializers.BaseSerializer):
    """Mix in before Serializer: `?fields=id,status` answers these fields alone."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        request: Request | None = self.context.get("request")
        wanted = request.query_params.get("fields") if request else None
        if not wanted or request is None or request.method != "GET":
            return
        names = {name.strip() for name in wanted.split(",") if name.strip()}
        unknown = sorted(names - self.fields.keys())  # type: ignore[attr-defined]
        if unknown:
            raise ValidationError(
                {"fields": [f"There is no field {unknown[0]!r}."]}, code="unknown_field"
            )
        for name in self.fields.keys() - names:  # type: ignore[attr-defined]
            del self.fields[name]  # type: ignore[attr-defined]


def page_of(request: Request, rows: Any, serializer: type, **context: Any) -> Any:
    """The page of `rows` that the request asks for, as an answer."""
    pages = Pages()
    shown = pages.paginate_queryset(rows, request)
    told = serializer(shown, many=True, context={"request": request, **context})
    return pages.get_paginated_response(told.data)
