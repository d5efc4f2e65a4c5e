"""The API against its own OpenAPI document, by schemathesis: requests that nobody here thought of."""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from django.core import signals
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, connection, transaction
from drf_spectacular.generators import SchemaGenerator
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from subscribers.models import Brand
from tests import admin_rows
from tests.subscribers.conftest import api_key, make_key

EXAMPLES = 15  # of one operation
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


def operations() -> list[Any]:
    document = SchemaGenerator().get_schema(request=None, public=True)
    schema = schemathesis.openapi.from_dict(document)
    schema.app = get_wsgi_application()
    return [found.ok() for found in schema.get_all_operations()]


def test_no_two_answers_share_a_name_in_the_document(capsys: pytest.CaptureFixture[str]) -> None:
    """Of two serializers with one name the document shows one, for both."""
    SchemaGenerator().get_schema(request=None, public=True)

    assert "identical names" not in capsys.readouterr().err


@pytest.fixture
def one_connection(db: None) -> Iterator[None]:
    """Requests keep the test's connection, and with it its transaction, as Django's client does."""
    of_requests = (signals.request_started, signals.request_finished)
    for signal in of_requests:
        signal.disconnect(close_old_connections)
    yield
    for signal in of_requests:
        signal.connect(close_old_connections)


@pytest.mark.parametrize("operation", operations(), ids=lambda operation: operation.label)
def test_the_api_does_what_its_document_says(operation: Any, one_connection: None) -> None:
    rows = admin_rows.tenant("aardvark", 1)
    key = make_key(rows[Brand].workspace, per_minute=1_000_000, events_per_minute=1_000_000)

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(operation.as_strategy())
    def ask(case: schemathesis.Case) -> None:
        with transaction.atomic():
            answer = case.call(headers=api_key(key))
        case.validate_response(answer, checks=CHECKS)
        assert connection.is_usable()

    ask()
