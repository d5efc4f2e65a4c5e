"""Traffic moves away from a sender that fails, and comes back by and by."""

import datetime as dt
from collections import Counter
from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from django.db import DatabaseError, transaction
from django.test import Client
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from sending import circuits, dispatch, queue_state, queues, routing, stranded, tallies
from sending.circuits import REST, STEP, STEP_UNSEEN, STEPS, Circuit
from sending.gateways.base import Fate, Outcome
from sending.models import Sender, SenderShift, SentLog, State
from sending.tallies import Minute, Tally
from subscribers import clock
from subscribers.models import Brand
from tests import sending_world as world
from tests.sending.conftest import Carrier

NOW = dt.datetime(2026, 11, 28, 12, tzinfo=dt.UTC)
CLOSED = Circuit(100, None, 0)
OPEN = Circuit(0, NOW - REST, 1)


def calls(count: int, errors: int = 0, *, of: int = 1) -> Minute:
    return Minute(count, errors, count * of)


def outcomes(fate: Fate, count: int, code: str = "") -> list[Outcome]:
    return [Outcome(uuid4(), fate, code=code) for _ in range(count)]


def answered(sender: Sender, *, good: int = 0, bad: int = 0) -> None:
    """The provider has just answered for so many texts of a sender."""
    tally = Tally()
    for told in outcomes(Fate.ACCEPTED, good) + outcomes(Fate.UNKNOWN, bad, "http-500"):
        tally.add(sender.pk, [told])
    tallies.note(tally)


def shifts() -> list[tuple[int, int]]:
    return list(SenderShift.objects.order_by("pk").values_list("from_share", "to_share"))


def a_while_passes(sender: Sender, time: dt.timedelta) -> None:
    sender.refresh_from_db()
    Sender.objects.filter(pk=sender.pk).update(share_since=sender.share_since - time)


@pytest.mark.parametrize(
    ("circuit", "share"),
    [
        (replace(CLOSED, minute=calls(20, 9)), 0),
        (replace(CLOSED, minute=calls(20, 8)), None),  # may be 22 % in truth
        (replace(CLOSED, minute=calls(2000, 540)), 0),
        (replace(CLOSED, minute=calls(2000, 530)), None),
        (replace(CLOSED, minute=calls(5, 1, of=500)), None),  # one call is one piece of bad luck
        (replace(CLOSED, minute=calls(2, 2, of=500)), 0),
        (replace(CLOSED, minute=calls(19, 19)), None),  # too few to judge
        (CLOSED, None),
        (OPEN, 5),
        (replace(OPEN, since=NOW - REST + STEP), None),
        (replace(OPEN, openings=2), None),  # the second rest is longer
        (replace(OPEN, openings=2, since=NOW - 2 * REST), 5),
        (replace(OPEN, openings=40, since=NOW - circuits.LONGEST_REST), 5),
        (replace(OPEN, minute=calls(100, 100)), 5),  # of the time before: it has rested
        (Circuit(5, NOW - STEP, 1, calls(3)), 10),
        (Circuit(5, NOW - STEP / 2, 1, calls(3)), None),
        (Circuit(5, NOW - STEP, 1, calls(0)), None),  # nothing was seen of it
        (Circuit(5, NOW - STEP_UNSEEN, 1, calls(0)), 10),
        (Circuit(5, NOW, 1, calls(5, 4)), 0),
        (Circuit(50, NOW - STEP, 1, calls(500, 1)), 100),
    ],
)
def test_a_circuit_opens_and_closes_as_its_answers_say(circuit: Circuit, share: int | None) -> None:
    move = circuits.decide(circuit, NOW)

    assert (move.share if move else None) == share


@given(
    st.builds(
        Circuit,
        share=st.sampled_from([0, *STEPS]),
        since=st.none() | st.datetimes(timezones=st.just(dt.UTC)),
        openings=st.integers(0, 10_000),
        minute=st.builds(
            lambda good, errors: calls(good + errors, errors),
            st.integers(0, 10_000),
            st.integers(0, 10_000),
        ),
    )
)
def test_a_share_falls_to_nothing_or_climbs_one_step(circuit: Circuit) -> None:
    move = circuits.decide(circuit, NOW)
    if move is None:
        return
    ladder = [0, *STEPS]
    assert move.share == 0 or ladder.index(move.share) == ladder.index(circuit.share) + 1
    assert move.share != circuit.share
    assert move.reason


def test_a_burst_of_errors_moves_traffic_to_the_others_and_says_why(brand: Brand) -> None:
    failing = world.make_sender(brand, "twilio")
    well = world.make_sender(brand, "lime")
    answered(failing, good=10, bad=30)
    answered(well, good=40)

    assert circuits.review() == 1

    assert routing.active_senders([brand]) == {brand.pk: [well]}
    shift = SenderShift.objects.get()
    assert (shift.sender, shift.from_share, shift.to_share) == (failing, 100, 0)
    assert shift.reason == "30 of 40 calls of the last minute failed"
    assert queue_state.held_back_by(brand) == [
        f"Sender {failing.address} gets no texts for a while: {shift.reason}."
    ]


