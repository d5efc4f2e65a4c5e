"""A POST with an Idempotency-Key happens once, whatever is repeated, raced or killed."""

import contextlib
import datetime as dt
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection, transaction
from django.http import HttpResponse
from django.test import Client

from subscribers import clock, idempotency
from subscribers.models import ApiKey, FirstAnswer, Subscriber, Workspace
from tests.subscribers.conftest import api_key, make_key, make_person, phone, together


def post(key: str, given: str | None, data: Any = None, **headers: str) -> HttpResponse:
    named = {} if given is None else {"Idempotency-Key": given}
    return Client(raise_request_exception=False).post(
        "/api/subscribers",
        json.dumps({"phone": phone(), "firstName": "Ada"} if data is None else data),
        content_type="application/json",
        headers=api_key(key) | named | headers,
    )


def test_the_first_answer_is_repeated_and_nothing_happens_again(key: str) -> None:
    first = post(key, "order-1")
    Subscriber.objects.update(first_name="Grace")

    again = post(key, "order-1")

    assert again.content == first.content
    assert again.status_code == 200
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert Subscriber.objects.get().first_name == "Grace"


def test_another_body_under_the_same_key_is_refused(key: str) -> None:
    post(key, "order-1")

    answer = post(key, "order-1", {"phone": phone(2)})

    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")
    assert Subscriber.objects.count() == 1


def test_a_refusal_is_repeated_too(key: str) -> None:
    first, again = (post(key, "order-1", {"phone": "12"}) for _ in range(2))

    assert (first.status_code, again.status_code) == (400, 400)
    assert again.headers["Idempotent-Replayed"] == "true"


def test_two_keys_may_use_the_same_word(workspace: Workspace, key: str) -> None:
    other = make_key(workspace)

    post(key, "order-1")
    answer = post(other, "order-1", {"phone": phone(2)})

    assert answer.status_code == 200
    assert Subscriber.objects.count() == 2


def test_without_the_header_nothing_is_kept(key: str) -> None:
    post(key, None)

    assert not FirstAnswer.objects.exists()


@pytest.mark.parametrize("given", ["", "a" * 201, "two words", "ümlaut"])
def test_a_key_that_is_none_is_refused(key: str, given: str) -> None:
    answer = post(key, given)

    assert (answer.status_code, answer.json()["code"]) == (400, "idempotency_key")
    assert not Subscriber.objects.exists()


def test_a_key_that_is_not_known_keeps_nothing(db: None) -> None:
    assert post("nobody.secret", "order-1").status_code == 401
    assert not FirstAnswer.objects.exists()


def test_what_was_refused_for_the_quota_may_be_tried_again(workspace: Workspace) -> None:
    key = make_key(workspace, per_minute=1)
    post(key, None)

    assert post(key, "order-1").status_code == 429
    assert not FirstAnswer.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_while_the_first_runs_the_second_is_told_to_wait(workspace: Workspace) -> None:
    key = make_key(workspace)
    person = make_person(workspace)

    def second() -> HttpResponse:
        with held(person):
            wait_until(lambda: len(waiting()) == 1)
            return post(key, "order-1")

    first, other = together(lambda: started_later(lambda: post(key, "order-1")), second)

    assert first.status_code == 200
    assert (other.status_code, other.json()["code"]) == (409, "in_progress")
    assert other.headers["Retry-After"] == "1"
    assert post(key, "order-1").headers["Idempotent-Replayed"] == "true"


@pytest.mark.django_db(transaction=True)
def test_a_request_whose_process_is_lost_leaves_nothing_behind_and_may_be_repeated(
    workspace: Workspace,
) -> None:
    key = make_key(workspace)
    person = make_person(workspace)

    def lose_it() -> None:
        with held(person):
            wait_until(lambda: len(waiting()) == 1)
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_terminate_backend(%s)", waiting())
            wait_until(lambda: not waiting())

    lost, _ = together(lambda: started_later(lambda: post(key, "order-1")), lose_it)

    assert lost.status_code == 503
    assert not FirstAnswer.objects.exists()
    assert Subscriber.objects.get().first_name == ""
    assert post(key, "order-1").status_code == 200
    assert Subscriber.objects.get().first_name == "Ada"


@contextlib.contextmanager
def held(person: Subscriber) -> Iterator[None]:
    """Keep the person locked: a request that changes them waits in the middle of its work."""
    with transaction.atomic():
        Subscriber.objects.select_for_update().get(pk=person.pk)
        yield


def started_later(job: Callable[[], HttpResponse]) -> HttpResponse:
    """Start when the lock is held."""
    time.sleep(0.3)
    return job()


def waiting() -> list[int]:
    """The connections that wait for a lock."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
            " AND wait_event_type = 'Lock'"
        )
        return [row[0] for row in cursor.fetchall()]


def wait_until(done: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not done():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_answers_are_forgotten_after_a_day(key: str) -> None:
    post(key, "order-1")
    old = clock.now() - idempotency.KEPT - dt.timedelta(seconds=1)
    FirstAnswer.objects.update(answered_at=old)

    assert post(key, "order-1", {"phone": phone(2)}).status_code == 200
    FirstAnswer.objects.update(answered_at=old)
    assert idempotency.forget_old() == 1
    assert not FirstAnswer.objects.exists()


def test_a_stream_is_sent_without_the_header(key: str) -> None:
    row = ApiKey.objects.get_from_key(key)
    answer = Client().post(
        "/api/subscribers",
        b'{"phone": "+12125551000"}\n',
        content_type="application/x-ndjson",
        headers=api_key(key) | {"Idempotency-Key": "order-1"},
    )

    assert (answer.status_code, answer.json()["code"]) == (400, "idempotency_key")
    assert not FirstAnswer.objects.filter(key=row).exists()
