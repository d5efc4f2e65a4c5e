"""Claims about the audit trail of the rules: every change is kept, signed, and shown."""

import datetime as dt
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.test import Client
from django.urls import reverse

from campaigns import history, policy
from campaigns.models import (
    BrandPolicy,
    BrandPolicyEvent,
    LegalWindow,
    LegalWindowEvent,
    PlatformPolicy,
    PlatformPolicyEvent,
)
from subscribers.models import Brand, Membership, Workspace

pytestmark = pytest.mark.django_db

BACKEND = "django.contrib.auth.backends.ModelBackend"


@pytest.fixture
def brand() -> Brand:
    workspace = Workspace.objects.create(slug="teas", name="Teas")
    return Brand.objects.create(workspace=workspace, slug="teas", name="Teas")


@pytest.fixture
def operator(client: Client) -> User:
    user = User.objects.create_superuser("grace")
    client.force_login(user, backend=BACKEND)
    return user


def florida() -> LegalWindow:
    return LegalWindow.objects.get(jurisdiction="US-FL")


def posted(window: LegalWindow, **changes: Any) -> dict[str, Any]:
    """The form of a window's page as a browser sends it."""
    names = ("jurisdiction", "weekdays", "saturday", "sunday", "public_holidays", "cap_per_24h")
    names += ("cap_scope", "effective_from", "confidence", "basis")
    return {name: getattr(window, name) or "" for name in names} | changes


def change(window: LegalWindow) -> str:
    return reverse("admin:campaigns_legalwindow_change", args=[window.pk])


def test_what_an_operator_changes_is_kept_with_who_and_when(client: Client, operator: User) -> None:
    client.post(change(florida()), posted(florida(), weekdays="10:00-19:00", cap_per_24h=2))

    newest = history.of(LegalWindowEvent.objects.filter(jurisdiction="US-FL"))[0]
    assert (newest.who, newest.what) == ("grace", "Changed")
    assert newest.fields == [
        ("Weekdays", "08:00-20:00", "10:00-19:00"),
        ("Cap per 24h", "3", "2"),
    ]
    assert abs(newest.at - dt.datetime.now(dt.UTC)) < dt.timedelta(minutes=5)


def test_a_rules_page_shows_its_history(client: Client, operator: User) -> None:
    client.post(change(florida()), posted(florida(), weekdays="10:00-19:00"))

    shown = client.get(change(florida())).content.decode()

    assert "Every change" in shown
    assert "<del>08:00-20:00</del>" in shown
    assert "grace" in shown


def test_the_history_of_a_jurisdiction_tells_of_rows_that_are_gone(
    client: Client, operator: User
) -> None:
    client.post(change(florida()), posted(florida(), weekdays="10:00-19:00"))
    client.post(reverse("admin:campaigns_legalwindow_delete", args=[florida().pk]), {"post": "yes"})
    policy.load_send_windows()

    shown = history.of(LegalWindowEvent.objects.filter(jurisdiction="US-FL"))

    assert [one.what for one in shown] == ["Added", "Deleted", "Changed", "Was there"]
    assert [one.who for one in shown[1:3]] == ["grace", "grace"]


def test_a_change_of_a_brands_rules_is_signed_by_its_marketer(client: Client, brand: Brand) -> None:
    marketer = User.objects.create_user("ada", is_staff=True, is_superuser=True)
    Membership.objects.create(workspace=brand.workspace, user=marketer)
    client.force_login(marketer, backend=BACKEND)
    own = policy.of_brand(brand)
    page = reverse("admin:campaigns_brandpolicy_change", args=[own.pk])
    form = client.get(page).context["adminform"].form.initial | {"daily_limit": 2}

    client.post(page, {name: "" if value is None else value for name, value in form.items()})

    own.refresh_from_db()
    assert own.daily_limit == 2
    newest = history.of(BrandPolicyEvent.objects.filter(pgh_obj_id=own.pk))[0]
    assert ("Daily limit", "4", "2") in newest.fields
    assert newest.who == "ada"


def test_a_signature_outlives_the_user(client: Client, operator: User) -> None:
    client.post(change(florida()), posted(florida(), weekdays="10:00-19:00"))
    operator.delete()

    assert history.of(LegalWindowEvent.objects.filter(jurisdiction="US-FL"))[0].who == "grace"


def test_a_change_in_the_database_itself_is_kept_without_a_signature(brand: Brand) -> None:
    policy.platform()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE campaigns_platformpolicy SET daily_cap = 7")

    newest = history.of(PlatformPolicyEvent.objects.all())[0]
    assert (newest.who, newest.fields) == (history.UNSIGNED, [("Daily cap", "1000000", "7")])


def test_a_change_that_changes_nothing_leaves_no_trace() -> None:
    before = LegalWindowEvent.objects.count()
    LegalWindow.objects.filter(jurisdiction="US-FL").update(weekdays="08:00-20:00")

    assert LegalWindowEvent.objects.count() == before


@pytest.mark.parametrize("statement", ["UPDATE {} SET basis = 'none'", "DELETE FROM {}"])
def test_the_trail_can_only_be_added_to(statement: str) -> None:
    with (
        pytest.raises(DatabaseError, match="Cannot update or delete"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement.format("campaigns_legalwindowevent"))


def test_every_row_of_the_table_has_a_beginning() -> None:
    begun = LegalWindowEvent.objects.filter(pgh_label="snapshot").values_list(
        "pgh_obj_id", flat=True
    )

    assert set(begun) == set(LegalWindow.objects.values_list("pk", flat=True))


def test_what_the_command_loads_is_signed_by_it(capsys: pytest.CaptureFixture) -> None:
    LegalWindow.objects.filter(jurisdiction__in=["FR", "GB"]).delete()

    call_command("load_send_windows")

    assert "2 rows were added" in capsys.readouterr().out
    added = LegalWindowEvent.objects.filter(pgh_label="insert", jurisdiction__in=["FR", "GB"])
    assert [history.who(one) for one in added] == ["manage.py load_send_windows"] * 2


def test_brands_rules_are_shown_to_their_workspace_alone(brand: Brand) -> None:
    policy.of_brand(brand)
    stranger = User.objects.create_user("eve")

    assert BrandPolicyEvent.objects.count() == 1
    assert not BrandPolicyEvent.objects.for_user(stranger).exists()


def test_no_text_may_wait_longer_than_the_caps_look_back() -> None:
    installation = policy.platform()
    installation.text_lifetime = dt.timedelta(hours=49)

    with pytest.raises(ValidationError, match="48 hours at most"):
        installation.full_clean()
    with pytest.raises(IntegrityError), transaction.atomic():
        PlatformPolicy.objects.update(text_lifetime=dt.timedelta(hours=49))
    assert BrandPolicy.objects.count() == 0
