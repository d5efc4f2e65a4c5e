"""Campaigns and messages by API: made and edited while drafts, then launched, paused and cancelled."""

import datetime as dt
import json
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client

from campaigns import lifecycle
from campaigns.models import Campaign, Message
from subscribers import clock
from subscribers.models import Brand, Workspace
from subscribers.segment_models import ManualList, Segment
from tests.subscribers.conftest import api_key, make_brand, make_key, make_workspace

LATER = dt.timedelta(days=1)


@pytest.fixture
def workspace(db: None) -> Workspace:
    return make_workspace()


@pytest.fixture
def brand(workspace: Workspace) -> Brand:
    return make_brand(workspace)


@pytest.fixture
def key(workspace: Workspace) -> str:
    return make_key(workspace)


@pytest.fixture
def draft(brand: Brand) -> Campaign:
    campaign = Campaign.objects.create(brand=brand, name="Spring")
    Message.objects.create(campaign=campaign, body="{{ brand }}: hello. Reply STOP to opt out.")
    return campaign


def send(
    client: Client, key: str, method: str, path: str, data: Any = None, **headers: str
) -> HttpResponse:
    return getattr(client, method)(
        f"/api/campaigns{path}",
        *([] if data is None else [json.dumps(data)]),
        content_type="application/json",
        headers=api_key(key) | headers,
    )