def test_traffic_drifts_back_step_by_step_and_is_all_back_in_minutes(
    brand: Brand, sender: Sender
) -> None:
    answered(sender, bad=20)
    circuits.review()
    assert circuits.review() == 0, "it rests"

    a_while_passes(sender, REST)
    for _ in STEPS:
        circuits.review()
        answered(sender, good=10)
        assert circuits.review() == 0, "one step at a time"
        a_while_passes(sender, STEP)

    assert shifts() == [(100, 0), (0, 5), (5, 10), (10, 25), (25, 50), (50, 100)]
    sender.refresh_from_db()
    assert (sender.share, sender.share_reason) == (100, "")
    assert queue_state.held_back_by(brand) == []


def test_one_that_fails_again_rests_twice_as_long(brand: Brand, sender: Sender) -> None:
    answered(sender, bad=20)
    circuits.review()
    a_while_passes(sender, REST)
    circuits.review()
    assert queue_state.held_back_by(brand) == [
        f"Sender {sender.address} carries 5 % of its texts until it has proved itself."
    ]

    answered(sender, good=1, bad=5)
    circuits.review()

    a_while_passes(sender, REST)
    assert circuits.review() == 0
    a_while_passes(sender, REST)
    assert circuits.review() == 1
    assert shifts() == [(100, 0), (0, 5), (5, 0), (0, 5)]


def test_people_who_come_back_first_are_among_those_who_come_back_later() -> None:
    coming, other = Sender(pk=1, weight=1), Sender(pk=2, weight=1)
    people = [str(number) for number in range(4000)]
    before: set[str] = set()
    for share in STEPS:
        coming.share = share
        theirs = {one for one in people if routing.sender_for(one, [coming, other]) is coming}
        assert before <= theirs
        assert len(theirs) / len(people) == pytest.approx(share / (share + 100), abs=0.03)
        before = theirs


def test_a_flushed_valkey_forgets_statistics_and_no_circuit(brand: Brand, sender: Sender) -> None:
    answered(sender, bad=20)
    circuits.review()
    queues.valkey().flushdb()

    assert circuits.review() == 0
    assert routing.active_senders([brand]) == {}


def test_a_stopped_sender_stays_stopped(brand: Brand, sender: Sender) -> None:
    answered(sender, bad=20)
    circuits.review()
    Sender.objects.update(status=Sender.Status.STOPPED)
    a_while_passes(sender, REST)

    assert circuits.review() == 0


def test_a_person_who_knows_better_gives_a_sender_everything_again(
    brand: Brand, sender: Sender, admin_client: Client
) -> None:
    answered(sender, bad=20)
    circuits.review()
    button = reverse("admin:sending_sender_use_fully", args=[sender.pk])

    page = admin_client.get(reverse("admin:sending_sender_change", args=[sender.pk]))
    assert button in page.content.decode()
    admin_client.post(button, {"_form_submitted": "True"})

    assert circuits.review() == 0, "the errors of the minute before are forgotten"
    assert routing.active_senders([brand]) == {brand.pk: [sender]}
    assert shifts() == [(100, 0), (0, 100)]
    assert SenderShift.objects.last().reason == "Closed by admin"
    assert not circuits.close(sender.pk, by="admin"), "there is nothing to close"


def test_a_shift_cannot_be_rewritten(brand: Brand, sender: Sender) -> None:
    SenderShift.objects.create(sender=sender, from_share=100, to_share=0, reason="A test")
    for change in (
        lambda: SenderShift.objects.update(reason="Nothing happened"),
        lambda: SenderShift.objects.all().delete(),
    ):
        with pytest.raises(DatabaseError), transaction.atomic():
            change()


def test_only_what_speaks_against_the_way_is_an_error() -> None:
    tally = Tally()
    for told in (
        *outcomes(Fate.FAILED, 5, "21211"),
        *outcomes(Fate.RETRY, 5, "http-429"),
        *outcomes(Fate.RETRY, 5, "21611"),
        *outcomes(Fate.RETRY, 5, "lease-expired"),
        Outcome(uuid4(), Fate.RETRY, code="http-401", stop_sender=True),
        *outcomes(Fate.RETRY, 2, "connect"),
        *outcomes(Fate.RETRY, 1, "http-503"),
        *outcomes(Fate.UNKNOWN, 4, "no-answer"),
    ):
        tally.add(7, [told])

    ((_, count),) = tally.counts()
    assert (count.calls, count.errors) == (28, 7)


