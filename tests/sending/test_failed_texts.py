"""The failed view: texts that were not sent are found, and only those are queued again."""

import datetime as dt
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from sending.identity import identify
from sending.models import QueuedText, Sender, SentLog, State
from subscribers import clock
from subscribers.models import Brand
from tests import sending_world as world

LIST = reverse("admin:sending_sentlog_changelist")


@pytest.fixture
def client(installed: None) -> Client:
    client = Client()
    operator = User.objects.create_superuser("operator")
    client.force_login(operator, backend="django.contrib.auth.backends.ModelBackend")
    return client


def shown(client: Client, **filters: Any) -> set[str]:
    answer = client.get(LIST, {"unsent": "1", "days": "1", **filters})
    assert answer.status_code == 200
    return {row.error_code or row.reason for row in answer.context["cl"].result_list}


@pytest.fixture
def texts(brand: Brand, sender: Sender) -> dict[str, SentLog]:
    other = world.make_sender(brand, "lime")
    return {
        "bad": world.make_text(brand, State.FAILED, error_code="21211", sender=sender),
        "rude": world.make_text(brand, State.FAILED, error_code="30007", sender=other),
        "late": world.make_text(brand, State.EXPIRED, reason="no_sender"),
        "doubt": world.make_text(brand, State.UNKNOWN, error_code="http-500", sender=sender),
        "fine": world.make_text(brand, State.DELIVERED, sender=sender),
    }


def test_the_sidebar_leads_to_failed_texts(client: Client) -> None:
    page = client.get(reverse("admin:index")).text

    assert f"{LIST}?unsent=1&amp;days=1" in page
    assert "Failed texts" in page


def test_only_what_was_certainly_not_sent_is_listed(
    client: Client, texts: dict[str, SentLog]
) -> None:
    assert shown(client) == {"21211", "30007", "no_sender"}


def test_failed_texts_are_found_by_category_code_reason_sender_state_and_brand(
    client: Client, brand: Brand, texts: dict[str, SentLog]
) -> None:
    assert shown(client, code="21211") == {"21211"}
    assert shown(client, because="no_sender") == {"no_sender"}
    assert shown(client, sender__id__exact=texts["rude"].sender_id) == {"30007"}
    assert shown(client, state__exact="expired") == {"no_sender"}
    assert shown(client, category="invalid number") == {"21211"}
    assert shown(client, category="unexplained") == {"30007"}  # Twilio's, but it came from Lime
    assert shown(client, brand__id__exact=brand.pk) == {"21211", "30007", "no_sender"}


def test_failed_texts_of_a_campaign_are_found_whenever_it_ran(
    client: Client, brand: Brand, sender: Sender
) -> None:
    mine, others = world.planned_texts(brand, 1)[0], world.planned_texts(brand, 1)[0]
    pks = [mine.pk, others.pk]
    SentLog.objects.filter(pk__in=pks).update(state=State.FAILED, error_code="x")
    QueuedText.objects.filter(pk__in=pks).delete()

    answer = client.get(LIST, {"unsent": "1", "campaign": mine.campaign_id})

    assert [row.pk for row in answer.context["cl"].result_list] == [mine.pk]


def test_the_list_reads_a_range_of_ids_and_no_older_month(
    client: Client, texts: dict[str, SentLog]
) -> None:
    with CaptureQueriesContext(connection) as queries:
        shown(client)

    listed = next(
        query["sql"]
        for query in queries
        if 'FROM "sending_sentlog"' in query["sql"] and "ORDER BY" in query["sql"]
    )
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {listed}")
        plan = "\n".join(row[0] for row in cursor.fetchall())
    first_month = (clock.now() - dt.timedelta(days=1)).replace(day=1)
    assert f"{first_month - dt.timedelta(days=2):%Y_%m}" not in plan, plan
    assert "id >=" in plan


def test_a_selection_is_queued_again_and_what_is_unknown_never_is(
    client: Client, texts: dict[str, SentLog]
) -> None:
    chosen = [str(text.pk) for text in texts.values()]

    answer = client.post(
        LIST, {"action": "queue_again", "_selected_action": chosen}, follow=True
    ).text

    assert "Texts queued again: 3." in answer
    assert "Texts left as they are: 2." in answer
    ended = {name: world.reload(text).state for name, text in texts.items()}
    assert ended == {
        "bad": "planned", "rude": "planned", "late": "planned",
        "doubt": "unknown", "fine": "delivered",
    }  # fmt: skip
    assert QueuedText.objects.count() == 3


def test_what_a_provider_may_have_is_not_queued_again_whatever_its_state_says(
    client: Client, brand: Brand
) -> None:
    taken = world.make_text(brand, State.FAILED, provider_message_id="SM1")
    handed = world.make_text(brand, State.EXPIRED, sent_at=clock.now())
    old = SentLog.objects.create(
        id=identify(clock.now() - dt.timedelta(hours=50), "old"),
        brand=brand, purpose="campaign", phone="+12125550100", body="x", state=State.FAILED,
        expires_at=clock.now(),
    )  # fmt: skip

    client.post(
        LIST,
        {"action": "queue_again", "_selected_action": [str(t.pk) for t in (taken, handed, old)]},
    )

    assert world.states() == {State.FAILED: 2, State.EXPIRED: 1}
    assert not QueuedText.objects.exists()
