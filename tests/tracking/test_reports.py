"""Claims about reports: every figure from a campaign that was really sent, and behind the wall."""

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from campaigns.models import Campaign, Message, Run
from sending.models import Sender, SentLog, ShortLink, State
from subscribers import clock
from subscribers.models import Brand, Membership
from subscribers.segment_models import Segment
from tests import sending_world as world
from tests.subscribers.conftest import api_key, make_key
from tests.tracking import shop_world as shop
from tests.tracking.shop_world import order, record, refund
from tests.tracking.test_clicks import TEA, follow, queues_empty
from tracking import replies, reports
from tracking.webhooks.base import Inbound

pytestmark = pytest.mark.usefixtures("installed")


@pytest.fixture
def campaign(client: Client, brand: Brand, sender: Sender) -> Campaign:
    """Six texts of two messages: delivered but one; three people click, of whom one buys twice."""
    people = world.make_people(brand, 6)
    segment = Segment.objects.create(
        workspace=brand.workspace,
        name="Tea lovers",
        tree={"all": [{"field": "total_clicks", "op": "at_least", "value": 0}]},
    )
    campaign = world.make_campaign(brand, f"A {TEA}", f"B {TEA}", segment=segment)
    world.plan(campaign)
    queues_empty(brand, state=State.DELIVERED)
    for text, message in zip(
        SentLog.objects.order_by("subscriber_id"), _pattern(campaign), strict=True
    ):
        SentLog.objects.filter(pk=text.pk).update(message=message)
    SentLog.objects.filter(subscriber=people[5]).update(state=State.UNDELIVERED)
    for person in (0, 0, 1, 3):
        follow(client, _code(people[person].pk))
    follow(client, _code(people[4].pk), agent="Slackbot")
    replies.receive(sender, Inbound("IN1", people[2].phone, "Love it"))
    replies.receive(sender, Inbound("IN2", people[4].phone, "STOP"))
    at = {"at": clock.now(), "phone": people[0].phone}
    record(
        order(brand, "1", amount="30", **at),
        order(brand, "2", amount="20", **at),
        refund(brand, "1", amount="5"),
        order(brand, "3", at=clock.now(), amount="7"),
    )
    shop.settle()
    return campaign


def _pattern(campaign: Campaign) -> list[Message]:
    first, second = campaign.messages.order_by("pk")
    return [first, first, first, second, second, second]


def _code(person: int) -> str:
    text = SentLog.objects.get(subscriber=person)
    return ShortLink.objects.get(text_id=text.id).code


def get(client: Client, brand: Brand, path: str, *brands: Brand) -> HttpResponse:
    key = make_key(brand.workspace, *brands)
    return client.get(f"/api/reports/{path}", headers=api_key(key))


def test_a_campaign_and_its_messages_are_counted_from_rows(
    client: Client, brand: Brand, campaign: Campaign
) -> None:
    told = get(client, brand, f"campaigns/{campaign.pk}").json()

    assert told["totals"] == {
        "sent": 6,
        "delivered": 5,
        "clicks": 3,
        "machineClicks": 1,
        "replies": 2,
        "optOuts": 1,
        "purchases": 2,
        "revenue": "45.00",
    }
    first, second = told["messages"]
    assert (first["sent"], first["delivered"], first["clicks"]) == (3, 3, 2)
    assert (first["purchases"], first["revenue"], first["optOuts"]) == (2, "45.00", 0)
    assert (second["sent"], second["delivered"], second["clicks"]) == (3, 2, 1)
    assert (second["machineClicks"], second["replies"], second["optOuts"]) == (1, 1, 1)
    assert (second["purchases"], second["revenue"]) == (0, "0.00")


