"""Admin pages of who: workspaces, brands, people and what they consented to."""

from typing import Any

from django.contrib import admin
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import ChoicesDropdownFilter, DropdownFilter
from unfold.decorators import display

from subscribers import (  # noqa: F401 - pages register their own
    by_hand,
    key_pages,
    search,
    segment_pages,
)
from subscribers.consent_pages import PersonButtons
from subscribers.credentials_form import credentials_form, fields_of, shown_when
from subscribers.forms import SubscriberForm, SuppressionForm
from subscribers.models import (
    Brand,
    ConsentEvent,
    ContactList,
    Membership,
    Subscriber,
    Subscription,
    Suppression,
    Workspace,
)
from subscribers.suppression_pages import ListButtons
from subscribers.tenant_admin import (
    LargeTable,
    LogAdmin,
    OperatorWrites,
    ReadOnly,
    TenantAdmin,
    TenantTabularInline,
    Undeletable,
    VisibleFilter,
    refuse_unseen,
    visible,
)

CONSENT_COLOURS = {
    "Opted in": "success",
    "Opt-in": "success",
    "Active": "success",
    "Opted out": "danger",
    "Opt-out": "danger",
    "Pending": "warning",
    "Asked to opt in": "warning",
    "Opt-out undone": "info",
}
LIST_CREDENTIALS = {"lime": ("user", "api_id")}


class MembersInline(OperatorWrites, TenantTabularInline):
    """Who belongs to a workspace. Operators alone add people: the list of users is everybody's."""

    model = Membership
    autocomplete_fields = ("user",)
    verbose_name = "member"
    show_title = False


@admin.register(Workspace)
class WorkspaceAdmin(Undeletable, TenantAdmin):
    list_display = ("name", "slug", "created_at")
    search_fields = ("name", "slug")
    ordering = ("name",)
    fields = ("name", "slug", "created_at")
    readonly_fields = ("created_at",)
    inlines = (MembersInline,)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.is_superuser


@admin.register(Brand)
class BrandAdmin(Undeletable, TenantAdmin):
    list_display = ("name", "slug", "workspace", "kind")
    list_filter = (("workspace", VisibleFilter),)
    list_select_related = ("workspace",)
    search_fields = ("name", "slug")
    ordering = ("name",)
    autocomplete_fields = ("workspace",)
    fields = ("workspace", "name", "slug", "help_text", "sandbox", "clock_shift", "created_at")
    change_form_outer_before_template = "admin/subscribers/queue_slot.html"

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """A brand never changes hands; only an operator points one at the fake carrier."""
        fixed = ("workspace", "slug") if obj else ()
        operators = () if request.user.is_superuser else ("sandbox", "clock_shift")
        return ("created_at", *fixed, *operators)

    @display(description="Kind", label={"Sandbox": "warning"})
    def kind(self, brand: Brand) -> str:
        return "Sandbox" if brand.sandbox else "Live"


@admin.register(ContactList)
class ContactListAdmin(TenantAdmin):
    form = credentials_form(LIST_CREDENTIALS, provider_field="provider")
    conditional_fields = shown_when(LIST_CREDENTIALS, provider_field="provider")
    list_display = ("list_id", "provider", "brand", "clock", "last_synced_at")
    list_filter = (("brand", VisibleFilter),)
    list_select_related = ("brand",)
    search_fields = ("list_id",)
    autocomplete_fields = ("brand",)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        names = fields_of(LIST_CREDENTIALS, obj.provider if obj else None)
        own = ("brand", "provider", "list_id", "clock", "last_synced_at")
        return [(None, {"fields": own}), ("Credentials at the provider", {"fields": names})]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("last_synced_at", "brand", "provider") if obj else ("last_synced_at",)


class CountryFilter(DropdownFilter):
    """The countries that texts go to; a list of all values would read the whole table."""

    title = "country"
    parameter_name = "country"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        known = {"US": "United States", "CA": "Canada", "PR": "Puerto Rico", "GB": "United Kingdom"}
        return [*known.items(), ("none", "No one country (toll-free)")]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        value = self.value()
        return queryset.filter(country="" if value == "none" else value) if value else queryset


class SubscribedFilter(DropdownFilter):
    """People who are opted in to one brand."""

    title = "subscribed to"
    parameter_name = "subscribed"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(str(brand.pk), brand.name) for brand in visible(Brand, request.user)[:200]]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        value = self.value()
        if not value:
            return queryset
        return queryset.filter(
            Exists(
                Subscription.objects.for_user(request.user).filter(
                    subscriber=OuterRef("pk"),
                    brand_id=int(value) if value.isdecimal() else None,
                    status=Subscription.Status.OPTED_IN,
                )
            )
        )


class SubscriptionsInline(ReadOnly, TenantTabularInline):
    model = Subscription
    fields = ("brand", "status", "opted_in_at", "opted_out_at")
    per_page = 10
    show_title = False


class ConsentEventsInline(ReadOnly, TenantTabularInline):
    model = ConsentEvent
    fields = ("kind", "brand", "source", "occurred_at", "recorded_at")
    ordering = ("-occurred_at",)
    per_page = 10
    show_title = False


