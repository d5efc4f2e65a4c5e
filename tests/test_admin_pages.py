"""Every page of the admin, for an operator: it opens, and costs the same however many rows there are."""

import re
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import connection, models
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from campaigns.models import AutomaticPause, Campaign, Message
from sending.models import Sender, SentLog
from subscribers.models import (
    ApiKey,
    Brand,
    ConsentEvent,
    ContactList,
    Subscriber,
    Suppression,
    Workspace,
)
from tests import admin_forms, admin_rows

pytestmark = pytest.mark.django_db

BACKEND = "django.contrib.auth.backends.ModelBackend"
every_model = pytest.mark.parametrize(
    "model", list(admin.site._registry), ids=lambda model: model._meta.label
)


@pytest.fixture
def client(django_user_model: type[User]) -> Client:
    client = Client()
    operator = django_user_model.objects.create_superuser("operator")
    client.force_login(operator, backend=BACKEND)
    return client


@pytest.fixture
def rows() -> admin_rows.Rows:
    return admin_rows.tenant("aardvark", 1) | admin_rows.installation()


def page(model: type[models.Model], name: str, *args: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{name}", args=args)


@every_model
def test_the_list_opens(model: type[models.Model], client: Client, rows: admin_rows.Rows) -> None:
    answer = client.get(page(model, "changelist"))

    assert answer.status_code == 200
    assert page(model, "change", admin.utils.quote(rows[model].pk)) in answer.content.decode()


@every_model
def test_the_list_can_be_searched(
    model: type[models.Model], client: Client, rows: admin_rows.Rows
) -> None:
    for term in ("aardvark", "+12125551001", "(212) 555", "a@b", str(rows[SentLog].pk), "%\\'"):
        assert client.get(page(model, "changelist"), {"q": term}).status_code in (200, 302)


@every_model
def test_every_filter_of_the_list_works(
    model: type[models.Model], client: Client, rows: admin_rows.Rows
) -> None:
    url = page(model, "changelist")
    changelist = client.get(url).context["cl"]
    for spec in changelist.filter_specs:
        for parameter in spec.expected_parameters():
            # 302: a date filter does not take "1" and says so.
            assert client.get(url, {parameter: "1"}).status_code in (200, 302)


@every_model
def test_the_page_of_a_row_opens(
    model: type[models.Model], client: Client, rows: admin_rows.Rows
) -> None:
    assert client.get(page(model, "change", admin.utils.quote(rows[model].pk))).status_code == 200


@every_model
def test_the_page_that_adds_opens_where_adding_is_allowed(
    model: type[models.Model], client: Client, rows: admin_rows.Rows, rf: Any
) -> None:
    request = rf.get("/")
    request.user = User.objects.get(username="operator")
    allowed = admin.site.get_model_admin(model).has_add_permission(request)

    assert client.get(page(model, "add")).status_code == (200 if allowed else 403)


@every_model
def test_the_list_costs_as_many_queries_for_many_rows_as_for_few(
    model: type[models.Model], client: Client, rows: admin_rows.Rows
) -> None:
    client.get(page(model, "changelist"))
    with CaptureQueriesContext(
        connection,
    ) as few:
        client.get(page(model, "changelist"))
    for number in range(2, 8):
        admin_rows.tenant("badger", number)
    with CaptureQueriesContext(connection) as many:
        client.get(page(model, "changelist"))

    assert len(many) == len(few)


@pytest.mark.parametrize("name", ["sending_sentlog", "tracking_trackingevent"])
def test_the_logs_are_never_counted_and_never_read_without_a_range(
    name: str, client: Client, rows: admin_rows.Rows
) -> None:
    with CaptureQueriesContext(connection) as queries:
        client.get(reverse(f"admin:{name}_changelist"))

    of_log = [sql["sql"] for sql in queries if f'FROM "{name}"' in sql["sql"]]
    assert len(of_log) == 1
    assert "COUNT(" not in of_log[0]
    assert f'"{name}"."id" >= ' in of_log[0]


def test_the_first_page_shows_what_runs(client: Client, rows: admin_rows.Rows) -> None:
    Campaign.objects.update(status=Campaign.Status.RUNNING)
    Sender.objects.update(status=Sender.Status.STOPPED)

    answer = client.get(reverse("admin:index"))

    assert [figure.number for figure in answer.context["figures"]] == ["1", "0", "1", "1"]
    assert page(Campaign, "change", rows[Campaign].pk) in answer.content.decode()


def test_the_sidebar_leads_to_every_page(client: Client) -> None:
    shown = client.get(reverse("admin:index")).content.decode()

    missing = [model for model in admin.site._registry if page(model, "changelist") not in shown]
    assert not missing


def test_credentials_are_never_on_a_page(client: Client, rows: admin_rows.Rows) -> None:
    for model in (Sender, ContactList):
        for url in (page(model, "changelist"), page(model, "change", rows[model].pk)):
            assert "secret" not in client.get(url).content.decode()


def sender_form(sender: Sender, **values: str) -> dict[str, str]:
    return {"address": sender.address, "rate": "7", "in_flight": "50", "weight": "1", **values}


def test_an_empty_credential_keeps_the_stored_one(client: Client, rows: admin_rows.Rows) -> None:
    sender = rows[Sender]

    client.post(page(Sender, "change", sender.pk), sender_form(sender, credential_user="new"))

    sender = Sender.objects.get(pk=sender.pk)
    assert sender.credentials == {"user": "new", "api_id": "aardvark secret"}
    assert sender.rate == 7


def test_a_required_credential_cannot_be_removed(client: Client, rows: admin_rows.Rows) -> None:
    form = sender_form(rows[Sender], credential_api_id="-")

    answer = client.post(page(Sender, "change", rows[Sender].pk), form)

    assert "Lime needs api_id" in answer.content.decode()


def test_credentials_that_no_key_opens_can_be_entered_again(
    client: Client, rows: admin_rows.Rows, settings: Any
) -> None:
    sender = rows[Sender]
    settings.CREDENTIAL_KEYS = ["x" * 43 + "="]

    assert client.get(page(Sender, "changelist")).status_code == 200
    assert client.get(page(Sender, "change", sender.pk)).status_code == 200
    client.post(
        page(Sender, "change", sender.pk),
        sender_form(sender, credential_user="u", credential_api_id="i"),
    )

    assert Sender.objects.get(pk=sender.pk).credentials == {"user": "u", "api_id": "i"}


def test_a_sender_without_a_gateway_is_a_form_error(client: Client, rows: admin_rows.Rows) -> None:
    answer = client.post(page(Sender, "add"), {"brand": rows[Brand].pk, "address": "1"})

    assert answer.status_code == 200
    assert Sender.objects.count() == 1


def test_a_new_sender_is_stored_with_its_credentials(client: Client, rows: admin_rows.Rows) -> None:
    client.post(
        page(Sender, "add"),
        {
            "brand": rows[Brand].pk,
            "gateway": "twilio",
            "address": "+12125550123",
            "rate": "10",
            "in_flight": "50",
            "weight": "1",
            "credential_account_sid": "sid",
            "credential_auth_token": "token",
            "credential_api_id": "of another gateway",
        },
    )

    sender = Sender.objects.get(gateway="twilio")
    assert sender.credentials == {"account_sid": "sid", "auth_token": "token"}


def test_a_stopped_sender_is_resumed_by_its_button_and_only_by_post(
    client: Client, rows: admin_rows.Rows
) -> None:
    Sender.objects.update(status=Sender.Status.STOPPED, status_reason="http-401")
    button = page(Sender, "resume", rows[Sender].pk)

    client.get(button)
    assert Sender.objects.get().status == Sender.Status.STOPPED
    client.post(button, {"_form_submitted": "True"})

    assert Sender.objects.get().status == Sender.Status.ACTIVE


def campaign_form(client: Client, brand: Brand, body: str) -> dict[str, Any]:
    return admin_forms.blank(client, page(Campaign, "add")) | {
        "brand": brand.pk,
        "name": "Sale",
        "messages-TOTAL_FORMS": "1",
        "messages-0-weight": "1",
        "messages-0-body": body,
    }


def test_a_campaign_is_written_and_launched_from_its_page(
    client: Client, rows: admin_rows.Rows
) -> None:
    client.post(
        page(Campaign, "add"),
        campaign_form(client, rows[Brand], "{{ brand }}: Hi\r\nReply STOP to opt out"),
    )
    campaign = Campaign.objects.get(name="Sale")
    client.get(page(Campaign, "launch", campaign.pk))
    assert Campaign.objects.get(name="Sale").status == Campaign.Status.DRAFT

    answer = client.post(page(Campaign, "launch", campaign.pk), {"_form_submitted": "True"})

    assert answer.headers["HX-Redirect"] == page(Campaign, "change", campaign.pk)
    assert Campaign.objects.get(pk=campaign.pk).status == Campaign.Status.SCHEDULED
    assert Message.objects.get(campaign=campaign).body == "{{ brand }}: Hi\nReply STOP to opt out"


def test_a_message_that_nobody_could_get_is_refused_with_what_is_wrong(
    client: Client, rows: admin_rows.Rows
) -> None:
    answer = client.post(
        page(Campaign, "add"), campaign_form(client, rows[Brand], "Hi {{ frist_name }}")
    )

    assert "frist_name" in answer.content.decode()
    assert not Campaign.objects.filter(name="Sale").exists()


def test_what_a_launched_campaign_was_planned_by_cannot_be_changed(
    client: Client, rows: admin_rows.Rows
) -> None:
    Campaign.objects.update(status=Campaign.Status.RUNNING)
    message, other = rows[Message], admin_rows.tenant("badger", 2)[Brand]

    client.post(
        page(Campaign, "change", rows[Campaign].pk),
        {
            **campaign_form(client, other, "changed"),
            "messages-INITIAL_FORMS": "1",
            "messages-0-id": message.pk,
            "messages-0-campaign": rows[Campaign].pk,
        },
    )

    campaign = Campaign.objects.get(pk=rows[Campaign].pk)
    assert (campaign.name, campaign.brand) == ("Sale", rows[Brand])
    assert Message.objects.get(pk=message.pk).body == "aardvark: hello"


def test_saving_a_page_does_not_undo_a_state_that_moved_meanwhile(
    client: Client, rows: admin_rows.Rows, rf: Any
) -> None:
    its_admin, campaign = admin.site.get_model_admin(Campaign), rows[Campaign]
    request = rf.post("/")
    request.user = User.objects.get(username="operator")
    page_of = page(Campaign, "change", campaign.pk)
    data = admin_forms.blank(client, page_of) | {"name": "New"}
    form = its_admin.get_form(request, campaign, change=True)(data, instance=campaign)
    assert form.is_valid()
    Campaign.objects.update(status=Campaign.Status.RUNNING)

    its_admin.save_model(request, form.instance, form, change=True)

    stored = Campaign.objects.get(pk=campaign.pk)
    assert (stored.name, stored.status) == ("New", Campaign.Status.RUNNING)


def test_a_refused_button_says_why(client: Client, rows: admin_rows.Rows) -> None:
    Campaign.objects.update(status=Campaign.Status.COMPLETED)

    answer = client.post(
        page(Campaign, "changelist"),
        {"action": "pause_selected", "_selected_action": rows[Campaign].pk},
        follow=True,
    )

    assert "A completed campaign cannot be paused." in answer.content.decode()


def test_a_campaigns_progress_adds_up(client: Client, rows: admin_rows.Rows) -> None:
    answer = client.get(reverse("admin:sending_progress", args=[rows[Campaign].pk]))

    assert answer.context["totals"].audience == 1
    assert sum(card.count for card in answer.context["cards"]) == 1


def test_a_new_key_is_shown_once_and_works(client: Client, rows: admin_rows.Rows) -> None:
    answer = client.post(
        page(ApiKey, "add"),
        {
            "name": "shop",
            "workspace": rows[Workspace].pk,
            "brands": [rows[Brand].pk],
            "scopes": ["read", "send"],
        },
        follow=True,
    )

    key = re.search(r"The key shop is (\S+)", answer.content.decode())
    assert key
    assert ApiKey.objects.get_from_key(key[1]).name == "shop"
    assert list(ApiKey.objects.get(name="shop").brands.all()) == [rows[Brand]]
    assert ApiKey.objects.get(name="shop").scopes == ["read", "send"]
    assert key[1] not in client.get(page(ApiKey, "changelist")).content.decode()


def test_a_key_does_not_cover_a_brand_of_another_workspace(
    client: Client, rows: admin_rows.Rows
) -> None:
    other = admin_rows.tenant("badger", 2)

    client.post(
        page(ApiKey, "add"),
        {
            "name": "shop",
            "workspace": rows[Workspace].pk,
            "brands": [other[Brand].pk],
            "scopes": ["read"],
        },
    )

    assert not ApiKey.objects.filter(name="shop").exists()


def test_a_suppression_by_hand_opts_the_person_out_with_evidence(
    client: Client, rows: admin_rows.Rows
) -> None:
    person = rows[Subscriber]

    answer = client.post(
        page(Suppression, "add"),
        {"workspace": person.workspace_id, "phone": "(212) 555-1001", "reason": "called us"},
    )

    assert answer.status_code == 302
    person.refresh_from_db()
    assert person.status == Subscriber.Status.OPTOUT
    event = ConsentEvent.objects.get(kind="opt_out", subscriber=person)
    assert (event.source, event.evidence["actor"]) == ("operator", "operator")


def test_a_person_by_hand_is_normalised_and_located(client: Client, rows: admin_rows.Rows) -> None:
    client.post(
        page(Subscriber, "add"),
        {"workspace": rows[Workspace].pk, "phone": "(808) 949 1234", "first_name": "Kai"},
    )

    person = Subscriber.objects.get(phone="+18089491234")
    assert person.first_name == "Kai"
    assert person.zones == ["Pacific/Honolulu"]
    assert not person.subscriptions.exists()


def test_a_time_zone_that_does_not_exist_is_a_form_error(
    client: Client, rows: admin_rows.Rows
) -> None:
    answer = client.post(
        page(Subscriber, "change", rows[Subscriber].pk),
        {
            "timezone": "Mars/Olympus",
            **dict.fromkeys(("subscriptions-TOTAL_FORMS", "subscriptions-INITIAL_FORMS"), "0"),
            **dict.fromkeys(("consent_events-TOTAL_FORMS", "consent_events-INITIAL_FORMS"), "0"),
        },
    )

    assert answer.status_code == 200
    assert Subscriber.objects.get(pk=rows[Subscriber].pk).timezone == ""


def test_a_persons_texts_are_found_by_number(client: Client, rows: admin_rows.Rows) -> None:
    found = client.get(page(SentLog, "changelist"), {"q": "(212) 555-1001"}).content.decode()

    assert page(SentLog, "change", rows[SentLog].pk) in found
    assert "+1212***1001" in found
    assert "+12125551001" not in found


def test_a_campaign_that_paused_by_itself_says_when_and_why(
    client: Client, rows: admin_rows.Rows
) -> None:
    campaign = rows[Campaign]
    assert "Paused by itself" not in client.get(page(Campaign, "change", campaign.pk)).text
    AutomaticPause.objects.create(
        campaign=campaign, cause="errors", bad=1234, of=5000, limit=20, since=campaign.created_at
    )

    shown = client.get(page(Campaign, "change", campaign.pk)).text

    assert "1,234 of 5,000 texts, the limit is 20 % (errors)" in shown
