"""One shape for every error of the API."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.db import InterfaceError, OperationalError
from django.http import Http404
from django.test import Client
from redis import ConnectionError as RedisConnectionError
from rest_framework import exceptions, serializers

from config import envelope

ROOT = Path(__file__).parents[2]


class Inner(serializers.Serializer):
    size = serializers.IntegerField(max_value=9)


class Outer(serializers.Serializer):
    name = serializers.CharField()
    shoes = Inner(many=True)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        raise serializers.ValidationError("Nobody has such feet.", code="feet")


CASES: list[tuple[Exception, int, str]] = [
    (Http404("No Campaign matches the given query."), 404, "not_found"),
    (PermissionDenied("internal words"), 403, "permission_denied"),
    (exceptions.NotAuthenticated(), 401, "not_authenticated"),
    (exceptions.AuthenticationFailed("This key has expired."), 401, "authentication_failed"),
    (exceptions.MethodNotAllowed("PUT"), 405, "method_not_allowed"),
    (exceptions.NotAcceptable(), 406, "not_acceptable"),
    (exceptions.UnsupportedMediaType("text/css"), 415, "unsupported_media_type"),
    (exceptions.Throttled(wait=1.2), 429, "throttled"),
    (exceptions.ParseError(), 400, "parse_error"),
    (exceptions.ValidationError("No."), 400, "invalid"),
    (RequestDataTooBig("2621440 bytes"), 413, "too_large"),
    (OperationalError("could not connect to s3cret"), 503, "unavailable"),
    (InterfaceError("the connection is closed"), 503, "unavailable"),
    (RedisConnectionError("Error 111 connecting to s3cret"), 503, "unavailable"),
]


@pytest.mark.parametrize(("error", "status", "code"), CASES, ids=lambda case: type(case).__name__)
def test_every_error_has_the_same_three_fields(error: Exception, status: int, code: str) -> None:
    answer = envelope.handle(error, {})

    assert answer is not None
    assert answer.status_code == status
    assert answer.data.keys() == {"error", "code", "field"}
    assert (answer.data["code"], answer.data["field"]) == (code, None)
    assert isinstance(answer.data["error"], str)
    assert answer.data["error"].endswith(".")


@pytest.mark.parametrize("error", [case[0] for case in CASES[:2] + CASES[-4:]], ids=repr)
def test_the_words_of_the_machine_stay_inside(error: Exception) -> None:
    answer = envelope.handle(error, {})

    assert answer is not None
    assert str(error) not in answer.data["error"]


def test_a_field_is_named_by_its_whole_path() -> None:
    for data, field, code in (
        ({}, "name", "required"),
        ({"name": "Ada", "shoes": [{"size": 10}]}, "shoes.0.size", "max_value"),
        ({"name": "Ada", "shoes": [{"size": 1}, {}]}, "shoes.1.size", "required"),
        ({"name": "Ada", "shoes": []}, None, "feet"),
    ):
        problem = Outer(data=data)
        problem.is_valid()

        answer = envelope.handle(exceptions.ValidationError(problem.errors), {})

        assert answer is not None
        assert (answer.data["field"], answer.data["code"]) == (field, code)


@pytest.mark.parametrize("detail", [{}, [], {"a": []}, {"a": [{}]}, {"a": [{}, {"b": ["No."]}]}])
def test_an_error_without_words_is_still_an_envelope(detail: Any) -> None:
    answer = envelope.handle(exceptions.ValidationError(detail), {})

    assert answer is not None
    assert answer.data.keys() == {"error", "code", "field"}
    assert isinstance(answer.data["code"], str)


def test_who_is_told_to_wait_is_told_how_long() -> None:
    throttled = envelope.handle(exceptions.Throttled(wait=1.2), {})
    away = envelope.handle(OperationalError(), {})

    assert throttled is not None
    assert away is not None
    assert int(throttled["Retry-After"]) >= 2
    assert away["Retry-After"] == "5"


def test_an_error_of_ours_stays_an_exception() -> None:
    assert envelope.handle(ZeroDivisionError(), {}) is None


@pytest.mark.parametrize("path", ["/api/", "/api/nothing", "/api/subscribers/", "/api/campaigns/x"])
def test_an_unknown_path_of_the_api_is_an_envelope(client: Client, path: str) -> None:
    answer = client.get(path)

    assert answer.status_code == 404
    assert answer.json() == envelope.body(envelope.SENTENCES["not_found"], "not_found")


def test_an_unknown_path_elsewhere_is_a_page(client: Client) -> None:
    answer = client.get("/nothing")

    assert answer.status_code == 404
    assert answer["Content-Type"].startswith("text/html")


def test_the_api_answers_503_while_the_database_is_away() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        dead = f"127.0.0.1:{taken.getsockname()[1]}"
    code = """
import django
django.setup()
from django.test import Client
headers = {"Authorization": "Api-Key abcd1234.efgh"}
answer = Client(headers=headers).post("/api/subscribers", {}, content_type="application/json")
print(answer.status_code, answer["Retry-After"], answer.json())
"""
    environ = {
        "DATABASE_URL": f"postgresql://carillon:s3cret@{dead}/carillon",
        "DJANGO_SETTINGS_MODULE": "config.settings",
    }

    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT, env=os.environ | environ, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip

    sentence = envelope.SENTENCES["unavailable"]
    assert done.stdout.strip() == f"503 5 {envelope.body(sentence, 'unavailable')}"
    assert "s3cret" not in done.stderr
