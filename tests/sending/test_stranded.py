"""Texts of a brand that has lost its last sender."""

import datetime as dt

from sending import senders, stranded
from sending.models import ProviderAccount, Sender, SentLog
from subscribers import clock
from subscribers.models import Brand
from tests import sending_world as world


def overdue() -> None:
    SentLog.objects.update(expires_at=clock.now() - dt.timedelta(seconds=1))


def test_texts_without_a_sender_wait_until_they_expire(brand: Brand, sender: Sender) -> None:
    world.planned_texts(brand, 2)
    senders.stop(sender.pk, "http-401")

    assert stranded.expire_stranded() == 0
    overdue()

    assert stranded.expire_stranded() == 2
    assert set(SentLog.objects.values_list("state", "reason")) == {("expired", "no_sender")}


def test_texts_of_a_brand_with_a_sender_are_the_gates_to_judge(
    brand: Brand, sender: Sender
) -> None:
    world.planned_texts(brand, 2)
    overdue()

    assert stranded.expire_stranded() == 0
    assert world.states() == {"planned": 2}


def test_a_used_up_account_is_the_reason_where_nothing_else_is_wrong(
    brand: Brand, sender: Sender
) -> None:
    world.planned_texts(brand, 1)
    overdue()
    account = ProviderAccount.objects.create(
        workspace=brand.workspace, gateway="twilio", name="Main", daily_cap=10, used=10
    )
    Sender.objects.update(account=account)
    assert stranded.expire_stranded() == 0, "that was another day"

    ProviderAccount.objects.update(used_on=clock.now().date())
    assert stranded.expire_stranded() == 1
    assert SentLog.objects.get().reason == stranded.ACCOUNT_CAP
