"""`GET /api/subscribers` and `/api/subscribers/{who}`: by page, by filter, in part, and only one's own."""

import datetime as dt
import json
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from subscribers import clock
from subscribers.models import Brand, Subscriber, Subscription, Workspace
from tests.subscribers.conftest import api_key, make_brand, make_key, make_person, phone


def get(client: Client, key: str, path: str = "", http: int = 200) -> Any:
    answer = client.get(f"/api/subscribers{path}", headers=api_key(key))
    assert answer.status_code == http, answer.content
    return answer.json()


def join(person: Subscriber, brand: Brand) -> None:
    Subscription.objects.create(
        subscriber=person, brand=brand, status="opted_in", opted_in_at=clock.now()
    )


def numbers(answer: Any) -> list[str]:
    return [row["phone"] for row in answer["results"]]


def test_a_list_is_read_page_by_page_without_gap_or_repetition(
    client: Client, key: str, workspace: Workspace
) -> None:
    made = [make_person(workspace, n).phone for n in range(7)]

    seen, path = [], "?limit=3"
    while path:
        page = get(client, key, path)
        seen += numbers(page)
        path = "?" + page["next"].split("?")[1] if page["next"] else ""

    assert seen == made[::-1]


def test_a_page_takes_the_same_statements_whatever_its_size(
    client: Client, key: str, workspace: Workspace, brand: Brand
) -> None:
    for n in range(20):
        join(make_person(workspace, n), brand)
    get(client, key)  # notes the key's use
    counts = []
    for limit in (2, 20):
        with CaptureQueriesContext(connection) as queries:
            page = get(client, key, f"?limit={limit}")
        counts.append(len(queries))
        assert all(row["subscribe_wswd"] for row in page["results"])
    assert counts[0] == counts[1]


def test_filters_find_people(client: Client, key: str, workspace: Workspace, brand: Brand) -> None:
    ada = make_person(workspace, 1, email="ada@example.com")
    grace = make_person(workspace, 2)
    join(grace, brand)
    Subscriber.objects.filter(pk=ada.pk).update(updated_at=clock.now() - dt.timedelta(days=2))
    yesterday = (clock.now() - dt.timedelta(days=1)).isoformat().replace("+00:00", "Z")

    assert numbers(get(client, key, "?email=ada@example.com")) == [ada.phone]
    assert numbers(get(client, key, "?phone=(212)%20555-1002")) == [grace.phone]
    assert numbers(get(client, key, "?subscribed=wswd")) == [grace.phone]
    assert numbers(get(client, key, f"?updated_since={yesterday}")) == [grace.phone]
    assert numbers(get(client, key, "?status=OPTOUT")) == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("?phones=1", "phones"),
        ("?phone=12", "phone"),
        ("?status=MAYBE", "status"),
        ("?updated_since=soon", "updated_since"),
        ("?subscribed=nobody", "subscribed"),
        ("?fields=id,shoe", "fields"),
    ],
)
def test_a_filter_that_is_none_is_refused_by_name(
    client: Client, key: str, workspace: Workspace, query: str, field: str
) -> None:
    make_person(workspace)

    assert get(client, key, query, http=400)["field"] == field


def test_some_fields_are_answered_alone(
    client: Client, key: str, workspace: Workspace, brand: Brand
) -> None:
    make_person(workspace, 1, first_name="Ada")

    (row,) = get(client, key, "?fields=firstName,subscribe_wswd")["results"]

    assert row == {"firstName": "Ada", "subscribe_wswd": False}


def test_a_person_is_found_by_id_and_by_number(
    client: Client, key: str, workspace: Workspace
) -> None:
    person = make_person(workspace, 1)

    assert get(client, key, f"/{person.pk}")["phone"] == person.phone
    assert get(client, key, f"/{person.phone}")["id"] == person.pk
    get(client, key, "/nobody", http=404)
    get(client, key, "/99999999999999999999", http=404)


def test_another_workspaces_people_are_not_there(
    client: Client, key: str, other_workspace: Workspace
) -> None:
    theirs = make_person(other_workspace, 1)

    assert get(client, key)["results"] == []
    get(client, key, f"/{theirs.pk}", http=404)
    get(client, key, f"/{theirs.phone}", http=404)


def test_a_key_of_some_brands_sees_their_people_alone(
    client: Client, workspace: Workspace, brand: Brand
) -> None:
    other = make_brand(workspace, "ta")
    ours, theirs = make_person(workspace, 1), make_person(workspace, 2)
    join(ours, brand)
    join(theirs, other)
    key = make_key(workspace, brand)

    assert numbers(get(client, key)) == [ours.phone]
    get(client, key, f"/{theirs.pk}", http=404)


def patch(client: Client, key: str, who: object, **fields: Any) -> Any:
    return client.patch(
        f"/api/subscribers/{who}",
        json.dumps(fields),
        content_type="application/json",
        headers=api_key(key),
    )


def test_a_patch_changes_the_given_fields_alone(
    client: Client, key: str, workspace: Workspace
) -> None:
    person = make_person(workspace, 1, first_name="Ada", last_name="Byron")

    answer = patch(client, key, person.pk, lastName="Lovelace")

    assert (answer.status_code, answer.json()["lastName"]) == (200, "Lovelace")
    person.refresh_from_db()
    assert (person.first_name, person.last_name) == ("Ada", "Lovelace")


def test_a_patch_does_not_change_the_number(client: Client, key: str, workspace: Workspace) -> None:
    person = make_person(workspace, 1)

    assert patch(client, key, person.pk, phone=phone(2)).json()["field"] == "phone"
    assert patch(client, key, person.pk, phone="(212) 555-1001").status_code == 200
    assert Subscriber.objects.get().phone == person.phone


def test_a_patch_of_another_workspaces_person_is_not_found(
    client: Client, key: str, other_workspace: Workspace
) -> None:
    theirs = make_person(other_workspace, 1, first_name="Zoe")

    assert patch(client, key, theirs.pk, firstName="Ada").status_code == 404
    theirs.refresh_from_db()
    assert theirs.first_name == "Zoe"
