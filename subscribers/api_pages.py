"""What all lists of the API share: pages by cursor, and answers with some of their fields only."""

from typing import Any

from django.core.exceptions import ValidationError as DjangoValidationError
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework import serializers
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request


class Pages(CursorPagination):
    """The newest first. `next` and `previous` are addresses to follow; a list is never counted."""

    page_size = 50
    max_page_size = 500
    page_size_query_param = "limit"
    ordering = "-pk"
    invalid_cursor_message = "This cursor is not one of ours: begin without it."

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> Any:
        cursor = self.decode_cursor(request)
        key = queryset.model._meta.pk  # noqa: SLF001 - documented API
        try:
            key.to_python(cursor.position if cursor else None)
        except DjangoValidationError:
            raise NotFound(self.invalid_cursor_message) from None
        return self.page_of(queryset, request, view)

    def page_of(self, rows: Any, request: Request, view: Any) -> Any:
        """A page; the cursor is one that we could have made."""
        return super().paginate_queryset(rows, request, view)


class SparseFields(serializers.BaseSerializer):
    """Mix in before Serializer: `?fields=id,status` answers these fields alone."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names = wanted_fields(self.context.get("request"))
        if names is None:
            return
        fields = self.fields  # type: ignore[attr-defined]
        unknown = sorted(names - fields.keys() - self.context.get("more_fields", set()))
        if unknown:
            raise ValidationError(
                {"fields": [f"There is no field {unknown[0]!r}."]}, code="unknown_field"
            )
        for name in fields.keys() - names:
            del fields[name]


def wanted_fields(request: Request | None) -> set[str] | None:
    """The names in `?fields=` of a GET; None: all."""
    given = request.query_params.get("fields") if request and request.method == "GET" else None
    return {name.strip() for name in given.split(",") if name.strip()} if given else None


class NamedFilters(DjangoFilterBackend):
    """Filters by query parameters; one that is misspelt is refused, instead of answering all rows."""

    def filter_queryset(self, request: Request, queryset: Any, view: Any) -> Any:
        filters = self.get_filterset_class(view, queryset)
        known = {*(filters.base_filters if filters else ()), "limit", "cursor", "fields"}
        unknown = sorted(request.query_params.keys() - known)
        if unknown:
            raise ValidationError(
                {unknown[0]: [f"There is no such filter; there are: {', '.join(sorted(known))}."]},
                code="unknown_filter",
            )
        return super().filter_queryset(request, queryset, view)
