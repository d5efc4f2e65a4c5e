"""The admin of consent: buttons on a person's page, lists up and down, and whose rows they reach."""

import io
import json
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from subscribers import clock, consent
from subscribers.models import (
    Brand,
    ConsentEvent,
    ConsentSource,
    Erasure,
    Membership,
    Subscriber,
    Suppression,
    Workspace,
)
from tests.subscribers.conftest import JANUARY, make_brand, make_person, phone, status

BACKEND = "django.contrib.auth.backends.ModelBackend"


@pytest.fixture
def client(workspace: Workspace) -> Client:
    """A marketer of the workspace, with every permission."""
    user = User.objects.create_user("ada", is_staff=True)
    user.user_permissions.set(Permission.objects.all())
    Membership.objects.create(workspace=workspace, user=user)
    client = Client()
    client.force_login(user, backend=BACKEND)
    return client


@pytest.fixture
def person(workspace: Workspace, brand: Brand) -> Subscriber:
    person = make_person(workspace, name="Ada Lovelace")
    consent.opt_in(person, brand, at=JANUARY, source=ConsentSource.API, evidence={})
    return person


def press(client: Client, name: str, person: Subscriber, **fields: Any) -> Any:
    url = reverse(f"admin:subscribers_subscriber_{name}", args=[person.pk])
    return client.post(url, {"_form_submitted": "True", **fields})


def test_an_operator_opts_out_and_undoes_it_with_reasons(
    client: Client, person: Subscriber, brand: Brand
) -> None:
    press(client, "opt_out", person, scope=brand.pk, reason="letter of 3 May")
    assert status(person, brand) == "opted_out"
    assert Suppression.objects.get().reason == "letter of 3 May"

    press(client, "undo_opt_out", person, scope=brand.pk, reason="another person's letter")

    assert status(person, brand) == "opted_in"
    evidence = ConsentEvent.objects.get(kind="undo").evidence
    assert evidence == {"actor": "ada", "reason": "another person's letter"}


def test_nothing_happens_without_a_reason(client: Client, person: Subscriber, brand: Brand) -> None:
    answer = press(client, "opt_out", person, scope=brand.pk, reason=" ")

    assert answer.status_code == 200
    assert status(person, brand) == "opted_in"


def test_the_persons_own_stop_has_no_undo_button(
    client: Client, person: Subscriber, brand: Brand
) -> None:
    consent.opt_out(
        brand.workspace,
        person.phone,
        brand=brand,
        at=clock.now(),
        source=ConsentSource.KEYWORD,
        reason="STOP",
    )
    page = client.get(reverse("admin:subscribers_subscriber_change", args=[person.pk]))
    assert "Undo opt-out" not in page.content.decode()

    press(client, "undo_opt_out", person, scope=brand.pk, reason="I want to")

    assert status(person, brand) == "opted_out"


def test_a_brand_of_another_workspace_cannot_be_chosen(
    client: Client, person: Subscriber, other_workspace: Workspace
) -> None:
    theirs = make_brand(other_workspace)

    press(client, "opt_out", person, scope=theirs.pk, reason="r")

    assert not Suppression.objects.exists()


@pytest.mark.parametrize("name", ["opt_out", "undo_opt_out", "erase_person", "export_person"])
def test_a_person_of_another_workspace_is_not_there(
    client: Client, other_workspace: Workspace, name: str
) -> None:
    theirs = make_person(other_workspace)

    assert press(client, name, theirs, scope=0, reason="r").status_code == 404
    theirs.refresh_from_db()
    assert theirs.phone == phone()


def test_export_and_erasure_need_their_permission(
    client: Client, person: Subscriber, workspace: Workspace
) -> None:
    exported = client.get(reverse("admin:subscribers_subscriber_export_person", args=[person.pk]))
    assert json.loads(exported.content)["subscriber"]["name"] == "Ada Lovelace"
    user = User.objects.get()
    user.user_permissions.set(Permission.objects.exclude(codename="delete_subscriber"))
    for name in ("export_person", "erase_person"):
        assert press(client, name, person, reason="r").status_code == 403
    user.user_permissions.set(Permission.objects.all())

    press(client, "erase_person", person, reason="letter of 3 May")

    assert Erasure.objects.get().actor == "ada"
    assert not Subscriber.objects.filter(phone=phone()).exists()
    shown = client.get(reverse("admin:subscribers_subscriber_changelist")).content.decode()
    assert "+999" not in shown


def upload(client: Client, text: str, scope: str) -> str:
    file = io.BytesIO(text.encode())
    file.name = "list.csv"
    url = reverse("admin:subscribers_suppression_upload_list")
    return client.post(url, {"file": file, "scope": scope, "reason": "DNC"}).content.decode()


def test_a_list_goes_up_with_an_answer_and_comes_down_again(
    client: Client, brand: Brand, other_workspace: Workspace
) -> None:
    shown = upload(client, f"phone\n{phone(0)}\nnonsense\n{phone(0)}\n", f"brand-{brand.pk}")
    assert "1 added, 1 known, 1 invalid" in shown
    assert "Line 3" in shown
    consent.opt_out(
        other_workspace,
        phone(1),
        brand=None,
        at=JANUARY,
        source=ConsentSource.OPERATOR,
        reason="theirs",
    )

    answer = client.get(reverse("admin:subscribers_suppression_download_list"))

    text = b"".join(answer.streaming_content).decode()  # type: ignore[attr-defined]
    assert f"'{phone(0)},wswd,Import,DNC," in text
    assert "theirs" not in text


def test_a_list_cannot_go_up_to_another_workspace_and_a_bad_file_is_told(
    client: Client, brand: Brand, other_workspace: Workspace
) -> None:
    upload(client, phone(), f"workspace-{other_workspace.pk}")
    assert not Suppression.objects.exists()

    shown = upload(client, "x" * 20_000, f"brand-{brand.pk}")
    assert "cannot be read" in shown


def test_the_commands_read_and_write_lists(
    brand: Brand, tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    file, answers, out = (tmp_path / name for name in ("in.csv", "answers.csv", "out.csv"))
    file.write_text(f"phone,reason\n{phone(0)},litigator\nnonsense,\n")

    call_command("import_suppressions", str(file), brand="wswd", answers=answers)
    call_command("import_suppressions", str(file), brand="wswd")
    call_command("export_suppressions", brand="wswd", file=out)
    call_command("export_suppressions", workspace="acme")

    told = capsys.readouterr()
    assert "in.csv: 1 added, 0 known, 1 invalid." in told.out
    assert "in.csv: 0 added, 1 known, 1 invalid." in told.out
    assert "line 3:" in told.err
    assert answers.read_text().splitlines()[1].startswith("2,added,'+1212***")
    assert f"'{phone(0)},wswd,Import,litigator," in out.read_text()
    assert f"'{phone(0)}" in told.out


@pytest.mark.parametrize(
    "arguments",
    [
        {"brand": "nope"},
        {"workspace": "nope"},
        {"brand": "wswd", "file": "no/such/file.csv"},
    ],
)
def test_a_command_that_cannot_start_says_why(brand: Brand, arguments: dict[str, str]) -> None:
    arguments = {"file": "/dev/null"} | arguments
    with pytest.raises(CommandError):
        call_command("import_suppressions", arguments.pop("file"), **arguments)
