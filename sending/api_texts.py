"""`GET /api/messages`: the sent log, by campaign, person, state and time.

Every look is a range of ids, a person's index or a brand's, so that it costs the same however long
the log is, whosever texts are in it.
"""

import datetime as dt

import django_filters
from django.db.models import QuerySet
from django.urls import path
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.request import Request

from campaigns.models import Campaign
from campaigns.reference_models import ClientReference
from sending import browse, newest
from sending.identity import lower_bound, moment_of
from sending.models import SentLog, State
from subscribers import clock
from subscribers.api_pages import NamedFilters, Pages, SparseFields
from subscribers.api_people import people_of, whole_number
from subscribers.models import Brand

LATELY = dt.timedelta(days=7)  # where neither a campaign, a person nor a time is named
# Filters that lead to a person's index or to a run's few ids; beside them no brand's index is needed.
NARROW = {"campaign", "subscriber", "phone", "client_reference"}


class TextShown(SparseFields, serializers.ModelSerializer):
    """One text. `messageId` and `bulkId` are the provider's, `message` the variant's id."""

    brand = serializers.CharField(source="brand.slug")
    campaign = serializers.IntegerField(source="campaign_id", allow_null=True)
    message = serializers.IntegerField(source="message_id", allow_null=True)
    subscriber = serializers.IntegerField(source="subscriber_id", allow_null=True)
    errorCode = serializers.CharField(source="error_code")
    messageId = serializers.CharField(source="provider_message_id")
    bulkId = serializers.CharField(source="bulk_id")
    plannedAt = serializers.SerializerMethodField()
    sentAt = serializers.DateTimeField(source="sent_at", allow_null=True)
    changedAt = serializers.DateTimeField(source="changed_at")

    class Meta:
        model = SentLog
        fields = (
            *("id", "brand", "campaign", "message", "subscriber", "purpose", "phone", "body"),
            *("segments", "state", "reason", "errorCode", "messageId", "bulkId"),
            *("plannedAt", "sentAt", "changedAt"),
        )

    def get_plannedAt(self, text: SentLog) -> dt.datetime:  # noqa: N802 - named by the field
        return moment_of(text.pk)


class TextFilters(django_filters.FilterSet):
    """`since` and `until` are of planning, ISO 8601."""

    campaign = django_filters.NumberFilter(method="by_campaign", help_text="A campaign's id.")
    subscriber = django_filters.NumberFilter(method="by_subscriber", help_text="A person's id.")
    phone = django_filters.CharFilter(method="by_phone", help_text="A whole number.")
    brand = django_filters.CharFilter(method="by_brand", help_text="A brand's slug.")
    state = django_filters.ChoiceFilter(choices=State.choices)
    reason = django_filters.CharFilter(field_name="reason")
    client_reference = django_filters.CharFilter(
        method="by_reference", help_text="What the request that sent them called it."
    )
    since = django_filters.IsoDateTimeFilter(method="from_moment")
    until = django_filters.IsoDateTimeFilter(method="to_moment")

    class Meta:
        model = SentLog
        fields = ()

    def filter_queryset(self, queryset: QuerySet) -> QuerySet:
        rows = super().filter_queryset(queryset)
        given = {name for name, value in self.form.cleaned_data.items() if value}
        if given & (NARROW | {"since"}):
            return rows
        return browse.since(rows, clock.now() - LATELY)

    def by_brand(self, rows: QuerySet, name: str, value: str) -> QuerySet:
        # A list, not a join: its id tells the planner that no other brand has any.
        brands = Brand.objects.for_key(self.request.auth).filter(slug=value)
        return rows.filter(brand_id__in=list(brands.values_list("pk", flat=True)))

    def by_campaign(self, rows: QuerySet, name: str, value: object) -> QuerySet:
        campaign = Campaign.objects.for_key(self.request.auth).filter(pk=value).first()
        return browse.of_campaign(rows, campaign) if campaign else rows.none()

    def by_reference(self, rows: QuerySet, name: str, value: str) -> QuerySet:
        own = ClientReference.objects.for_key(self.request.auth).filter(reference=value)
        return browse.under(rows, own)

    def by_subscriber(self, rows: QuerySet, name: str, value: object) -> QuerySet:
        return self._of(rows, {"pk": value})

    def by_phone(self, rows: QuerySet, name: str, value: str) -> QuerySet:
        return self._of(rows, {"phone": whole_number(value)})

    def _of(self, rows: QuerySet, named: dict[str, object]) -> QuerySet:
        # A list, not a subquery: only constants let the planner go by the person's index.
        people = people_of(self.request.auth).filter(**named)
        return rows.filter(subscriber_id__in=list(people.values_list("pk", flat=True)))

    def from_moment(self, rows: QuerySet, name: str, value: dt.datetime) -> QuerySet:
        return rows.filter(id__gte=lower_bound(_in_range(value)))

    def to_moment(self, rows: QuerySet, name: str, value: dt.datetime) -> QuerySet:
        return rows.filter(id__lt=lower_bound(_in_range(value)))


def _in_range(moment: dt.datetime) -> dt.datetime:
    """Ids begin in 1970."""
    return max(moment, dt.datetime(1970, 1, 1, tzinfo=dt.UTC))


class TextPages(Pages):
    """Pages of the log: where nothing narrows it, along the index of each brand that the key covers."""

    def page_of(self, rows: QuerySet, request: Request, view: ListAPIView) -> list[SentLog] | None:
        given = {name for name, value in request.query_params.items() if value}
        brands = Brand.objects.for_key(request.auth)
        if given & NARROW:
            return super().page_of(rows, request, view)
        within = {name: request.query_params[name] for name in given & {"brand", "since", "until"}}
        few = bool(given & {"state", "reason"})
        if few:
            window = TextFilters(within, view.get_queryset(), request=request).qs
            if not newest.are_few(window, brands):
                return super().page_of(rows, request, view)  # theirs are found by walking by time
        return super().page_of(self._ahead(rows, request, brands, few=few), request, view)

    def _ahead(self, rows: QuerySet, request: Request, brands: QuerySet, *, few: bool) -> QuerySet:
        """What the page shows, and the one text behind it by which it knows that there is more."""
        cursor = self.decode_cursor(request)
        offset, reverse, position = cursor or (0, False, None)
        if position is not None:
            rows = rows.filter(**{"pk__gt" if reverse else "pk__lt": position})
        most = offset + self.get_page_size(request) + 1
        return newest.of_brands(rows, brands, most, oldest=reverse, few=few)


class Texts(ListAPIView):
    """Texts of the key's brands, the latest planned first: of the last 7 days where nothing narrows it."""

    serializer_class = TextShown
    pagination_class = TextPages
    filter_backends = (NamedFilters,)
    filterset_class = TextFilters

    def get_queryset(self) -> QuerySet[SentLog]:
        return SentLog.objects.for_key(self.request.auth).select_related("brand")


urlpatterns = [path("messages", Texts.as_view(), name="messages")]
