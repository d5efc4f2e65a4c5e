"""`/api/segments`: made, read, changed, counted and deleted, by who may."""

from typing import Any

import pytest
from django.test import Client
from jsonschema import Draft202012Validator

from subscribers.models import ApiKey, Brand, Workspace
from subscribers.segment_models import ManualList, Segment
from tests.subscribers.conftest import api_key, make_brand, make_key, make_person

CLICKED = {"field": "has_clicked", "op": "is", "value": True}
BODY = {"name": "Clicked", "tree": CLICKED}


def call(key: str, method: str, path: str = "", body: Any = None) -> Any:
    url = f"/api/segments{path}"
    sent = {} if body is None else {"data": body, "content_type": "application/json"}
    return getattr(Client(), method)(url, headers=api_key(key), **sent)


def segment(workspace: Workspace, name: str = "Clicked", **fields: Any) -> Segment:
    return Segment.objects.create(workspace=workspace, name=name, **{"tree": CLICKED, **fields})


def test_a_segment_is_made_read_changed_counted_and_deleted(key: str, workspace: Workspace) -> None:
    make_person(workspace, 1, has_clicked=True)
    make_person(workspace, 2)

    made = call(key, "post", body=BODY)
    path = f"/{made.json()['id']}"

    assert made.status_code == 201
    assert made.json()["tree"] == CLICKED
    assert call(key, "get", f"{path}/count").json() == {"count": 1, "words": "has clicked"}
    changed = call(key, "patch", path, {"tree": {"not": CLICKED}, "name": "Never"})
    assert changed.status_code == 200
    assert changed.json()["updatedAt"] > made.json()["updatedAt"]
    assert call(key, "get", path).json()["tree"] == {"not": CLICKED}
    assert call(key, "get", f"{path}/count").json()["words"] == "not has clicked"
    assert call(key, "delete", path).status_code == 204
    assert call(key, "get", path).status_code == 404


def test_what_is_wrong_is_said_in_one_sentence_and_nothing_is_written(
    key: str, workspace: Workspace
) -> None:
    segment(workspace)
    for body, field, words in (
        ({**BODY, "name": "x", "tree": {"all": [{"field": "pin"}]}}, "tree", "At all[0].field"),
        ({**BODY, "name": "x", "tree": "DROP"}, "tree", "give an object"),
        ({**BODY, "name": "x", "tree": {"list": 1}}, "tree", "list 1 is not there"),
        ({**BODY, "name": "x", "tree": {"segment": 2**62}}, "tree", "is not there"),
        (BODY, "name", "of this name already"),
        ({"name": "x"}, "tree", "required"),
        ({**BODY, "name": "x", "brand": "nobody"}, "brand", "does not exist"),
    ):
        answer = call(key, "post", body=body)
        assert answer.status_code == 400
        assert answer.json()["field"] == field
        assert words in answer.json()["error"]
    assert Segment.objects.count() == 1


def test_another_workspaces_segments_do_not_exist(
    key: str, workspace: Workspace, other_workspace: Workspace
) -> None:
    theirs = segment(other_workspace)
    their_list = ManualList.objects.create(workspace=other_workspace, name="x")
    make_brand(other_workspace, "theirs")
    path = f"/{theirs.pk}"

    assert call(key, "get").json()["results"] == []
    for method, where in (("get", path), ("delete", path), ("get", f"{path}/count")):
        assert call(key, method, where).status_code == 404
    assert call(key, "patch", path, BODY).status_code == 404
    for rule in (
        {"segment": theirs.pk},
        {"list": their_list.pk},
        {"subscription": "theirs", "is": "opted_in"},
    ):
        answer = call(key, "post", body={"name": "x", "tree": {"not": rule}})
        assert answer.status_code == 400
        assert "not there" in answer.json()["error"]
    theirs.refresh_from_db()
    assert theirs.name == "Clicked"


def test_a_key_of_one_brand_makes_segments_of_that_brand_alone(
    workspace: Workspace, brand: Brand
) -> None:
    make_brand(workspace, "ta")
    key = make_key(workspace, brand)
    everybodys = segment(workspace, "of all brands")
    staff = ManualList.objects.create(workspace=workspace, name="staff")

    assert call(key, "post", body=BODY).json()["field"] == "brand"
    assert call(key, "post", body={**BODY, "brand": "ta"}).json()["field"] == "brand"
    for rule in (
        {"segment": everybodys.pk},
        {"list": staff.pk},
        {"subscription": "ta", "is": "opted_in"},
    ):
        body = {"name": "x", "brand": "wswd", "tree": rule}
        assert call(key, "post", body=body).status_code == 400
    made = call(key, "post", body={**BODY, "brand": "wswd"})
    assert made.status_code == 201
    assert [one["id"] for one in call(key, "get").json()["results"]] == [made.json()["id"]]
    assert call(key, "patch", f"/{made.json()['id']}", {"brand": None}).status_code == 400


def test_a_segment_in_use_is_kept(key: str, workspace: Workspace) -> None:
    used = segment(workspace)
    segment(workspace, "Never", tree={"not": {"segment": used.pk}})

    answer = call(key, "delete", f"/{used.pk}")

    assert answer.status_code == 409
    assert answer.json()["error"] == "It is in use by Never: change that first."
    circle = call(key, "patch", f"/{used.pk}", {"tree": {"segment": used.pk}})
    assert "cannot use itself" in circle.json()["error"]


def test_lists_are_paged(key: str, workspace: Workspace) -> None:
    made = [segment(workspace, str(number)).pk for number in range(5)]

    first = call(key, "get", "?limit=3").json()
    second = Client().get(first["next"], headers=api_key(key)).json()

    assert [one["id"] for one in first["results"] + second["results"]] == made[::-1]
    assert second["next"] is None


def test_a_key_that_only_reads_writes_no_segment(workspace: Workspace) -> None:
    _, key = ApiKey.objects.create_key(name="reader", workspace=workspace, scopes=["read"])
    kept = segment(workspace)

    assert call(key, "get", f"/{kept.pk}").status_code == 200
    assert call(key, "post", body={**BODY, "name": "x"}).status_code == 403
    assert call(key, "patch", f"/{kept.pk}", {"name": "x"}).status_code == 403
    assert call(key, "delete", f"/{kept.pk}").status_code == 403


@pytest.mark.django_db
def test_the_schema_that_is_published_is_a_schema(key: str) -> None:
    Draft202012Validator.check_schema(call(key, "get", "/schema").json())