def test_a_call_of_many_texts_counts_once_and_as_most_of_them_ended() -> None:
    tally = Tally()
    tally.add(7, outcomes(Fate.RETRY, 500, "http-503"))
    tally.add(7, outcomes(Fate.ACCEPTED, 300) + outcomes(Fate.UNKNOWN, 200, "no-id"))
    tally.add(7, outcomes(Fate.ACCEPTED, 200) + outcomes(Fate.UNKNOWN, 300, "no-answer"))

    ((_, count),) = tally.counts()
    assert (count.calls, count.errors, count.texts) == (3, 2, 1500)


def test_with_every_circuit_open_texts_wait_and_expire_with_that_reason(
    brand: Brand, sender: Sender, provider: Carrier
) -> None:
    late, early = world.planned_texts(brand, 2)
    answered(sender, bad=20)
    circuits.review()

    assert dispatch.drain(brand.pk, seconds=1) == 0
    assert stranded.expire_stranded() == 0
    SentLog.objects.filter(pk=late.pk).update(expires_at=clock.now())
    a_while_passes(sender, REST)
    circuits.review()

    assert (world.reload(late).state, world.reload(late).reason) == (
        State.EXPIRED,
        stranded.SENDERS_FAILING,
    )
    assert dispatch.drain(brand.pk) == 1
    assert world.reload(early).state == State.ACCEPTED


def test_a_real_outage_opens_the_circuit_and_the_other_sender_takes_over(
    brand: Brand, provider: Carrier
) -> None:
    failing = world.make_sender(brand, "twilio")
    well = world.make_sender(brand, "lime")
    people = [world.number() for _ in range(30)] + [world.number("0500") for _ in range(30)]
    world.planned_texts(brand, people)
    dispatch.drain(brand.pk, seconds=20)
    Sender.objects.filter(pk=well.pk).update(status=Sender.Status.PAUSED)
    seen = tallies.last_minute()
    assert sum(minute.errors for minute in seen.values()) == 30
    assert sum(minute.calls for minute in seen.values()) == 60

    circuits.review()

    Sender.objects.filter(pk=well.pk).update(status=Sender.Status.ACTIVE)
    assert routing.active_senders([brand]) == {brand.pk: [well]}
    assert SenderShift.objects.get().sender == failing


class TestReceipts:
    """Texts that were accepted some minutes ago, and what became of them."""

    def sent(self, brand: Brand, sender: Sender, *, received: int, silent: int) -> None:
        """So many texts were accepted six minutes ago by the sender."""
        states = [State.DELIVERED] * received + [State.ACCEPTED] * silent
        texts = [world.make_text(brand, state, sender=sender).pk for state in states]
        for at in range(0, len(texts), tallies.SAMPLE):
            minute = int(queues.valkey().time()[0]) // 60 - 7 - at // tallies.SAMPLE
            self.keep(sender, minute, texts[at : at + tallies.SAMPLE])

    def keep(self, sender: Sender, minute: int, texts: list[UUID]) -> None:
        key = f"carillon:accepted:{minute}"
        queues.valkey().sadd(key, sender.pk)
        queues.valkey().rpush(f"{key}:{sender.pk}", *[str(text) for text in texts])

    def test_receipts_that_stay_away_open_the_circuit(self, brand: Brand, sender: Sender) -> None:
        self.sent(brand, sender, received=18, silent=2)
        assert circuits.review_receipts() == 0
        sender.refresh_from_db()
        assert sender.usual_receipts == 90

        tallies.forget([sender.pk])
        self.sent(brand, sender, received=5, silent=15)
        assert circuits.review_receipts() == 1

        assert SenderShift.objects.get().reason == (
            "5 of 20 texts had a receipt after 5 minutes, usually 90 %"
        )
        assert circuits.review_receipts() == 0, "what was before is forgotten"

    def test_a_sender_that_never_gets_receipts_is_not_judged_by_them(
        self, brand: Brand, sender: Sender
    ) -> None:
        self.sent(brand, sender, received=0, silent=20)

        assert [circuits.review_receipts() for _ in range(3)] == [0, 0, 0]

    def test_too_few_texts_say_nothing(self, brand: Brand, sender: Sender) -> None:
        Sender.objects.update(usual_receipts=95)
        self.sent(brand, sender, received=0, silent=19)

        assert circuits.review_receipts() == 0

    def test_what_was_accepted_is_found_again_some_minutes_later(
        self, brand: Brand, sender: Sender
    ) -> None:
        tally = Tally()
        told = outcomes(Fate.ACCEPTED, 50)
        tally.add(sender.pk, told)
        tallies.note(tally)
        tallies.note(tally)

        assert tallies.accepted_before(5, at_least=5, back_to=20) == {}
        found = tallies.accepted_before(-2, at_least=5, back_to=20)
        assert Counter(found[sender.pk]) == Counter(one.text_id for one in told[: tallies.SAMPLE])
