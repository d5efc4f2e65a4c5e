"""`GET /api/messages`: the sent log, by campaign, person, state and time.

Every look is a range of ids or a person's index, so that it costs the same however long the log is.
"""

import datetime as dt

import django_filters
from django.db.models import QuerySet
from django.urls import path
from rest_framework import serializers
from rest_framework.generics import ListAPIView

from campaigns.models import Campaign
from campaigns.reference_models import ClientReference
from sending import browse
from sending.identity import lower_bound, moment_of
from sending.models import SentLog, State
from subscribers import clock
from subscribers.api_pages import NamedFilters, Pages, SparseFields
from subscribers.api_people import people_of, whole_number

LATELY = dt.timedelta(days=7)  # where neither a campaign, a person nor a time is named


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
    brand = django_filters.CharFilter(field_name="brand__slug", help_text="A brand's slug.")
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
        if given & {"campaign", "subscriber", "phone", "since", "client_reference"}:
            return rows
        return browse.since(rows, clock.now() - LATELY)

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


class Texts(ListAPIView):
    """Texts of the key's brands, the latest planned first: of the last 7 days where nothing narrows it."""

    serializer_class = TextShown
    pagination_class = Pages
    filter_backends = (NamedFilters,)
    filterset_class = TextFilters

    def get_queryset(self) -> QuerySet[SentLog]:
        return SentLog.objects.for_key(self.request.auth).select_related("brand")


urlpatterns = [path("messages", Texts.as_view(), name="messages")]
