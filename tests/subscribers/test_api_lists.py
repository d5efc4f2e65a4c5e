"""`/api/lists`: made, filled, read, used and deleted, by who may."""

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from subscribers import segments
from subscribers.models import Brand, Subscriber, Workspace
from subscribers.segment_models import ManualList, ManualListMember, Segment
from tests.subscribers.conftest import api_key, make_brand, make_key, make_person, phone


def call(key: str, method: str, path: str = "", body: Any = None) -> Any:
    sent = {} if body is None else {"data": body, "content_type": "application/json"}
    return getattr(Client(), method)(f"/api/lists{path}", headers=api_key(key), **sent)


@pytest.fixture
def staff(workspace: Workspace) -> ManualList:
    return ManualList.objects.create(workspace=workspace, name="staff")


def members(row: ManualList) -> set[int]:
    return set(row.members.values_list("subscriber_id", flat=True))


def test_a_list_is_made_filled_read_renamed_emptied_and_deleted(
    key: str, workspace: Workspace
) -> None:
    people = [make_person(workspace, number) for number in range(3)]

    made = call(key, "post", body={"name": "Staff"})
    path = f"/{made.json()['id']}"

    assert (made.status_code, made.json()["name"], made.json()["people"]) == (201, "Staff", 0)
    filled = call(
        key, "post", f"{path}/members",
        {"phones": ["(212) 555-1000", phone(1)], "subscribers": [people[2].pk]},
    )  # fmt: skip
    assert filled.json() == {"changed": 3, "results": []}
    assert call(key, "get", path).json()["people"] == 3
    listed = call(key, "get", f"{path}/members").json()["results"]
    assert [(one["subscriber"], one["phone"]) for one in listed] == [
        (person.pk, person.phone) for person in reversed(people)
    ]
    renamed = call(key, "patch", path, {"name": "Panel"})
    assert (renamed.status_code, renamed.json()["name"]) == (200, "Panel")
    assert [one["name"] for one in call(key, "get").json()["results"]] == ["Panel"]
    emptied = call(
        key, "post", f"{path}/members/remove",
        {"phones": [phone(0)], "subscribers": [people[1].pk, people[2].pk]},
    )  # fmt: skip
    assert emptied.json() == {"changed": 3, "results": []}
    assert call(key, "delete", path).status_code == 204
    assert call(key, "get", path).status_code == 404
    assert Subscriber.objects.count() == 3


def test_everybody_who_is_not_put_on_the_list_is_told_why(
    key: str, staff: ManualList, other_workspace: Workspace
) -> None:
    ours, theirs = make_person(staff.workspace, 1), make_person(other_workspace, 2)
    ids = [ours.pk, theirs.pk, 2**62, ours.pk]
    answer = call(
        key, "post", f"/{staff.pk}/members",
        {"phones": ["12", phone(1), phone(2), phone(1)], "subscribers": ids},
    ).json()  # fmt: skip

    assert answer["changed"] == 1
    assert [(one["given"], one["status"]) for one in answer["results"]] == [
        ("12", "invalid"),
        (phone(2), "unknown"),
        (phone(1), "already"),
        (str(ours.pk), "already"),
        (str(theirs.pk), "unknown"),
        (str(2**62), "unknown"),
        (str(ours.pk), "already"),
    ]
    assert members(staff) == {ours.pk}
    gone = call(key, "post", f"/{staff.pk}/members/remove", {"subscribers": ids}).json()
    assert [one["status"] for one in gone["results"]] == ["unknown", "unknown", "absent"]
    assert members(staff) == set()


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "Name 1 to 10,000 people"),
        ({"phones": []}, "Name 1 to 10,000 people"),
        ({"phones": ["12"] * 6000, "subscribers": [1] * 4001}, "Name 1 to 10,000 people"),
        ({"phones": "12"}, "list"),
        ({"subscribers": ["x"]}, "integer"),
        ({"subscribers": [2**63]}, "less than or equal"),
    ],
)
def test_a_request_that_names_nobody_or_too_many_is_refused(
    key: str, staff: ManualList, body: dict[str, Any], says: str
) -> None:
    answer = call(key, "post", f"/{staff.pk}/members", body)

    assert answer.status_code == 400
    assert says in answer.json()["error"]
    assert answer.json()["field"].partition(".")[0] in ("phones", "subscribers")


