"""`/api/segments`: filters of an integrator, as docs/segments.md shows them."""

from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django.urls import path
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from subscribers import clock, segments
from subscribers.api_pages import NamedFilters, Pages, SparseFields
from subscribers.key_models import Scope
from subscribers.models import Brand
from subscribers.segment_models import Segment
from subscribers.segments import references, schema


class InUse(APIException):
    status_code = 409
    default_code = "in_use"


class TooSlow(APIException):
    status_code = 503
    default_code = "too_slow"
    wait = 5


class SegmentSerializer(SparseFields, serializers.ModelSerializer):
    """A segment. `brand` is the brand's slug, or null for all brands; `words` says what it means."""

    name = serializers.CharField(max_length=100)
    brand = serializers.SlugRelatedField(
        slug_field="slug", queryset=Brand.objects.none(), required=False, allow_null=True
    )
    tree = serializers.JSONField()
    createdAt = serializers.DateTimeField(source="created_at", read_only=True)
    updatedAt = serializers.DateTimeField(source="updated_at", read_only=True)

    class Meta:
        model = Segment
        fields = ("id", "name", "brand", "tree", "createdAt", "updatedAt")
        validators: list[Any] = []

    def get_fields(self) -> dict[str, Any]:
        fields = super().get_fields()
        if key := self.context.get("key"):
            fields["brand"].queryset = Brand.objects.for_key(key)
        return fields

    def validate_name(self, name: str) -> str:
        key = self.context["key"]
        same = Segment.objects.filter(workspace=key.workspace_id, name=name)
        if same.exclude(pk=getattr(self.instance, "pk", None)).exists():
            raise ValidationError("There is a segment of this name already.", code="unique")
        return name

    def validate_tree(self, tree: Any) -> Any:
        key = self.context["key"]
        try:
            references.check_key(segments.parse(tree), key)
            segments.validate(tree, key.workspace, segment_id=getattr(self.instance, "pk", None))
        except segments.Invalid as error:
            raise ValidationError(str(error), code="invalid_tree") from None
        return tree

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """A key of some brands makes segments of those brands: it would not see others again."""
        bound = self.context["key"].brand_ids() is not None
        brand = attrs.get("brand", getattr(self.instance, "brand", None))
        if bound and brand is None:
            raise ValidationError({"brand": ["Name one of the brands that your key covers."]})
        return attrs


def _saved(serializer: SegmentSerializer) -> Response:
    serializer.is_valid(raise_exception=True)
    key, new = serializer.context["key"], serializer.instance is None
    with transaction.atomic():
        serializer.save(workspace=key.workspace, updated_at=clock.now())
    return Response(serializer.data, status=201 if new else 200)


class SegmentList(ListAPIView):
    """The segments that the key covers; a new one."""

    scope = Scope.SUBSCRIBERS
    serializer_class = SegmentSerializer
    pagination_class = Pages
    filter_backends = (NamedFilters,)

    def get_queryset(self) -> QuerySet[Segment]:
        return Segment.objects.for_key(self.request.auth).select_related("brand")

    @extend_schema(request=SegmentSerializer, responses={201: SegmentSerializer})
    def post(self, request: Request) -> Response:
        return _saved(SegmentSerializer(data=request.data, context={"key": request.auth}))


def _segment(request: Request, segment_id: int) -> Segment:
    rows = Segment.objects.for_key(request.auth).select_related("brand", "workspace")
    return get_object_or_404(rows, pk=segment_id)


class SegmentDetail(APIView):
    """One segment."""

    scope = Scope.SUBSCRIBERS

    @extend_schema(responses=SegmentSerializer)
    def get(self, request: Request, segment_id: int) -> Response:
        segment = _segment(request, segment_id)
        return Response(SegmentSerializer(segment, context={"key": request.auth}).data)

    @extend_schema(request=SegmentSerializer(partial=True), responses=SegmentSerializer)
    def patch(self, request: Request, segment_id: int) -> Response:
        segment = _segment(request, segment_id)
        context = {"key": request.auth}
        return _saved(SegmentSerializer(segment, data=request.data, partial=True, context=context))

    @extend_schema(responses={204: OpenApiResponse(description="Gone.")})
    def delete(self, request: Request, segment_id: int) -> Response:
        segment = _segment(request, segment_id)
        if names := references.used_by(segment):
            raise InUse(f"It is in use by {', '.join(names[:5])}: change that first.")
        segment.delete()
        return Response(status=204)


class SegmentCount(APIView):
    """How many people are in it now, and what it means in words."""

    @extend_schema(responses={200: OpenApiResponse(description="`count` and `words`.")})
    def get(self, request: Request, segment_id: int) -> Response:
        segment = _segment(request, segment_id)
        try:
            return Response({"count": segments.count(segment), "words": segments.describe(segment)})
        except segments.TooSlow as error:
            raise TooSlow(str(error)) from None
        except segments.Invalid as error:
            raise ValidationError({"tree": [str(error)]}, code="invalid_tree") from None


class SegmentSchema(APIView):
    """The JSON schema of `tree`."""

    @extend_schema(responses={200: OpenApiResponse(description="A JSON schema.")})
    def get(self, request: Request) -> Response:
        return Response(schema.of_trees())


urlpatterns = [
    path("segments", SegmentList.as_view(), name="segments"),
    path("segments/schema", SegmentSchema.as_view(), name="segment-schema"),
    path("segments/<int:segment_id>", SegmentDetail.as_view(), name="segment"),
    path("segments/<int:segment_id>/count", SegmentCount.as_view(), name="segment-count"),
]
