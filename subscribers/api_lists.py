"""`/api/lists`: people chosen by hand, for segments (`{"list": id}`) and to be left out of campaigns."""

from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django.urls import path
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied, ValidationError
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from subscribers.api_pages import NamedFilters, Pages, SparseFields
from subscribers.api_segments import InUse
from subscribers.key_models import ApiKey, Scope
from subscribers.segment_models import ManualList, ManualListMember
from subscribers.segments import lists, references
from subscribers.segments.lists import Result

MOST_PEOPLE = 10_000  # of one call
# What a request calls what became of a person.
STATUS = {
    Result.ADDED: "added",
    Result.ALREADY: "already",
    Result.REMOVED: "removed",
    Result.NOT_ON_IT: "absent",
    Result.UNKNOWN: "unknown",
    Result.NOBODY: "unknown",
    Result.INVALID: "invalid",
}


def lists_of(key: ApiKey) -> QuerySet[ManualList]:
    """The lists that a key covers: lists belong to no brand, so a key of some brands sees none."""
    rows = ManualList.objects.for_key(key)
    return rows if key.brand_ids() is None else rows.none()


class ListShown(SparseFields, serializers.ModelSerializer):
    """A list. Its name is its own in the workspace."""

    name = serializers.CharField(max_length=100)
    createdAt = serializers.DateTimeField(source="created_at", read_only=True)

    class Meta:
        model = ManualList
        fields = ("id", "name", "createdAt")
        validators: list[Any] = []


class ListDetailShown(ListShown):
    """A list, and how many people are on it."""

    people = serializers.SerializerMethodField()

    class Meta(ListShown.Meta):
        fields = (*ListShown.Meta.fields, "people")

    def get_people(self, row: ManualList) -> int:
        return row.members.count()


class MemberShown(SparseFields, serializers.ModelSerializer):
    """Somebody on a list."""

    subscriber = serializers.IntegerField(source="subscriber_id")
    phone = serializers.CharField(source="subscriber.phone")
    addedAt = serializers.DateTimeField(source="added_at")

    class Meta:
        model = ManualListMember
        fields = ("subscriber", "phone", "addedAt")


class PeopleRequest(serializers.Serializer):
    """Who: by number as people write it, by subscriber's id, or both; 10,000 in all."""

    phones = serializers.ListField(
        child=serializers.CharField(max_length=40), required=False, default=list
    )
    subscribers = serializers.ListField(
        child=serializers.IntegerField(min_value=0, max_value=2**63 - 1),
        required=False,
        default=list,
    )

    def validate(self, given: dict[str, Any]) -> dict[str, Any]:
        count = len(given["phones"]) + len(given["subscribers"])
        if not 0 < count <= MOST_PEOPLE:
            sentence = f"Name 1 to {MOST_PEOPLE:,} people, as `phones` or `subscribers`."
            raise ValidationError({"phones": [sentence]}, code="wrong_number")
        return given


class MemberAnswer(serializers.Serializer):
    """What became of one; `given` is the number or the id as it came."""

    given = serializers.CharField()
    status = serializers.ChoiceField(choices=sorted(set(STATUS.values())))


class PeopleAnswer(serializers.Serializer):
    """`changed` people were put on the list or taken off it. `results`: those that were not, and why."""

    changed = serializers.IntegerField()
    results = MemberAnswer(many=True)


def _list(request: Request, list_id: int) -> ManualList:
    return get_object_or_404(lists_of(request.auth), pk=list_id)


def _saved(row: ManualList, request: Request) -> dict[str, Any]:
    """Write the list under the name that is asked for. Raises ValidationError."""
    asked = ListShown(row, data=request.data)
    asked.is_valid(raise_exception=True)
    taken = ValidationError({"name": ["There is a list of this name already."]}, code="unique")
    try:
        with transaction.atomic():
            row.name = asked.validated_data["name"]
            row.save()
    except IntegrityError:
        raise taken from None
    return ListDetailShown(row).data


