"""`POST /api/campaigns/{id}/enqueue` and `GET /api/campaigns/{id}`."""

import datetime as dt
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone

from campaigns.models import Campaign, Message, Run
from sending import partitions
from sending.identity import identify
from sending.models import SentLog, State
from subscribers.models import Brand, Workspace
from tests.subscribers.conftest import api_key, make_brand, make_key, make_person, make_workspace

NOWHERE = {
    "error": "There is no such thing here, or your key does not cover it.",
    "code": "not_found",
    "field": None,
}


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
def campaign(brand: Brand) -> Campaign:
    campaign = Campaign.objects.create(brand=brand, name="Spring")
    Message.objects.create(campaign=campaign, body="{{ brand }}: hello. Reply STOP to opt out.")
    return campaign


def enqueue(client: Client, key: str, campaign_id: object) -> HttpResponse:
    path = f"/api/campaigns/{campaign_id}/enqueue"
    return client.post(path, content_type="application/json", headers=api_key(key))


def show(client: Client, key: str, campaign_id: object) -> HttpResponse:
    return client.get(f"/api/campaigns/{campaign_id}", headers=api_key(key))


def plan_texts(campaign: Campaign, *texts: tuple[str, str]) -> Run:
    """A run with one text in each (state, reason)."""
    now = timezone.now().replace(microsecond=0)
    partitions.ensure_ahead(now)
    run = Run.objects.create(campaign=campaign, brand=campaign.brand, started_at=now)
    for number, (state, reason) in enumerate(texts):
        person = make_person(campaign.brand.workspace, number)
        SentLog.objects.create(
            id=identify(now, run.pk, person.pk),
            brand=campaign.brand,
            campaign=campaign,
            run=run,
            subscriber=person,
            purpose="campaign",
            phone=person.phone,
            state=state,
            reason=reason,
            expires_at=now,
        )
    return run


def test_enqueue_launches_a_draft_and_answers_at_once(
    client: Client, key: str, campaign: Campaign
) -> None:
    before = timezone.now()

    answer = enqueue(client, key, campaign.pk)

    campaign.refresh_from_db()
    assert answer.status_code == 202
    assert campaign.status == Campaign.Status.SCHEDULED
    assert abs(campaign.launched_at - before) < dt.timedelta(minutes=1)
    assert answer.json().keys() == {"success", "campaign"}
    assert answer.json()["success"] is True
    assert answer.json()["campaign"] == {
        "id": campaign.pk,
        "status": "scheduled",
        "startsAt": campaign.starts_at.isoformat().replace("+00:00", "Z"),
    }
    assert not SentLog.objects.exists()  # planning is somebody else's


def test_enqueue_twice_changes_nothing_and_answers_the_same(
    client: Client, key: str, campaign: Campaign
) -> None:
    first = enqueue(client, key, campaign.pk)
    before = Campaign.objects.values().get()

    second = enqueue(client, key, campaign.pk)

    assert (second.status_code, second.json()) == (202, first.json())
    assert Campaign.objects.values().get() == before


def test_enqueue_of_a_running_campaign_answers_how_it_is(
    client: Client, key: str, campaign: Campaign
) -> None:
    enqueue(client, key, campaign.pk)
    Campaign.objects.update(status=Campaign.Status.RUNNING)

    answer = enqueue(client, key, campaign.pk)

    assert (answer.status_code, answer.json()["campaign"]["status"]) == (202, "running")


def test_enqueue_without_a_message_is_refused(client: Client, key: str, brand: Brand) -> None:
    silent = Campaign.objects.create(brand=brand, name="Silent")

    answer = enqueue(client, key, silent.pk)

    silent.refresh_from_db()
    assert answer.status_code == 409
    assert answer.json() == {
        "error": "This campaign has no message; add one before launching it.",
        "code": "not_allowed",
        "field": None,
    }
    assert silent.status == Campaign.Status.DRAFT