def iso(moment: dt.datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def test_a_campaign_is_made_with_its_messages_and_is_a_draft(
    client: Client, key: str, brand: Brand
) -> None:
    segment = Segment.objects.create(workspace=brand.workspace, name="All", tree={"all": []})
    staff = ManualList.objects.create(workspace=brand.workspace, name="Staff")

    answer = send(
        client,
        key,
        "post",
        "",
        {
            "brand": "wswd",
            "name": "Spring",
            "weeklyCap": 2,
            "segment": segment.pk,
            "excludeLists": [staff.pk],
            "messages": [{"body": "{{ brand }}: hello"}, {"body": "Hi\r\nthere", "weight": 3}],
        },
    )

    assert answer.status_code == 201, answer.content
    campaign = Campaign.objects.get(pk=answer.json()["id"])
    assert (campaign.status, campaign.weekly_cap, campaign.segment) == ("draft", 2, segment)
    assert list(campaign.exclude_lists.all()) == [staff]
    assert list(campaign.messages.order_by("pk").values_list("body", "weight")) == [
        ("{{ brand }}: hello", 1),
        ("Hi\nthere", 3),
    ]
    assert [one["weight"] for one in answer.json()["messages"]] == [1, 3]


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"brand": "nobody"}, "brand"),
        ({"name": ""}, "name"),
        ({"kind": "sometimes"}, "kind"),
        ({"weeklyCap": 0}, "weeklyCap"),
        ({"startsAt": "soon"}, "startsAt"),
        ({"segment": 999_999}, "segment"),
        ({"segment": True}, "segment"),
        ({"excludeLists": [999_999]}, "excludeLists"),
        ({"messages": [{"body": "{{ shoe_size }}"}]}, "messages.0.body"),
        ({"messages": [{"body": "x", "weight": -1}]}, "messages.0.weight"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_made(
    client: Client, key: str, brand: Brand, wrong: dict[str, Any], field: str
) -> None:
    answer = send(client, key, "post", "", {"brand": "wswd", "name": "Spring"} | wrong)

    assert (answer.status_code, answer.json()["field"]) == (400, field), answer.content
    assert not Campaign.objects.exists()


def test_another_workspaces_brand_segment_and_list_are_not_there(
    client: Client, key: str, brand: Brand
) -> None:
    other = make_workspace("zenith")
    make_brand(other, "theirs")
    segment = Segment.objects.create(workspace=other, name="All", tree={"all": []})
    staff = ManualList.objects.create(workspace=other, name="Staff")
    wrongs = [{"brand": "theirs"}, {"segment": segment.pk}, {"excludeLists": [staff.pk]}]
    wrongs.append({"excludeSegments": [segment.pk]})
    for wrong in wrongs:
        answer = send(client, key, "post", "", {"brand": "wswd", "name": "Spring"} | wrong)
        assert answer.status_code == 400, wrong
    assert not Campaign.objects.exists()


def test_another_brands_segment_is_refused(client: Client, key: str, brand: Brand) -> None:
    other = make_brand(brand.workspace, "ta")
    segment = Segment.objects.create(
        workspace=brand.workspace, brand=other, name="All", tree={"all": []}
    )

    answer = send(client, key, "post", "", {"brand": "wswd", "name": "S", "segment": segment.pk})

    assert (answer.status_code, answer.json()["field"]) == (400, "segment")


def test_the_list_is_the_keys_own_filtered_and_in_part(
    client: Client, workspace: Workspace, draft: Campaign
) -> None:
    other = make_brand(workspace, "ta")
    Campaign.objects.create(brand=other, name="Other")
    theirs = make_brand(make_workspace("zenith"), "z")
    Campaign.objects.create(brand=theirs, name="Theirs")
    whole, narrow = make_key(workspace), make_key(workspace, other)

    def names(key: str, query: str = "") -> list[str]:
        answer = send(client, key, "get", query).json()
        return [row["name"] for row in answer["results"]]

    assert names(whole) == ["Other", "Spring"]
    assert names(whole, "?brand=wswd&status=draft") == ["Spring"]
    assert names(narrow) == ["Other"]
    assert send(client, whole, "get", "?fields=id").json()["results"][0].keys() == {"id"}
    assert send(client, whole, "get", "?state=draft").status_code == 400


def test_a_draft_is_edited_and_keeps_its_brand(client: Client, key: str, draft: Campaign) -> None:
    make_brand(draft.brand.workspace, "ta")

    answer = send(client, key, "patch", f"/{draft.pk}", {"name": "Summer", "weeklyCap": 3})
    moved = send(client, key, "patch", f"/{draft.pk}", {"brand": "ta"})

    draft.refresh_from_db()
    assert (answer.status_code, draft.name, draft.weekly_cap) == (200, "Summer", 3)
    assert (moved.status_code, moved.json()["field"]) == (400, "brand")


def test_messages_are_added_and_edited_in_a_draft_alone(
    client: Client, key: str, draft: Campaign
) -> None:
    made = send(client, key, "post", f"/{draft.pk}/messages", {"body": "Second"})
    message = f"/{draft.pk}/messages/{made.json()['id']}"
    edited = send(client, key, "patch", message, {"weight": 0})
    assert (made.status_code, edited.status_code) == (201, 200)
    listed = send(client, key, "get", f"/{draft.pk}/messages").json()
    assert [one["weight"] for one in listed] == [1, 0]

    lifecycle.launch(draft, now=clock.now())

    for answer in (
        send(client, key, "post", f"/{draft.pk}/messages", {"body": "Third"}),
        send(client, key, "patch", message, {"body": "Changed"}),
        send(client, key, "patch", f"/{draft.pk}", {"name": "Changed"}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (409, "not_allowed")
    assert draft.messages.count() == 2


def test_a_message_of_another_campaign_is_not_found(
    client: Client, key: str, draft: Campaign
) -> None:
    other = Campaign.objects.create(brand=draft.brand, name="Other")

    answer = send(
        client, key, "patch", f"/{other.pk}/messages/{draft.messages.get().pk}", {"weight": 0}
    )

    assert answer.status_code == 404


def test_a_campaign_is_scheduled_paused_resumed_and_cancelled(
    client: Client, key: str, draft: Campaign
) -> None:
    starts = clock.now() + LATER

    def press(name: str, data: Any = None) -> tuple[int, str]:
        answer = send(client, key, "post", f"/{draft.pk}/{name}", data)
        return answer.status_code, answer.json().get("status", "")

    assert press("schedule", {"startsAt": iso(starts)}) == (200, "scheduled")
    draft.refresh_from_db()
    assert draft.starts_at == starts
    assert press("pause") == (200, "paused")
    assert press("resume") == (200, "scheduled")
    assert press("cancel") == (200, "cancelled")
    assert press("resume")[0] == 409


def test_a_start_that_is_past_is_refused_and_the_draft_stays(
    client: Client, key: str, draft: Campaign
) -> None:
    answer = send(
        client, key, "post", f"/{draft.pk}/schedule", {"startsAt": iso(clock.now() - LATER)}
    )

    draft.refresh_from_db()
    assert (answer.status_code, draft.status) == (400, "draft")


def test_a_key_that_makes_campaigns_does_not_launch_them(
    client: Client, workspace: Workspace, draft: Campaign
) -> None:
    key = make_key(workspace, scopes=["read", "campaigns"])

    assert send(client, key, "patch", f"/{draft.pk}", {"name": "New"}).status_code == 200
    for name in ("enqueue", "schedule", "pause", "resume", "cancel", "test"):
        answer = send(client, key, "post", f"/{draft.pk}/{name}", {})
        assert (answer.status_code, answer.json()["code"]) == (403, "missing_scope"), name
    draft.refresh_from_db()
    assert draft.status == "draft"


def test_progress_that_has_not_changed_is_not_told_again(
    client: Client, key: str, draft: Campaign
) -> None:
    tag = send(client, key, "get", f"/{draft.pk}").headers["ETag"]

    same = send(client, key, "get", f"/{draft.pk}", **{"If-None-Match": tag})
    assert (same.status_code, same.content) == (304, b"")

    lifecycle.launch(draft, now=clock.now())
    changed = send(client, key, "get", f"/{draft.pk}", **{"If-None-Match": tag})
    assert (changed.status_code, changed.json()["status"]) == (200, "scheduled")


def test_what_is_wrong_with_its_messages_is_told_before_launch(
    client: Client, key: str, draft: Campaign
) -> None:
    message = draft.messages.create(body="Buy now at https://bit.ly/x")

    told = send(client, key, "get", f"/{draft.pk}/lint").json()

    assert {one["code"] for one in told} >= {"no_opt_out", "public_shortener"}
    assert {one["message"] for one in told} == {message.pk}
    assert all(one["sentence"].endswith(".") for one in told)
    assert send(client, key, "post", f"/{draft.pk}/enqueue").status_code == 409


def test_a_pool_has_no_test_share(client: Client, key: str, draft: Campaign) -> None:
    answer = send(client, key, "patch", f"/{draft.pk}", {"kind": "evergreen", "testShare": 20})

    assert (answer.status_code, answer.json()["field"]) == (400, "testShare")


def test_a_winner_by_itself_needs_a_test_and_a_deadline_after_the_wait(
    client: Client, key: str, draft: Campaign
) -> None:
    def told(**fields: object) -> tuple[int, object]:
        answer = send(client, key, "patch", f"/{draft.pk}", fields)
        return answer.status_code, answer.json().get("field")

    assert told(winnerBy="clicks") == (400, "winnerBy")
    assert told(testShare=20, winnerBy="luck") == (400, "winnerBy")
    assert told(testShare=20, winnerBy="clicks", winnerDeadline="01:00:00") == (400, "winnerBy")
    assert told(testShare=20, winnerBy="clicks", winnerDeadline="05:00:00") == (200, None)
    draft.refresh_from_db()
    assert (draft.winner_by, draft.winner_deadline) == ("clicks", dt.timedelta(hours=5))


def test_a_winner_is_not_chosen_before_the_test(client: Client, key: str, draft: Campaign) -> None:
    message = draft.messages.get()

    early = send(client, key, "post", f"/{draft.pk}/winner", {"message": message.pk})
    nobody = send(client, key, "post", f"/{draft.pk}/winner", {"message": 0})

    assert (early.status_code, nobody.status_code) == (409, 400)
