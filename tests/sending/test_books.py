"""The audit finds each kind of difference, and none where there is none."""

import datetime as dt
import threading
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, connections

from campaigns.models import Campaign, Run
from sending import books, dispatch, outcomes, reconciliation
from sending.books import Books, Scope
from sending.count_models import CampaignCount
from sending.gateways.base import Fate, Outcome
from sending.identity import identify
from sending.models import (
    DailyTotal,
    Departure,
    ProviderMessage,
    QueuedText,
    Sender,
    SentLog,
    State,
)
from sending.outcomes import Answered
from sending.reconciliation import CarrierLog
from subscribers import clock
from subscribers.models import Brand, Workspace
from tests import sending_world as world
from tests.sending.carrier.conftest import Running
from tests.sending.conftest import Carrier

DAY = dt.timedelta(days=1)
SENT, LATER = 8, 3


@pytest.fixture
def carrier(carrier_server: Running, installed: None, settings: Any) -> Carrier:
    """The fake carrier; nothing has to balance afterwards."""
    carrier_server.post("/_carrier/reset", {})
    settings.FAKE_CARRIER_URL = carrier_server.url
    return Carrier(carrier_server, len(carrier_server.entries()))


@pytest.fixture
def campaign(carrier: Carrier) -> Campaign:
    """A campaign of which 8 texts are sent and 3 wait for Hawaii's morning."""
    brand = world.make_brand()
    world.make_sender(brand)
    people = [world.number() for _ in range(SENT)]
    people += [world.number(area=world.HAWAII) for _ in range(LATER)]
    texts = world.planned_texts(brand, people)
    dispatch.drain(brand.pk, seconds=20)
    assert world.states() == {State.ACCEPTED: SENT, State.PLANNED: LATER}
    return Campaign.objects.get(pk=texts[0].campaign_id)


def since_the_test_began(carrier: Carrier) -> CarrierLog:
    """The carrier's list over HTTP, without what earlier tests sent."""
    whole = reconciliation.over_http(carrier.url)
    return lambda after: whole(carrier.first_line + after)


def audit(carrier: Carrier | None = None, scope: Scope | None = None) -> Books:
    return books.audit(scope or Scope(), since_the_test_began(carrier) if carrier else None)


def some(state: State) -> Any:
    """The rows of one text in that state."""
    return SentLog.objects.filter(pk=SentLog.objects.filter(state=state)[:1].get().pk)


def departure_of(*texts: uuid.UUID, token: uuid.UUID | None = None, ago: int = 0) -> None:
    Departure.objects.create(
        token=token or uuid.uuid4(),
        brand=Brand.objects.get(),
        texts=list(texts),
        expires_at=clock.now() + dt.timedelta(minutes=1 - ago),
    )


def move_to_another_time() -> None:
    text = some(State.ACCEPTED).get()
    ProviderMessage.objects.filter(text_id=text.pk).delete()
    SentLog.objects.filter(pk=text.pk).update(
        id=identify(clock.now() + dt.timedelta(hours=1), "test"), provider_message_id=""
    )


def copy_of_a_text() -> None:
    """The same person a second time in the run, counted in the audience."""
    row = some(State.SKIPPED if world.states().get(State.SKIPPED) else State.ACCEPTED).get()
    row.pk = uuid.UUID(int=row.pk.int ^ 1)
    row.state, row.sent_at, row.provider_message_id = State.SKIPPED, None, ""
    row.save(force_insert=True)
    Run.objects.update(audience=SENT + LATER + 1)


def overdue_departure() -> None:
    text = some(State.ACCEPTED).get()
    departure_of(text.pk, token=text.lease_token, ago=5)


