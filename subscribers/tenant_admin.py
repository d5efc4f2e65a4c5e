"""The admin behind the wall between tenants: what every admin page of the four apps is built from.

`has_*_permission` stays Django's: groups say what a person may do, membership of a workspace to
whose rows. A row of another workspace is never found, so its address answers as if it did not exist.
"""

from typing import Any

from django.contrib.admin import ShowFacets
from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import HttpRequest
from unfold.admin import ModelAdmin, StackedInline, TabularInline
from unfold.contrib.filters.admin import RelatedDropdownFilter
from unfold.paginator import InfinitePaginator

from subscribers.secrets import EncryptedJSONField
from subscribers.tenancy import TenantQuerySet

type AnyUser = User | AnonymousUser

# A filter's drop-down lists so many; older ones are reached by search or by a link.
MOST_CHOICES = 200


def visible(
    model: type[models.Model], user: AnyUser, rows: models.QuerySet | None = None
) -> models.QuerySet:
    """Those of `rows` (default: all of the model) that the user may see, without their secrets.

    Credentials stay unread: a row that no key opens any more can still be listed.
    """
    rows = model.objects.all() if rows is None else rows  # type: ignore[attr-defined]
    fields = model._meta.concrete_fields  # noqa: SLF001 - documented API
    secrets = [field.name for field in fields if isinstance(field, EncryptedJSONField)]
    rows = rows.defer(*secrets) if secrets else rows
    return rows.for_user(user) if isinstance(rows, TenantQuerySet) else rows


def refuse_unseen(row: models.Model, user: AnyUser) -> None:
    """Raise PermissionDenied for a row, saved or not, of a workspace that the user cannot see."""
    if user.is_superuser:
        return
    held: Any = row
    for step in row.tenant_path.split("__"):  # type: ignore[attr-defined]
        held = getattr(held, step)
    if not user.workspaces.filter(pk=getattr(held, "pk", held)).exists():  # type: ignore[union-attr]
        raise PermissionDenied("This belongs to a workspace that you are not a member of.")


def written_by(form: Any) -> list[str]:
    """The model's own fields that a form writes; `also_written` names those that it sets itself."""
    fields = form.instance._meta.concrete_fields  # noqa: SLF001 - documented API
    own = [field.name for field in fields if field.name in form.cleaned_data]
    return [*own, *getattr(form, "also_written", ())]


class VisibleFilter(RelatedDropdownFilter):
    """A list filter by a related row, offering only what the user may see."""

    def field_choices(self, field: Any, request: HttpRequest, model_admin: Any) -> list[Any]:
        ordering = self.field_admin_ordering(field, request, model_admin) or ("pk",)
        rows = visible(field.remote_field.model, request.user).order_by(*ordering)
        return [(row.pk, str(row)) for row in rows[:MOST_CHOICES]]


class TenantScope:
    """For model admins and inlines: rows and choices are those of the user's workspaces."""

    def get_queryset(self, request: HttpRequest) -> models.QuerySet:
        return visible(self.model, request.user, super().get_queryset(request))  # type: ignore[misc,attr-defined]

    def get_field_queryset(self, db: Any, db_field: Any, request: HttpRequest) -> models.QuerySet:
        rows = super().get_field_queryset(db, db_field, request)  # type: ignore[misc]
        return visible(db_field.remote_field.model, request.user, rows)


class TenantAdmin(TenantScope, ModelAdmin):
    """Base of every page that shows a tenant's rows. Superusers see every workspace."""

    list_filter_submit = True
    compressed_fields = True
    warn_unsaved_form = True
    show_facets = ShowFacets.NEVER

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Write what the form holds and no more: a state may have moved since it was read."""
        refuse_unseen(obj, request.user)
        if change:
            obj.save(update_fields=written_by(form))
        else:
            super().save_model(request, obj, form, change)


class TenantTabularInline(TenantScope, TabularInline):
    extra = 0


class TenantStackedInline(TenantScope, StackedInline):
    extra = 0


class Undeletable:
    """Rows that texts, consent or replies refer to: they are kept."""

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ReadOnly(Undeletable):
    """Rows that only the system writes."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class LargeTable:
    """A table of any size: newest first, never counted, never sorted by anything else."""

    paginator = InfinitePaginator
    show_full_result_count = False
    ordering = ("-pk",)
    sortable_by = ()
    list_per_page = 50


class LogAdmin(LargeTable, ReadOnly, TenantAdmin):
    """A large table that only the system writes."""


class OperatorWrites:
    """Rules of the whole installation: others may look at them, with Django's permission."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.is_superuser

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.is_superuser

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.is_superuser


class OperatorOnly(OperatorWrites):
    """What would tell one tenant about another, such as the list of users."""

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.is_superuser

    def has_module_permission(self, request: HttpRequest) -> bool:
        return request.user.is_superuser
