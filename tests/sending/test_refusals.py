"""What a refusal means beyond its text: who rests, who stops, who is suppressed."""

from uuid import uuid4

import pytest

from sending import limits, refusals
from sending.gateways.base import Fate, Outcome
from sending.models import ProviderAccount, Sender
from subscribers.models import Brand, ConsentSource, Suppression
from tests import sending_world as world


def refuse(brand: Brand, sender: Sender, code: str, retry_after: float | None = None) -> None:
    text = world.make_text(brand, "failed", sender=sender)
    refused = Outcome(text.id, Fate.RETRY, code=code, retry_after=retry_after)
    refusals.heed([(brand, refused)])


@pytest.fixture
def account(brand: Brand) -> ProviderAccount:
    return ProviderAccount.objects.create(
        workspace=brand.workspace, gateway="twilio", name="Main", cool_down=20
    )


def test_too_fast_rests_the_account_with_all_its_senders(
    brand: Brand, account: ProviderAccount
) -> None:
    one = world.make_sender(brand, account=account)
    other = world.make_sender(brand, account=account, address="+14155550198")

    refuse(brand, one, "20429")
    assert 19 < limits.rests_for(other) <= 20, "the account's own cool-down"

    refuse(brand, one, "http-429", retry_after=7.0)
    assert 6 < limits.rests_for(other) <= 7, "the provider's own time"


def test_a_full_queue_of_one_sender_rests_that_sender(
    brand: Brand, account: ProviderAccount
) -> None:
    one = world.make_sender(brand, account=account)
    other = world.make_sender(brand, account=account, address="+14155550198")

    refuse(brand, one, "21611")

    assert 19 < limits.rests_for(one) <= 20
    assert limits.rests_for(other) == 0


def test_without_an_account_the_sender_rests_a_minute(brand: Brand, sender: Sender) -> None:
    refuse(brand, sender, "http-429")

    assert 59 < limits.rests_for(sender) <= 60


@pytest.mark.parametrize("code", ["http-503", "connect", "21211"])
def test_other_refusals_rest_nobody(brand: Brand, sender: Sender, code: str) -> None:
    refuse(brand, sender, code)

    assert limits.rests_for(sender) == 0


def test_a_receipt_that_says_opted_out_suppresses(brand: Brand, sender: Sender) -> None:
    (person,) = world.make_people(brand, 1)
    text = world.make_text(brand, "accepted", sender=sender, subscriber=person, phone=person.phone)

    refusals.heed_receipts(sender, [(text.id, "21610"), (uuid4(), "30003")])

    suppression = Suppression.objects.get()
    assert (suppression.phone, suppression.source) == (person.phone, ConsentSource.PROVIDER)
