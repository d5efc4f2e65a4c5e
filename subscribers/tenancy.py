"""The wall between tenants: every queryset that a user or a key reaches starts here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured
from django.db import models
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import (
    AuthenticationFailed,
    NotAuthenticated,
    PermissionDenied,
)
from rest_framework.permissions import SAFE_METHODS, BasePermission

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser
    from rest_framework.request import Request

    from subscribers.models import ApiKey


class TenantQuerySet(models.QuerySet):
    """Rows of a model that names its path to the workspace (`tenant_path`).

    `brand_path` (default: the field `brand`) is the path to the brand, where a row has one. A row
    that belongs to no brand is not seen by a key of some brands.
    """

    def for_user(self, user: AbstractBaseUser) -> TenantQuerySet:
        """What a person of the staff may see: the workspaces that they are a member of."""
        if getattr(user, "is_superuser", False):
            return self.all()
        workspaces = user.workspaces.values("pk")  # type: ignore[attr-defined]
        return self.filter(**{f"{self._tenant_path()}__in": workspaces})

    def for_key(self, key: ApiKey) -> TenantQuerySet:
        """What an API key may see: its workspace, or only its brands where it names any."""
        rows = self.filter(**{self._tenant_path(): key.workspace_id})
        brands = key.brand_ids()
        brand_path = self._brand_path()
        if brands is not None and brand_path:
            rows = rows.filter(**{f"{brand_path}__in": brands})
        return rows

    def _tenant_path(self) -> str:
        path = getattr(self.model, "tenant_path", None)
        if path is None:
            raise ImproperlyConfigured(f"{self.model.__name__} does not name its tenant_path.")
        return path

    def _brand_path(self) -> str | None:
        fields = self.model._meta.fields  # noqa: SLF001 - documented API
        default = "brand" if any(field.name == "brand" for field in fields) else None
        return getattr(self.model, "brand_path", default)


TenantManager = models.Manager.from_queryset(TenantQuerySet)


class ApiKeyAuthentication(BaseAuthentication):
    """`Authorization: Api-Key <key>`. `request.auth` is the ApiKey; there is no user."""

    keyword = "Api-Key"

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        from subscribers.models import ApiKey  # models import this module

        # The API's middleware asked before, for the key's limit.
        known = getattr(getattr(request, "_request", request), "api_key", None)
        if known is not None:
            return None, known
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != self.keyword.lower() or not given:
            return None
        try:
            key = ApiKey.objects.get_from_key(given.strip())
        except ApiKey.DoesNotExist:
            raise AuthenticationFailed("This API key is not known.") from None
        if key.has_expired:
            raise AuthenticationFailed("This API key has expired.")
        return None, key

    def authenticate_header(self, request: Request) -> str:
        return self.keyword


class HasApiKey(BasePermission):
    """Every endpoint needs a key unless it says otherwise, and the key the endpoint's scope.

    Reading takes `read`; a view that writes names what it takes in `scope`.
    """

    message = "Send your key in the header: Authorization: Api-Key <key>."

    def has_permission(self, request: Request, view: Any) -> bool:
        if request.auth is None:
            raise NotAuthenticated(self.message)  # DRF would answer in words of its own
        needed = "read" if request.method in SAFE_METHODS else view.scope
        if needed not in request.auth.scopes:
            raise PermissionDenied(
                f"This key lacks the scope {needed}: use another one, or have it added in the admin.",
                code="missing_scope",
            )
        return True


def brand_named(name: str) -> Any:
    """The brand that an operator names on the command line: 'slug' or 'workspace/slug'.

    Raises LookupError with a sentence where there is none, or more than one.
    """
    from subscribers.models import Brand

    workspace, _, slug = name.rpartition("/")
    found = list(Brand.objects.filter(slug=slug).select_related("workspace"))
    if workspace:
        found = [brand for brand in found if brand.workspace.slug == workspace]
    if not found:
        known = ", ".join(Brand.objects.order_by("slug").values_list("slug", flat=True)[:20])
        raise LookupError(f"There is no brand {name!r}; there are: {known or 'none yet'}.")
    if len(found) > 1:
        names = ", ".join(f"{brand.workspace.slug}/{slug}" for brand in found)
        raise LookupError(f"More than one workspace has a brand {slug!r}; say which: {names}.")
    return found[0]


def workspace_named(slug: str) -> Any:
    """The workspace that an operator names on the command line. Raises LookupError, a sentence."""
    from subscribers.models import Workspace

    found = Workspace.objects.filter(slug=slug).first()
    if found is None:
        known = ", ".join(Workspace.objects.order_by("slug").values_list("slug", flat=True)[:20])
        raise LookupError(f"There is no workspace {slug!r}; there are: {known or 'none yet'}.")
    return found