class Lists(ListAPIView):
    """The workspace's manual lists; a new one."""

    scope = Scope.SUBSCRIBERS
    serializer_class = ListShown
    pagination_class = Pages
    filter_backends = (NamedFilters,)

    def get_queryset(self) -> QuerySet[ManualList]:
        return lists_of(self.request.auth)

    @extend_schema(request=ListShown, responses={201: ListDetailShown})
    def post(self, request: Request) -> Response:
        key = request.auth
        if key.brand_ids() is not None:
            raise PermissionDenied(
                "Lists are of the whole workspace, and this key is of some brands: use another key.",
                code="whole_workspace",
            )
        return Response(_saved(ManualList(workspace=key.workspace), request), status=201)


class ListDetail(APIView):
    """One list."""

    scope = Scope.SUBSCRIBERS

    @extend_schema(responses=ListDetailShown)
    def get(self, request: Request, list_id: int) -> Response:
        return Response(ListDetailShown(_list(request, list_id)).data)

    @extend_schema(request=ListShown, responses=ListDetailShown)
    def patch(self, request: Request, list_id: int) -> Response:
        """Rename it. Whoever uses it goes on doing so: it is named by its id."""
        return Response(_saved(_list(request, list_id), request))

    @extend_schema(responses={204: OpenApiResponse(description="Gone.")})
    def delete(self, request: Request, list_id: int) -> Response:
        """Delete it, unless a segment or a campaign uses it. Its people stay subscribers."""
        row = _list(request, list_id)
        if names := references.used_by(row):
            raise InUse(f"It is in use by {', '.join(names[:5])}: change that first.")
        row.delete()
        return Response(status=204)


_EXAMPLE = OpenApiExample(
    "By number and by id",
    {"phones": ["+12125550100", "(212) 555-0101"], "subscribers": [4711]},
    request_only=True,
)


class Members(ListAPIView):
    """Who is on a list, the last added first; more people for it."""

    scope = Scope.SUBSCRIBERS
    serializer_class = MemberShown
    pagination_class = Pages
    filter_backends = (NamedFilters,)

    def get_queryset(self) -> QuerySet[ManualListMember]:
        if getattr(self, "swagger_fake_view", False):
            return ManualListMember.objects.none()
        row = _list(self.request, self.kwargs["list_id"])
        return ManualListMember.objects.filter(manual_list=row).select_related("subscriber")

    @extend_schema(request=PeopleRequest, responses=PeopleAnswer, examples=[_EXAMPLE])
    def post(self, request: Request, list_id: int) -> Response:
        """Put subscribers on the list. Nobody becomes a subscriber by it."""
        row = _list(request, list_id)
        given = _people(request)
        return _told(
            [
                *lists.add(row, given["phones"]),
                *lists.add_people(row, given["subscribers"]),
            ]
        )


class MembersRemove(APIView):
    """Fewer people on a list."""

    scope = Scope.SUBSCRIBERS

    @extend_schema(request=PeopleRequest, responses=PeopleAnswer, examples=[_EXAMPLE])
    def post(self, request: Request, list_id: int) -> Response:
        """Take people off the list."""
        row = _list(request, list_id)
        given = _people(request)
        return _told(
            [
                *lists.remove(row, given["phones"]),
                *lists.remove_people(row, given["subscribers"]),
            ]
        )


def _people(request: Request) -> dict[str, Any]:
    asked = PeopleRequest(data=request.data)
    asked.is_valid(raise_exception=True)
    return asked.validated_data


def _told(answers: list[lists.Answer]) -> Response:
    done = (Result.ADDED, Result.REMOVED)
    left = [one for one in answers if one.result not in done]
    return Response(
        {
            "changed": len(answers) - len(left),
            "results": [{"given": one.line, "status": STATUS[one.result]} for one in left],
        }
    )


urlpatterns = [
    path("lists", Lists.as_view(), name="lists"),
    path("lists/<int:list_id>", ListDetail.as_view(), name="list"),
    path("lists/<int:list_id>/members", Members.as_view(), name="list-members"),
    path("lists/<int:list_id>/members/remove", MembersRemove.as_view(), name="list-members-remove"),
]