def test_ten_thousand_cost_as_many_queries_as_one(
    key: str, staff: ManualList, workspace: Workspace
) -> None:
    make_person(workspace, 1)
    path = f"/{staff.pk}/members"
    with CaptureQueriesContext(connection) as few:
        call(key, "post", path, {"phones": [phone(1)], "subscribers": [1]})
    with CaptureQueriesContext(connection) as many:
        answer = call(
            key, "post", path, {"phones": [phone(1)] * 5000, "subscribers": list(range(5000))}
        )

    assert answer.status_code == 200
    assert len(many) <= len(few)


def test_a_name_is_taken_once_in_a_workspace(
    key: str, staff: ManualList, other_workspace: Workspace
) -> None:
    ManualList.objects.create(workspace=other_workspace, name="theirs")
    made = call(key, "post", body={"name": "theirs"}).json()

    for answer in (
        call(key, "post", body={"name": "staff"}),
        call(key, "patch", f"/{made['id']}", {"name": "staff"}),
    ):
        assert answer.status_code == 400
        assert answer.json()["error"] == "There is a list of this name already."
    assert call(key, "patch", f"/{made['id']}", {"name": "theirs"}).status_code == 200


def test_a_list_is_used_by_segments_and_then_stays(
    key: str, staff: ManualList, workspace: Workspace
) -> None:
    on, off = make_person(workspace, 1), make_person(workspace, 2)
    call(key, "post", f"/{staff.pk}/members", {"subscribers": [on.pk]})
    tree = {"not": {"list": staff.pk}}
    segment = Segment.objects.create(workspace=workspace, name="Others", tree=tree)

    assert segments.count(segment) == 1
    kept = call(key, "delete", f"/{staff.pk}")

    assert (kept.status_code, kept.json()["code"]) == (409, "in_use")
    assert "Others" in kept.json()["error"]
    segment.delete()
    assert call(key, "delete", f"/{staff.pk}").status_code == 204
    assert set(Subscriber.objects.values_list("pk", flat=True)) == {on.pk, off.pk}


def test_members_come_in_pages_and_each_once(
    key: str, staff: ManualList, workspace: Workspace
) -> None:
    people = [make_person(workspace, number).pk for number in range(7)]
    call(key, "post", f"/{staff.pk}/members", {"subscribers": people})

    found: list[int] = []
    url: str | None = f"/api/lists/{staff.pk}/members?limit=3&fields=subscriber"
    while url:
        page = Client().get(url, headers=api_key(key)).json()
        found += [one["subscriber"] for one in page["results"]]
        url = page["next"]

    assert sorted(found) == people
    assert len(found) == 7


def test_a_key_of_some_brands_sees_no_list_and_makes_none(
    workspace: Workspace, brand: Brand, staff: ManualList
) -> None:
    key = make_key(workspace, make_brand(workspace, "sister"))

    assert call(key, "get").json()["results"] == []
    assert call(key, "get", f"/{staff.pk}").status_code == 404
    assert call(key, "post", f"/{staff.pk}/members", {"phones": [phone(1)]}).status_code == 404
    refused = call(key, "post", body={"name": "mine"})
    assert (refused.status_code, refused.json()["code"]) == (403, "whole_workspace")
    assert ManualList.objects.count() == 1


def test_reading_takes_read_and_writing_the_scope_of_people(
    workspace: Workspace, staff: ManualList
) -> None:
    key = make_key(workspace, scopes=["read"])
    make_person(workspace, 1)

    assert call(key, "get", f"/{staff.pk}/members").status_code == 200
    for method, path, body in (
        ("post", "", {"name": "x"}),
        ("patch", f"/{staff.pk}", {"name": "x"}),
        ("delete", f"/{staff.pk}", {}),
        ("post", f"/{staff.pk}/members", {"phones": [phone(1)]}),
        ("post", f"/{staff.pk}/members/remove", {"phones": [phone(1)]}),
    ):
        assert call(key, method, path, body).status_code == 403
    assert not ManualListMember.objects.exists()
