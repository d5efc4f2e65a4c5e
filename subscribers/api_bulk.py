"""`POST /api/subscribers/bulk`: up to 10,000 rows as JSON, or any number as a stream of NDJSON."""

import json
import tempfile
from collections.abc import Iterable, Iterator
from typing import IO, Any

from django.http import StreamingHttpResponse
from django.urls import path
from drf_spectacular.utils import OpenApiExample, OpenApiTypes, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ParseError, ValidationError
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from subscribers import bulk
from subscribers.api import SubscriberRequest
from subscribers.key_models import Scope
from subscribers.models import Brand

MOST_ROWS = 10_000
MOST_BYTES = 16 * 1024**2  # of them as JSON
LONGEST_LINE = 64 * 1024
IN_MEMORY = 1024 * 1024  # answers of a stream beyond this wait on disk
NDJSON = "application/x-ndjson"


class LargeJsonParser(BaseParser):
    """JSON of more than the 2 MB that other requests may have: 10,000 rows are 4 MB."""

    media_type = "application/json"

    def parse(
        self, stream: IO[bytes], media_type: str | None = None, parser_context: Any = None
    ) -> Any:
        try:
            return json.loads(stream.read(MOST_BYTES), parse_constant=_refuse)
        except (ValueError, RecursionError) as error:
            raise ParseError(f"This is no JSON: {error}") from None


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number of JSON")


class NdjsonParser(BaseParser):
    """A JSON value a line, read as it comes. An unreadable line is told like any refused row."""

    media_type = NDJSON

    def parse(
        self, stream: IO[bytes], media_type: str | None = None, parser_context: Any = None
    ) -> Iterator[Any]:
        return _lines(stream)


def _lines(stream: IO[bytes]) -> Iterator[Any]:
    while line := stream.readline(LONGEST_LINE):
        if len(line) == LONGEST_LINE and not line.endswith(b"\n"):
            while (rest := stream.readline(LONGEST_LINE)) and not rest.endswith(b"\n"):
                pass
            yield f"longer than {LONGEST_LINE} bytes"
        elif line.strip():
            try:
                yield json.loads(line)
            except (ValueError, RecursionError):
                yield "no JSON"


class BulkRequest(serializers.Serializer):
    """Rows of the schema of `POST /api/subscribers`."""

    subscribers = SubscriberRequest(many=True)


class RowAnswer(serializers.Serializer):
    """What became of a row. `index` counts from 0; the last three are given where it was refused."""

    index = serializers.IntegerField()
    status = serializers.ChoiceField(choices=["created", "updated", "refused"])
    id = serializers.IntegerField(required=False)
    error = serializers.CharField(required=False)
    code = serializers.CharField(required=False)
    field = serializers.CharField(required=False, allow_null=True)  # type: ignore[assignment]


class BulkAnswer(serializers.Serializer):
    """An answer a row, in the order of the rows."""

    success = serializers.BooleanField()
    created = serializers.IntegerField()
    updated = serializers.IntegerField()
    refused = serializers.IntegerField()
    results = RowAnswer(many=True)


class SubscriberBulk(APIView):
    """Create or change many subscribers. A row that cannot be used is refused, the others are kept.

    With an Idempotency-Key a request has at most 2 MB; it may as well be sent again without one, as
    each row then says the same. As `application/x-ndjson` a row a line, with any number of rows in memory that does not grow;
    the answer is then a line for each row too.
    """

    scope = Scope.SUBSCRIBERS
    parser_classes = (LargeJsonParser, NdjsonParser)
    most_bytes = 4 * 1024**3  # a stream is read a line at a time; JSON has a limit of its own

    @extend_schema(
        request={"application/json": BulkRequest, NDJSON: OpenApiTypes.BINARY},
        responses={200: BulkAnswer},
        examples=[
            OpenApiExample(
                "Two rows",
                {
                    "subscribers": [
                        {"phone": "+12125550100", "firstName": "Ada", "subscribe_wswd": True},
                        {"phone": "+13125550100", "email": "grace@example.com"},
                    ]
                },
                request_only=True,
            )
        ],
    )
    def post(self, request: Request) -> Response | StreamingHttpResponse:
        streamed = (request.content_type or "").partition(";")[0].strip() == NDJSON
        if not streamed and int(request.META.get("CONTENT_LENGTH") or 0) > MOST_BYTES:
            raise ValidationError("Send at most 16 MB as JSON, or a stream of NDJSON.")
        data = request.data
        answers = bulk.load(data if streamed else _rows(data), _caller(request))
        if streamed:
            return _stream(answers)
        return Response(_together(list(answers)))


def _rows(data: Any) -> list[Any]:
    rows = data.get("subscribers") if isinstance(data, dict) else None
    if not isinstance(rows, list):
        raise ValidationError({"subscribers": ["Send a list of subscribers."]})
    if len(rows) > MOST_ROWS:
        raise ValidationError(
            {"subscribers": [f"Send at most {MOST_ROWS:,} rows, or a stream of NDJSON."]}
        )
    return rows


def _caller(request: Request) -> bulk.Caller:
    key = request.auth
    return bulk.Caller(
        workspace=key.workspace,
        brands={f"subscribe_{one.slug}": one for one in Brand.objects.for_key(key)},
        bound=key.brand_ids() is not None,
        evidence={"key": key.prefix},
    )


def _told(answer: bulk.RowAnswer) -> dict[str, Any]:
    told: dict[str, Any] = {"index": answer.index, "status": answer.status}
    if answer.problem:
        told["field"], told["code"], told["error"] = answer.problem
    else:
        told["id"] = answer.id
    return told


def _together(answers: list[bulk.RowAnswer]) -> dict[str, Any]:
    counts = dict.fromkeys(("created", "updated", "refused"), 0)
    for answer in answers:
        counts[answer.status] += 1
    return {"success": True, **counts, "results": [_told(answer) for answer in answers]}


def _stream(answers: Iterable[bulk.RowAnswer]) -> StreamingHttpResponse:
    """Answers wait until the whole request is read: most clients read nothing before they have
    written everything, and would block each other with us."""
    spool = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115 - the response closes it
    for answer in answers:
        spool.write(json.dumps(_told(answer)).encode() + b"\n")
    spool.seek(0)
    return StreamingHttpResponse(spool, content_type=NDJSON)


urlpatterns = [path("subscribers/bulk", SubscriberBulk.as_view(), name="subscriber-bulk")]
