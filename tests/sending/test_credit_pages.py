"""The admin's pages of credits: operators give them, once and with a reason; nobody else does."""

from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from sending.models import CreditAccount, CreditEntry
from subscribers.models import Brand


@pytest.fixture
def operator(client: Client, django_user_model: Any, db: None) -> Client:
    user = django_user_model.objects.create_superuser("operator")
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


def test_an_operator_gives_credits_once_with_a_note(operator: Client, brand: Brand) -> None:
    page = reverse("admin:sending_creditentry_add")
    values = {"workspace": brand.workspace_id, "amount": "500", "note": "Invoice 7", "once": "g:1"}

    for _ in range(2):
        operator.post(page, values)

    entry = CreditEntry.objects.get()
    assert (entry.kind, entry.amount, entry.note, entry.actor) == (
        "grant",
        500,
        "Invoice 7",
        "operator",
    )
    assert CreditAccount.objects.get().granted == 500


@pytest.mark.parametrize("wrong", [{"amount": "0"}, {"note": ""}, {"amount": "x"}])
def test_credits_need_an_amount_and_a_note(
    operator: Client, brand: Brand, wrong: dict[str, str]
) -> None:
    values = {"workspace": brand.workspace_id, "amount": "500", "note": "n", "once": "g:1"} | wrong

    operator.post(reverse("admin:sending_creditentry_add"), values)

    assert not CreditEntry.objects.exists()


def test_a_correction_takes_credits_away(operator: Client, brand: Brand) -> None:
    values = {"workspace": brand.workspace_id, "amount": "-5", "note": "Mistake", "once": "g:2"}

    operator.post(reverse("admin:sending_creditentry_add"), values)

    assert CreditEntry.objects.get().kind == "adjust"
    assert CreditAccount.objects.get().available == -5


def test_a_marketer_gives_nobody_credits(
    client: Client, brand: Brand, django_user_model: Any
) -> None:
    user = django_user_model.objects.create_user("marketer", is_staff=True)
    user.user_permissions.set(Permission.objects.all())
    brand.workspace.members.add(user)
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    account = CreditAccount.objects.create(workspace=brand.workspace, enforced=True)
    values = {"workspace": brand.workspace_id, "amount": "5", "note": "Please", "once": "g:3"}

    given = client.post(reverse("admin:sending_creditentry_add"), values)
    changed = client.post(
        reverse("admin:sending_creditaccount_change", args=[account.pk]), {"enforced": ""}
    )

    account.refresh_from_db()
    assert (given.status_code, changed.status_code) == (403, 403)
    assert account.enforced
    assert not CreditEntry.objects.exists()
