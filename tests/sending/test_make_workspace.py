"""`manage.py make_workspace`: all of it or nothing, and a key that works."""

import pytest
from django.core.management import CommandError, call_command

from sending.models import Sender, TestNumber
from subscribers.models import ApiKey, Brand, Workspace

pytestmark = pytest.mark.django_db


def test_a_sandbox_has_all_that_a_first_text_needs(capsys: pytest.CaptureFixture[str]) -> None:
    call_command(
        "make_workspace", "acme", "--brand", "shop", "--sandbox", "--test-number", "(212) 555-0199"
    )

    key = capsys.readouterr().out.strip()
    assert ApiKey.objects.get_from_key(key).workspace.slug == "acme"
    brand = Brand.objects.get(workspace__slug="acme")
    assert (brand.slug, brand.sandbox) == ("shop", True)
    assert Sender.objects.get(brand=brand).status == Sender.Status.ACTIVE
    assert TestNumber.objects.get().phone == "+12125550199"


def test_a_live_brand_gets_no_sender_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("make_workspace", "acme", "--brand", "shop")

    assert "Add a sender" in capsys.readouterr().err
    assert not Sender.objects.exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["Acme!", "--brand", "shop"], "Use lower-case letters"),
        (["acme", "--brand", "My Shop"], "Use lower-case letters"),
        (["acme", "--brand", "shop", "--test-number", "12"], "too few digits"),
        (["taken", "--brand", "shop"], "already exists"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_made(arguments: list[str], sentence: str) -> None:
    Workspace.objects.create(slug="taken", name="Taken")

    with pytest.raises(CommandError, match=sentence):
        call_command("make_workspace", *arguments)

    assert Workspace.objects.count() == 1
    assert not Brand.objects.exists()
