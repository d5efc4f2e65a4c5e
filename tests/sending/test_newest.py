"""A page of the log is found along the indexes of its brands, and is what a walk by time would find."""

import datetime as dt
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from sending import newest
from sending.identity import identify
from sending.models import SentLog, State
from subscribers import clock
from subscribers.models import Brand, Membership
from tests import sending_world as world
from tests.subscribers.conftest import api_key, make_key

LIST = reverse("admin:sending_sentlog_changelist")
SECOND = dt.timedelta(seconds=1)


@pytest.fixture
def brand(db: None) -> Brand:
    return world.make_brand()


@pytest.fixture
def texts(brand: Brand) -> list[SentLog]:
    """Of three brands of a workspace and of somebody else, the latest first; every third failed."""
    sisters = [world.make_brand(name, workspace=brand.workspace) for name in ("second", "third")]
    brands = [brand, *sisters, world.make_brand("theirs")]
    shares = [0, 3, 1, 0, 0, 2, 3, 1, 0, 3, 3, 2, 0, 1, 0, 0, 3, 1]
    now = clock.now()
    made = [
        world.make_text(
            brands[share],
            State.FAILED if number % 3 == 0 else State.DELIVERED,
            id=identify(now - number * 7 % 18 * SECOND, "test", number),
        )
        for number, share in enumerate(shares)
    ]
    return sorted(made, key=lambda text: text.pk, reverse=True)


def own(texts: list[SentLog], brand: Brand) -> list[SentLog]:
    return [text for text in texts if text.brand.workspace_id == brand.workspace_id]


def names(texts: list[SentLog]) -> list[str]:
    return [str(text.pk) for text in texts]


def walk(client: Client, key: str, path: str, *, to: str = "next") -> list[list[str]]:
    """The ids of each page, by the addresses that the pages name."""
    pages: list[list[str]] = []
    following: str | None = path
    while following:
        answer = client.get(following, headers=api_key(key))
        assert answer.status_code == 200, answer.content
        pages.append([row["id"] for row in answer.json()["results"]])
        last, following = following, answer.json()[to]
    return pages if to == "previous" else [*pages, [last]]