# What somebody or something did to the rows -> what the audit says of it.
TAMPERED: dict[str, tuple[Callable[[], Any], str]] = {
    "audience": (
        lambda: Run.objects.update(audience=SENT + LATER + 2),
        "1 runs have another number of texts than people: run",
    ),
    "a text is gone": (
        lambda: some(State.ACCEPTED).delete(),
        "1 runs have another number of texts than people: run",
    ),
    "run is gone": (
        lambda: some(State.PLANNED).update(run_id=999_999),
        "1 texts belong to a run that does not exist",
    ),
    "time": (move_to_another_time, "1 texts have another time in their id than their run"),
    "person twice": (copy_of_a_text, "1 people are in one run more than once: person"),
    "not queued": (
        lambda: QueuedText.objects.filter(pk=QueuedText.objects.first().pk).delete(),  # type: ignore[union-attr]
        "1 planned texts are not in the queue",
    ),
    "queued without a text": (
        lambda: QueuedText.objects.create(
            id=uuid.uuid4(), brand=Brand.objects.get(), lane=1, due_at=clock.now()
        ),
        "1 queued texts are not in the log",
    ),
    "final and queued": (
        lambda: some(State.PLANNED).update(state=State.SKIPPED),
        "1 queued texts are not planned any more",
    ),
    "another campaign": (
        lambda: QueuedText.objects.update(campaign_id=None),
        "3 queued texts are of another brand, campaign or person in the log",
    ),
    "sending alone": (
        lambda: some(State.ACCEPTED).update(state=State.SENDING),
        "1 texts are being sent without a departure",
    ),
    "sending under another token": (
        lambda: (
            some(State.ACCEPTED).update(state=State.SENDING),
            departure_of(SentLog.objects.get(state=State.SENDING).pk),
        ),
        "1 texts are being sent without a departure",
    ),
    "empty departure": (
        lambda: departure_of(some(State.PLANNED).get().pk),
        "1 departures have nothing on its way",
    ),
    "forgotten departure": (overdue_departure, "1 departures outlived their lease"),
    "no time of sending": (
        lambda: some(State.ACCEPTED).update(sent_at=None),
        "1 texts may have arrived and have no time of sending",
    ),
    "time of sending": (
        lambda: some(State.PLANNED).update(sent_at=clock.now()),
        "1 texts were not sent and have a time of sending",
    ),
    "provider's id": (
        lambda: some(State.ACCEPTED).update(provider_message_id="SM-other"),
        "1 texts have a provider's id that finds no text, or another",
    ),
    "provider message": (
        lambda: ProviderMessage.objects.create(
            provider_id="SM-more", sender=Sender.objects.get(), text_id=some(State.PLANNED).get().pk
        ),
        "1 provider's ids name a text that has another, or none",
    ),
    "totals": (
        lambda: CampaignCount.objects.filter(state=State.PLANNED).update(state=State.SKIPPED),
        "2 totals of campaigns are not what their texts are: campaign",
    ),
    "counted too much": (
        lambda: DailyTotal.objects.update(sent=SENT + 1),
        f"counts {SENT + 1} texts as sent, its rows",
    ),
    "counted on another day": (
        lambda: DailyTotal.objects.create(day=clock.now().date() - DAY, sent=1),
        "counts 1 texts as sent, its rows 0",
    ),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_each_kind_of_difference_is_found(campaign: Campaign, name: str) -> None:
    assert audit().differences == []
    tamper, says = TAMPERED[name]

    tamper()

    found = audit().differences
    assert any(says in difference for difference in found), found


def test_there_is_a_tampering_for_every_check() -> None:
    told = " ".join(says for _, says in TAMPERED.values())

    assert [says for says in books.CHECKS if says not in told and says[:30] not in told] == []


def test_ids_are_named_and_cut_after_three(campaign: Campaign) -> None:
    texts = set(SentLog.objects.filter(state=State.PLANNED).values_list("pk", flat=True))
    QueuedText.objects.all().delete()
    world.make_text(campaign.brand, State.PLANNED)
    QueuedText.objects.all().delete()

    (difference,) = audit().differences

    assert difference.startswith("4 planned texts are not in the queue: ")
    assert difference.endswith(" ...")
    assert sum(str(pk) in difference for pk in texts) >= 2


def test_a_brand_and_a_campaign_are_audited_alone(campaign: Campaign) -> None:
    other = world.make_brand("ta", workspace=Workspace.objects.create(slug="other", name="Other"))
    world.planned_texts(other, 2)
    broken = Campaign.objects.get(brand=other)
    QueuedText.objects.filter(brand=other).delete()

    assert audit(scope=Scope(campaign=campaign)).differences == []
    assert audit(scope=Scope(brand=campaign.brand)).differences == []
    for scope in (Scope(), Scope(campaign=broken), Scope(brand=other)):
        assert "2 planned texts are not in the queue" in audit(scope=scope).differences[0]
    assert audit(scope=Scope(campaign=campaign)).texts == SENT + LATER


def test_since_leaves_out_what_was_planned_before(campaign: Campaign) -> None:
    QueuedText.objects.all().delete()
    moment = clock.now() + dt.timedelta(milliseconds=1)

    assert audit(scope=Scope(since=moment)).differences == []
    assert len(audit(scope=Scope(since=moment - DAY)).differences) == 1


@pytest.mark.parametrize("gateway", ["lime", "mitto", "twilio"])
def test_what_a_carrier_took_is_what_we_say_even_where_answers_were_lost(
    carrier: Carrier, gateway: str
) -> None:
    workspace = Workspace.objects.create(slug="one", name="One")
    carrier.turn(hang=0.2)
    # A brand for each: one of these numbers decides for a whole call of Mitto's.
    for digits in ("1234", "0501", "0105", "0200", "0500", "0104"):
        brand = world.make_brand(f"brand{digits}", workspace=workspace)
        world.make_sender(brand, gateway)
        world.planned_texts(brand, [world.number(digits)])
        dispatch.drain(brand.pk, seconds=20)

    found = audit(carrier)

    assert found.differences == []
    assert found.accepted == 4


def test_texts_that_the_carrier_has_twice_never_or_without_us_are_told(
    campaign: Campaign, carrier: Carrier
) -> None:
    sent = list(SentLog.objects.filter(state=State.ACCEPTED))
    assert audit(carrier).differences == []
    # Twice: back in the queue and sent again, as after a restore without safe mode.
    twice = sent[0]
    SentLog.objects.filter(pk=twice.pk).update(state=State.PLANNED, sent_at=None)
    QueuedText.objects.create(
        id=twice.pk, brand=campaign.brand, campaign=campaign, subscriber_id=twice.subscriber_id,
        lane=1, due_at=clock.now(),
    )  # fmt: skip
    dispatch.drain(campaign.brand_id, seconds=20)
    # Without us: its row is gone. Hidden: it is called skipped. Lost: it never left.
    SentLog.objects.filter(pk=sent[1].pk).delete()
    SentLog.objects.filter(pk=sent[2].pk).update(state=State.SKIPPED, sent_at=None)
    some(State.PLANNED).update(state=State.ACCEPTED, sent_at=clock.now())

    found = audit(carrier)

    told = " | ".join(found.differences)
    assert found.twice == 1
    assert f"1 texts were accepted more than once: {twice.pk}" in told
    assert "1 texts at the carrier are in no log of ours" in told
    assert f"1 texts at the carrier are not called sent here: {sent[2].pk}" in told
    assert "1 texts that we call accepted never reached the carrier" in told


@pytest.fixture
def slow(carrier: Carrier) -> Carrier:
    carrier.turn(latency=0.02)
    return carrier


def test_an_audit_while_texts_are_sent_finds_nothing(slow: Carrier) -> None:
    brand = world.make_brand()
    world.make_sender(brand, "mitto", rate=5000)
    world.make_sender(brand, "twilio", rate=5000, in_flight=20)
    world.planned_texts(brand, 600)
    sending = threading.Thread(target=drain_until_empty, args=[brand.pk])
    sending.start()

    found = []
    while sending.is_alive():
        found.append(audit(slow))
    sending.join()

    assert len(found) > 2
    assert [one.differences for one in found if one.differences] == []
    assert audit(slow).accepted == 600


def drain_until_empty(brand_id: int) -> None:
    try:
        while QueuedText.objects.exists():
            dispatch.drain(brand_id, seconds=20)
    finally:
        connections.close_all()


def refuse(text_id: uuid.UUID, token: uuid.UUID) -> None:
    outcome = Outcome(text_id, Fate.RETRY, code="http-429")
    outcomes.record([Answered(token, outcome)], arrived=[token])


def test_a_receipt_for_a_text_that_was_refused_counts_it_after_all(installed: None) -> None:
    brand = world.make_brand()
    (text,) = world.planned_texts(brand)
    token, _ = world.pass_gate(brand, world.make_sender(brand))
    refuse(text.pk, token)
    assert DailyTotal.objects.get().sent == 0

    outcomes.receive([(text.pk, State.DELIVERED, "")])

    assert DailyTotal.objects.get().sent == 1
    assert audit().differences == []


def test_a_refusal_after_midnight_is_taken_off_the_day_before(installed: None) -> None:
    brand = world.make_brand()
    (text,) = world.planned_texts(brand)
    token, _ = world.pass_gate(brand, world.make_sender(brand))
    today = clock.now().date()
    Departure.objects.update(departed_at=clock.now() - DAY)
    DailyTotal.objects.update(day=today - DAY)
    DailyTotal.objects.filter(day=today).delete()

    refuse(text.pk, token)

    assert DailyTotal.objects.get(day=today - DAY).sent == 0
    assert audit().differences == []


def test_the_command_says_that_the_books_balance(campaign: Campaign, capsys: Any) -> None:
    call_command("audit_ledger", campaign=campaign.pk)

    said = capsys.readouterr().out
    assert f"{SENT + LATER} texts were compared" in said
    assert "The books balance." in said


def test_the_command_prints_each_difference_and_fails(campaign: Campaign, capsys: Any) -> None:
    QueuedText.objects.all().delete()
    Run.objects.update(audience=1)

    with pytest.raises(CommandError, match="2 differences") as failed:
        call_command("audit_ledger", brand=campaign.brand.slug, since="2026-01-01T00:00:00Z")

    assert failed.value.returncode == 1
    said = capsys.readouterr().out
    assert "DIFFERENCE: 3 planned texts are not in the queue" in said
    assert "DIFFERENCE: 1 runs have another number of texts than people" in said


def test_without_the_carrier_the_rest_is_audited_and_said(
    campaign: Campaign, settings: Any, capsys: Any
) -> None:
    settings.FAKE_CARRIER_URL = "http://127.0.0.1:1"

    call_command("audit_ledger")

    said = capsys.readouterr().out
    assert "does not answer. Its log was not compared." in said
    assert "The books balance." in said


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"campaign": 0}, "There is no campaign 0"),
        ({"brand": "nobody"}, "There is no brand 'nobody'"),
        ({"since": "2026-01-01T00:00:00"}, "has no time zone"),
    ],
)
def test_a_question_that_makes_no_sense_is_a_sentence(
    installed: None, asked: dict[str, Any], says: str
) -> None:
    with pytest.raises(CommandError, match=says):
        call_command("audit_ledger", **asked)


@pytest.fixture
def no_tables_left() -> Iterator[None]:
    yield
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_class WHERE relname LIKE 'audit\\_%%'")
        assert cursor.fetchone()[0] == 0


def test_the_audit_leaves_nothing_behind(
    campaign: Campaign, carrier: Carrier, no_tables_left: None
) -> None:
    before = list(SentLog.objects.order_by("pk").values())

    audit(carrier)
    audit(carrier)

    assert list(SentLog.objects.order_by("pk").values()) == before
