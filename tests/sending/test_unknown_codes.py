"""Codes that nobody has explained yet: kept as they came, and counted."""

from uuid import uuid4

import pytest

from sending import refusals, unknown_codes
from sending.gateways.base import Fate, Outcome
from sending.models import Sender, UnknownCode
from subscribers.models import Brand
from tests import sending_world as world

pytestmark = pytest.mark.usefixtures("installed")
ANSWER = UnknownCode.Source.ANSWER


def counted() -> dict[str, int]:
    return dict(UnknownCode.objects.values_list("code", "count"))


def told(brand: Brand, sender: Sender, *codes: str) -> list[tuple[Brand, Outcome]]:
    return [
        (
            brand,
            Outcome(
                world.make_text(brand, "failed", sender=sender).id,
                Fate.FAILED,
                code=code,
                detail="Words",
            ),
        )
        for code in codes
    ]


def test_codes_add_up_and_keep_the_providers_last_words() -> None:
    unknown_codes.count("twilio", ANSWER, [("63999", ""), ("63999", "First"), ("12", "A")])
    unknown_codes.count("twilio", ANSWER, [("63999", "")])
    unknown_codes.count("lime", ANSWER, [("63999", "Other")])

    rows = UnknownCode.objects.order_by("gateway", "code")
    assert list(rows.values_list("gateway", "code", "count", "example")) == [
        ("lime", "63999", 1, "Other"),
        ("twilio", "12", 1, "A"),
        ("twilio", "63999", 3, "First"),
    ]
    assert rows[2].last_seen > rows[2].first_seen


def test_a_number_in_the_providers_words_is_masked() -> None:
    unknown_codes.count("lime", ANSWER, [("bad 17325555555", "To +1 (732) 555-5555 is bad")])

    row = UnknownCode.objects.get()
    assert (row.code, row.example) == ("bad ***", "To *** is bad")


def test_made_up_codes_do_not_fill_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unknown_codes, "MOST", 3)
    for place in range(6):
        unknown_codes.count("lime", ANSWER, [(f"error-{place}", "")])
    unknown_codes.count("lime", ANSWER, [("error-1", "")])

    assert counted() == {"error-0": 1, "error-1": 2, "error-2": 1, "(others)": 3}


def test_answers_with_unknown_codes_are_counted_and_others_are_not(
    brand: Brand, sender: Sender
) -> None:
    codes = ("63999", "63999", "21211", "http-401", "http-500", "connect", "no-answer", "http-418")

    refusals.heed(told(brand, sender, *codes))

    assert counted() == {"63999": 2, "http-418": 1}


def test_a_code_of_another_providers_table_is_unknown(brand: Brand) -> None:
    refusals.heed(told(brand, world.make_sender(brand, "lime"), "21211"))

    assert counted() == {"21211": 1}


@pytest.mark.parametrize("code", ["30007", "30034", "30002"])
def test_a_receipt_that_says_filtered_or_unregistered_stops_the_sender(
    brand: Brand, sender: Sender, code: str
) -> None:
    refusals.heed_receipts(sender, [(uuid4(), "30003"), (uuid4(), code)])

    sender.refresh_from_db()
    assert sender.status == Sender.Status.STOPPED
    assert sender.status_reason.startswith(f"{code} in a receipt: ")


def test_other_receipts_stop_nobody_and_unknown_ones_are_counted(
    brand: Brand, sender: Sender
) -> None:
    receipts = [(uuid4(), code) for code in ("30003", "30005", "30006", "39999", "39999", "")]

    refusals.heed_receipts(sender, receipts)

    sender.refresh_from_db()
    assert sender.status == Sender.Status.ACTIVE
    assert counted() == {"39999": 2}