def test_enqueue_of_a_cancelled_draft_is_refused(
    client: Client, key: str, campaign: Campaign
) -> None:
    Campaign.objects.update(status=Campaign.Status.CANCELLED)

    answer = enqueue(client, key, campaign.pk)

    assert (answer.status_code, answer.json()["code"]) == (409, "not_allowed")


@pytest.mark.parametrize("call", [enqueue, show])
def test_a_campaign_of_another_tenant_is_not_there(
    client: Client, campaign: Campaign, call: Any
) -> None:
    foreign = make_key(make_workspace("zenith"))

    answer = call(client, foreign, campaign.pk)

    campaign.refresh_from_db()
    assert (answer.status_code, answer.json()) == (404, NOWHERE)
    assert campaign.status == Campaign.Status.DRAFT


@pytest.mark.parametrize("call", [enqueue, show])
def test_a_campaign_of_a_brand_that_the_key_does_not_cover_is_not_there(
    client: Client, campaign: Campaign, call: Any
) -> None:
    workspace = campaign.brand.workspace
    other = make_key(workspace, make_brand(workspace, "ta"))
    own = make_key(workspace, campaign.brand)

    assert call(client, other, campaign.pk).json() == NOWHERE
    assert call(client, own, campaign.pk).status_code in (200, 202)


@pytest.mark.parametrize("call", [enqueue, show])
@pytest.mark.parametrize("campaign_id", [0, 2**31, 2**63, 10**40, "spring", "-1", "1/2", "é"])
def test_a_campaign_that_does_not_exist_is_not_there(
    client: Client, key: str, call: Any, campaign_id: object
) -> None:
    answer = call(client, key, campaign_id)

    assert (answer.status_code, answer.json()) == (404, NOWHERE)


@pytest.mark.parametrize("call", [enqueue, show])
def test_without_a_key_there_is_no_answer(client: Client, campaign: Campaign, call: Any) -> None:
    answer = call(client, "nonsense", campaign.pk)

    campaign.refresh_from_db()
    assert (answer.status_code, answer.json()["code"]) == (401, "authentication_failed")
    assert campaign.status == Campaign.Status.DRAFT


def test_get_shows_a_draft_with_nothing_counted(
    client: Client, key: str, campaign: Campaign
) -> None:
    answer = show(client, key, campaign.pk)

    assert answer.status_code == 200
    assert answer.json() == {
        "id": campaign.pk,
        "name": "Spring",
        "brand": "wswd",
        "kind": "broadcast",
        "status": "draft",
        "statusReason": "",
        "startsAt": None,
        "launchedAt": None,
        "totals": {"audience": 0, "byState": {}, "byReason": {}},
    }


def test_get_counts_the_texts_of_every_run_by_state_and_by_reason(
    client: Client, key: str, campaign: Campaign
) -> None:
    plan_texts(
        campaign,
        (State.DELIVERED, ""),
        (State.DELIVERED, ""),
        (State.PLANNED, "quiet_hours"),
        (State.SKIPPED, "opted_out"),
        (State.EXPIRED, "quiet_hours"),
    )

    totals = show(client, key, campaign.pk).json()["totals"]

    assert totals == {
        "audience": 5,
        "byState": {"delivered": 2, "planned": 1, "skipped": 1, "expired": 1},
        "byReason": {"quiet_hours": 2, "opted_out": 1},
    }
    assert sum(totals["byState"].values()) == totals["audience"]


def test_get_counts_no_text_of_another_campaign(
    client: Client, key: str, campaign: Campaign
) -> None:
    other = Campaign.objects.create(brand=campaign.brand, name="Other")
    plan_texts(other, (State.DELIVERED, ""))

    assert show(client, key, campaign.pk).json()["totals"]["audience"] == 0


@pytest.mark.parametrize("method", ["get", "put", "delete"])
def test_enqueue_takes_a_post_alone(
    client: Client, key: str, campaign: Campaign, method: str
) -> None:
    answer = getattr(client, method)(f"/api/campaigns/{campaign.pk}/enqueue", headers=api_key(key))

    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