@pytest.fixture(params=[100, 3])
def few(request: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(newest, "FEW", request.param)


@pytest.mark.parametrize("limit", [1, 2, 5, 14, 50])
@pytest.mark.parametrize("state", ["", "failed"])
@pytest.mark.usefixtures("few")
def test_pages_follow_one_another_as_by_time_and_lead_back(
    client: Client, brand: Brand, texts: list[SentLog], limit: int, state: str
) -> None:
    wanted = names([text for text in own(texts, brand) if state in ("", text.state)])
    key = make_key(brand.workspace, per_minute=1000)
    query = f"&state={state}" if state else ""

    *pages, [last] = walk(client, key, f"/api/messages?limit={limit}{query}")
    back = walk(client, key, last, to="previous")

    assert [one for page in pages for one in page] == wanted
    assert [one for page in reversed(back) for one in page] == wanted


def test_a_key_of_some_brands_and_a_filter_by_brand_leave_the_others_out(
    client: Client, brand: Brand, texts: list[SentLog]
) -> None:
    second = Brand.objects.get(slug="second")
    wide, narrow = make_key(brand.workspace), make_key(brand.workspace, brand, second)

    def found(key: str, query: str = "") -> list[str]:
        *pages, _ = walk(client, key, f"/api/messages{query}")
        return pages[0]

    assert found(narrow) == names([one for one in texts if one.brand in (brand, second)])
    assert found(wide, "?brand=second") == names([one for one in texts if one.brand == second])
    assert found(narrow, "?brand=third") == []
    assert found(wide, "?brand=theirs") == []


def test_a_cursor_that_is_none_of_ours_is_refused(client: Client, brand: Brand) -> None:
    key = make_key(brand.workspace)

    for cursor in ("cD1hYmM=", "nonsense", "bz0tMQ=="):  # p=abc, no base64, o=-1
        answer = client.get(f"/api/messages?cursor={cursor}", headers=api_key(key))
        assert answer.status_code == 404, answer.content


def test_a_page_takes_as_many_queries_for_many_brands_as_for_one(
    client: Client, brand: Brand, texts: list[SentLog]
) -> None:
    wide, narrow = make_key(brand.workspace), make_key(brand.workspace, brand)

    def queries(key: str) -> int:
        client.get("/api/messages", headers=api_key(key))  # notes its last use
        with CaptureQueriesContext(connection) as asked:
            client.get("/api/messages", headers=api_key(key))
        return len(asked)

    assert queries(wide) == queries(narrow)


def test_texts_are_few_up_to_so_many_of_all_the_brands(
    brand: Brand, texts: list[SentLog], monkeypatch: Any
) -> None:
    brands = Brand.objects.filter(workspace=brand.workspace)
    count = len(own(texts, brand))

    for few, answer in ((count, True), (count - 1, False), (0, False)):
        monkeypatch.setattr(newest, "FEW", few)
        assert newest.are_few(SentLog.objects.all(), brands) is answer


@pytest.mark.parametrize("state", ["", "failed"])
def test_the_latest_are_found_by_the_brands_index(
    brand: Brand, texts: list[SentLog], state: str
) -> None:
    rows = SentLog.objects.filter(state=state) if state else SentLog.objects.all()
    brands = Brand.objects.filter(workspace=brand.workspace)
    with CaptureQueriesContext(connection) as asked:
        found = newest.of_brands(rows, brands, 3, few=bool(state))
    with connection.cursor() as cursor:
        cursor.execute("SET enable_seqscan = off")
        cursor.execute(f"EXPLAIN {asked[0]['sql']}")
        plan = "\n".join(row[0] for row in cursor.fetchall())
        cursor.execute("RESET enable_seqscan")

    assert {text.pk for text in found} == {
        text.pk for text in [one for one in own(texts, brand) if state in ("", one.state)][:3]
    }
    assert "brand_id_id_idx" in plan, plan  # of each month's part
    assert "Seq Scan on sending_sentlog" not in plan
    assert "_pkey" not in plan.replace("subscribers_brand_pkey", "")


@pytest.fixture
def member(installed: None, brand: Brand) -> Client:
    user = User.objects.create_user("member", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="view_sentlog"))
    Membership.objects.create(workspace=brand.workspace, user=user)
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


def listed(client: Client, monkeypatch: Any, **query: Any) -> list[list[UUID]]:
    """The pages of the admin's list, five texts each."""
    from django.contrib import admin

    monkeypatch.setattr(type(admin.site.get_model_admin(SentLog)), "list_per_page", 5)
    pages: list[list[UUID]] = []
    while not pages or pages[-1]:
        answer = client.get(LIST, {"p": len(pages) + 1, **query})
        if answer.status_code != 200:
            break
        pages.append([row.pk for row in answer.context["cl"].result_list])
    return pages[:-1]


@pytest.mark.parametrize("deep", [0, 10, 5000])
def test_the_admins_pages_are_those_of_a_walk_by_time(
    member: Client, brand: Brand, texts: list[SentLog], monkeypatch: Any, deep: int
) -> None:
    monkeypatch.setattr(newest, "DEEP", deep)
    wanted = [text.pk for text in own(texts, brand)]
    failed = [text.pk for text in own(texts, brand) if text.state == State.FAILED]

    assert [one for page in listed(member, monkeypatch) for one in page] == wanted
    found = listed(member, monkeypatch, state__exact="failed")
    assert [one for page in found for one in page] == failed


def test_a_superuser_sees_everybodys_and_one_brands(
    member: Client, texts: list[SentLog], monkeypatch: Any
) -> None:
    User.objects.update(is_superuser=True)
    theirs = Brand.objects.get(slug="theirs")

    everybodys = listed(member, monkeypatch)
    of_one = listed(member, monkeypatch, brand__id__exact=theirs.pk)

    assert [one for page in everybodys for one in page] == [text.pk for text in texts]
    assert [one for page in of_one for one in page] == [
        text.pk for text in texts if text.brand == theirs
    ]
