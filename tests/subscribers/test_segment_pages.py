"""The pages of segments and lists: built without JSON, counted as they are typed, behind the wall."""

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from subscribers import upsert
from subscribers.models import Brand, Subscriber, Workspace
from subscribers.segment_models import ManualList, Segment
from tests.subscribers.conftest import make_person, phone

KEEN = {"rule-join": "all", "rule-0-what": "has_clicked", "rule-0-value": "true"}


@pytest.fixture
def client(workspace: Workspace) -> Client:
    user = User.objects.create_user("marketer", is_staff=True)
    user.user_permissions.set(Permission.objects.all())
    workspace.members.add(user)
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


def post(client: Client, page: str, /, *args: Any, **data: Any) -> str:
    return client.post(reverse(f"admin:{page}", args=args), data).content.decode()


def test_a_segment_is_built_from_rows(client: Client, workspace: Workspace, brand: Brand) -> None:
    post(
        client,
        "subscribers_segment_add",
        workspace=workspace.pk,
        name="Keen",
        **KEEN,
        **{"rule-1-join": "none", "rule-1-0-what": "total_clicks", "rule-1-0-op": "less_than"},
        **{"rule-1-0-value": "3"},
    )

    assert Segment.objects.get().tree == {
        "all": [
            {"field": "has_clicked", "op": "is", "value": True},
            {"not": {"any": [{"field": "total_clicks", "op": "less_than", "value": 3}]}},
        ]
    }
    shown = client.get(reverse("admin:subscribers_segment_change", args=[Segment.objects.get().pk]))
    assert 'name="rule-1-0-value" value="3"' in shown.content.decode()


def test_what_is_not_complete_is_said_beside_its_row(client: Client, workspace: Workspace) -> None:
    rule = {"rule-0-what": "total_clicks", "rule-0-op": "at_least", "rule-0-value": "x"}
    shown = post(
        client,
        "subscribers_segment_add",
        workspace=workspace.pk,
        name="Keen",
        **{"rule-join": "all", **rule},
    )

    assert "is not a number that can be compared" in shown
    assert not Segment.objects.exists()


def test_a_button_adds_a_row_and_keeps_what_was_typed(client: Client, workspace: Workspace) -> None:
    shown = post(client, "subscribers_segment_builder", **KEEN, **{"rule-do": "row:rule"})

    assert 'name="rule-0-what"' in shown
    assert 'name="rule-1-what"' in shown
    assert "<form" not in shown


def test_the_count_follows_what_is_typed_with_numbers_masked(
    client: Client, workspace: Workspace, brand: Brand
) -> None:
    make_person(workspace, 1, has_clicked=True)
    upsert.upsert(
        workspace, {"phone": phone(2), "has_clicked": True}, subscribe={brand: True}, evidence={}
    )

    everybody = post(client, "subscribers_segment_preview", workspace=workspace.pk, **KEEN)
    of_brand = post(client, "subscribers_segment_preview", brand=brand.pk, **KEEN)

    assert "2 people" in everybody
    assert "has clicked." in everybody
    assert "1 person" in of_brand
    assert "+1212***1002" in of_brand
    assert phone(2) not in everybody + of_brand


def test_nothing_of_another_workspace_is_offered_counted_or_kept(
    client: Client, workspace: Workspace, other_workspace: Workspace
) -> None:
    make_person(other_workspace, 1, has_clicked=True)
    theirs = ManualList.objects.create(workspace=other_workspace, name="zebras")
    rule = {"rule-join": "all", "rule-0-what": "list", "rule-0-op": "is", "rule-0-key": theirs.pk}
    segment = Segment.objects.create(workspace=other_workspace, name="x", tree={"list": theirs.pk})

    assert "zebras" not in post(client, "subscribers_segment_builder", **rule)
    assert "not in this workspace" in post(client, "subscribers_segment_preview", **rule)
    for data in ({"workspace": other_workspace.pk}, {"rule-segment": segment.pk}):
        url = reverse("admin:subscribers_segment_preview")
        assert client.post(url, {**KEEN, **data}).status_code == 404
    post(client, "subscribers_segment_add", workspace=workspace.pk, name="Mine", **rule)
    assert not Segment.objects.filter(name="Mine").exists()
    url = reverse("admin:subscribers_list_numbers", args=[theirs.pk])
    assert client.post(url, {"what": "add", "numbers": phone(1)}).status_code == 404


def test_each_line_of_a_paste_or_a_file_is_answered(client: Client, workspace: Workspace) -> None:
    make_person(workspace, 1)
    make_person(workspace, 2)
    staff = ManualList.objects.create(workspace=workspace, name="staff")
    file = SimpleUploadedFile("numbers.txt", f"\ufeff{phone(2)}\r\n".encode())

    pasted = post(
        client, "subscribers_list_numbers", staff.pk, what="add", numbers=f"{phone(1)}\nhi\n{phone(9)}"
    )  # fmt: skip
    filed = post(client, "subscribers_list_numbers", staff.pk, what="add", file=file)

    assert "hi: <strong" in pasted
    assert "invalid: not a phone number" in pasted
    assert "unknown: no subscriber has this number" in pasted
    assert "added" in filed
    on_it = Subscriber.objects.filter(on_lists__manual_list=staff)
    assert set(on_it.values_list("phone", flat=True)) == {phone(1), phone(2)}


def test_a_list_or_segment_in_use_cannot_be_deleted(client: Client, workspace: Workspace) -> None:
    staff = ManualList.objects.create(workspace=workspace, name="staff")
    used = Segment.objects.create(workspace=workspace, name="used", tree={"list": staff.pk})
    user = Segment.objects.create(workspace=workspace, name="user", tree={"segment": used.pk})

    post(client, "subscribers_manuallist_delete", staff.pk, post="yes")
    post(client, "subscribers_segment_delete", used.pk, post="yes")
    assert ManualList.objects.filter(pk=staff.pk).exists()
    assert Segment.objects.count() == 2
    post(client, "subscribers_segment_delete", user.pk, post="yes")
    assert Segment.objects.get() == used