@admin.register(Subscriber)
class SubscriberAdmin(PersonButtons, LargeTable, Undeletable, TenantAdmin):
    form = SubscriberForm
    list_display = ("phone", "full_name", "email", "country", "state", "workspace", "created_at")
    list_filter = (
        ("status", ChoicesDropdownFilter),
        CountryFilter,
        SubscribedFilter,
        ("workspace", VisibleFilter),
    )
    list_select_related = ("workspace",)
    search_fields = ("phone",)
    search_help_text = "Number or its start, e-mail address, or name"
    autocomplete_fields = ("workspace",)
    inlines = (SubscriptionsInline, ConsentEventsInline)
    change_form_outer_before_template = "admin/subscribers/why_slot.html"
    editable = ("name", "first_name", "last_name", "email", "postcode", "timezone")
    engagement = (
        "has_clicked",
        "first_click_at",
        "total_clicks",
        "has_purchased",
        "first_purchase_at",
        "last_purchase_at",
        "total_purchases",
        "total_revenue",
        "last_engagement",
    )
    acquisition = (
        "acq_source",
        "acq_campaign",
        "acq_medium",
        "acq_term",
        "acq_content",
        "form_title",
        "traits",
    )
    derived = (
        *("status", "country", "number_kind", "zones", "jurisdictions", "created_at"),
        "reassigned_checked_at",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        """Of who was erased only a row without a person is left, which texts refer to."""
        return super().get_queryset(request).filter(erased_at=None)

    def get_inlines(self, request: HttpRequest, obj: Any) -> tuple[Any, ...]:
        return self.inlines if obj else ()

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        person = (None, {"fields": ("workspace", "phone", *self.editable)})
        if obj is None:
            return [person]
        return [
            person,
            ("Where and whether", {"fields": self.derived}),
            ("Engagement", {"fields": self.engagement, "classes": ["tab"]}),
            ("Where from", {"fields": self.acquisition, "classes": ["tab"]}),
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        fixed = ("workspace", "phone") if obj else ()
        return (*fixed, *self.derived, *self.engagement, *self.acquisition)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet, search_term: str
    ) -> tuple[QuerySet, bool]:
        return (search.people(queryset, search_term) if search_term else queryset), False

    def save_model(self, request: HttpRequest, obj: Subscriber, form: Any, change: bool) -> None:
        refuse_unseen(obj, request.user)
        fields = {name: form.cleaned_data[name] for name in self.editable}
        obj.pk = by_hand.save_person(obj, fields, actor=request.user.get_username()).pk

    @display(description="Name")
    def full_name(self, person: Subscriber) -> str:
        return person.name or f"{person.first_name} {person.last_name}".strip()

    @display(description="Status", label=CONSENT_COLOURS)
    def state(self, person: Subscriber) -> str:
        return person.get_status_display()


@admin.register(Subscription)
class SubscriptionAdmin(LogAdmin):
    list_display = ("subscriber", "brand", "state", "opted_in_at", "opted_out_at")
    list_filter = (("status", ChoicesDropdownFilter), ("brand", VisibleFilter))
    list_select_related = ("subscriber", "brand")
    search_fields = ("subscriber__phone",)
    search_help_text = "Whole phone number"

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet, search_term: str
    ) -> tuple[QuerySet, bool]:
        if not search_term:
            return queryset, False
        found = search.hashes(request.user, search_term)
        return queryset.filter(subscriber__phone_hash__in=found), False

    @display(description="Status", label=CONSENT_COLOURS)
    def state(self, subscription: Subscription) -> str:
        return subscription.get_status_display()


class _ByNumber:
    """Search of rows that carry the number's hash."""

    search_help_text = "Whole phone number"

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet, search_term: str
    ) -> tuple[QuerySet, bool]:
        if not search_term:
            return queryset, False
        return queryset.filter(phone_hash__in=search.hashes(request.user, search_term)), False


@admin.register(ConsentEvent)
class ConsentEventAdmin(_ByNumber, LogAdmin):
    list_display = ("subscriber", "what", "brand", "source", "occurred_at", "recorded_at")
    list_filter = (
        ("kind", ChoicesDropdownFilter),
        ("source", ChoicesDropdownFilter),
        ("brand", VisibleFilter),
    )
    list_select_related = ("subscriber", "brand")
    search_fields = ("subscriber__phone",)

    @display(description="What", label=CONSENT_COLOURS)
    def what(self, event: ConsentEvent) -> str:
        return event.get_kind_display()


@admin.register(Suppression)
class SuppressionAdmin(ListButtons, _ByNumber, LargeTable, Undeletable, TenantAdmin):
    form = SuppressionForm
    list_display = ("number", "scope", "workspace", "source", "reason", "created_at")
    list_filter = (("source", ChoicesDropdownFilter), ("brand", VisibleFilter))
    list_select_related = ("workspace", "brand")
    search_fields = ("phone",)
    autocomplete_fields = ("workspace", "brand")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        asked = ("workspace", "brand", "phone", "reason")
        return (*asked, "source", "created_at") if obj else asked

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Suppression, form: Any, change: bool) -> None:
        refuse_unseen(obj, request.user)
        obj.pk = by_hand.suppress(obj, actor=request.user.get_username()).pk

    @display(description="Number", empty_value="erased")
    def number(self, suppression: Suppression) -> str:
        return suppression.phone

    @display(description="Applies to")
    def scope(self, suppression: Suppression) -> str:
        return suppression.brand.name if suppression.brand else "Whole workspace"