@pytest.mark.parametrize("unit", ["day", "minute"])
def test_moments_add_up_to_the_whole(
    client: Client, brand: Brand, campaign: Campaign, unit: str
) -> None:
    report = reports.of_campaign(campaign)
    now = clock.now()

    moments = reports.moments_of_campaign(
        campaign, unit, now - dt.timedelta(hours=23), now + dt.timedelta(minutes=1)
    )

    total = reports.total(moments)
    assert (total["sent"], total["delivered"]) == (report.totals.sent, report.totals.delivered)
    assert (total["purchases"], total["revenue"]) == (2, Decimal(45))
    assert total["clicks"] in (3, 4)  # of two visits within one second one is kept
    assert all(one.at.second == 0 for one in moments)
    assert unit == "day" or len(moments) > 1


def test_a_brands_days_name_campaigns_and_segments(
    client: Client, brand: Brand, campaign: Campaign
) -> None:
    told = get(client, brand, "brands/wswd").json()

    assert (told["orders"], told["revenue"], told["currency"]) == (3, "52.00", "USD")
    assert told["totals"]["sent"] == 6
    assert told["totals"]["revenue"] == "45.00"
    assert told["campaigns"] == [
        {"id": campaign.pk, "name": "Sale", "purchases": 2, "revenue": "45.00"}
    ]
    assert [one["name"] for one in told["segments"]] == ["Tea lovers"]


def test_a_day_without_anything_is_empty(client: Client, brand: Brand, campaign: Campaign) -> None:
    told = get(client, brand, "brands/wswd?from=2025-01-01&to=2025-01-31").json()

    assert (told["orders"], told["moments"], told["totals"]["sent"]) == (0, [], 0)


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("brands/wswd?from=2025-01-02&to=2025-01-01", "from"),
        ("brands/wswd?from=2025-01-01&to=2025-06-01", "from"),
        ("brands/wswd?since=2025-01-01", "since"),
        ("brands/wswd?from=soon", "from"),
    ],
)
def test_a_wrong_question_is_told(client: Client, brand: Brand, path: str, field: str) -> None:
    answer = get(client, brand, path)

    assert (answer.status_code, answer.json()["field"]) == (400, field)


def test_a_key_of_another_brand_sees_no_report(
    client: Client, brand: Brand, campaign: Campaign
) -> None:
    sister = world.make_brand("sister", workspace=brand.workspace)

    for path in (f"campaigns/{campaign.pk}", "brands/wswd"):
        assert get(client, brand, path, sister).status_code == 404


@pytest.mark.parametrize("path", ["campaigns/{}", "brands/wswd"])
def test_a_report_costs_as_many_statements_for_many_runs_as_for_one(
    client: Client, brand: Brand, campaign: Campaign, path: str
) -> None:
    asked = []
    for _ in range(2):
        with CaptureQueriesContext(connection) as queries:
            assert get(client, brand, path.format(campaign.pk)).status_code == 200
        asked.append(len(queries))
        for minutes in range(1, 6):
            started = clock.now() - dt.timedelta(minutes=minutes)
            Run.objects.create(campaign=campaign, brand=brand, started_at=started)

    assert asked[0] == asked[1]


def test_the_page_tells_the_figures_and_is_another_workspaces_nothing(
    client: Client, brand: Brand, campaign: Campaign
) -> None:
    page = reverse("admin:tracking_report", args=[campaign.pk])
    client.force_login(User.objects.create_superuser("operator"))
    shown = client.get(page).content.decode()
    assert "45.00 USD" in shown
    assert "&lt;Message" not in shown  # `messages` of a template are Django's
    assert "1 visit by a machine is not counted" in shown
    slot = client.get(reverse("admin:campaigns_campaign_change", args=[campaign.pk]))
    assert page in slot.content.decode()

    stranger = User.objects.create_user("stranger", is_staff=True)
    client.force_login(stranger)
    assert client.get(page).status_code == 403
    other = world.make_brand("other").workspace
    Membership.objects.create(workspace=other, user=stranger)
    stranger.user_permissions.set(_view_campaign())
    assert client.get(page).status_code == 404


def _view_campaign() -> Any:
    return Permission.objects.filter(codename="view_campaign")
