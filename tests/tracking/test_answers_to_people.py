"""What people text and what they are answered: double opt-in, HELP, scope, own words, one by one."""

from typing import Any

import pytest

from campaigns.models import PlatformPolicy
from sending import answers, opt_in_requests
from sending.models import QueuedText, Sender, SentLog, State
from subscribers import clock, consent, double_opt_in
from subscribers.models import (
    Brand,
    ConsentEvent,
    ConsentSource,
    OptInRequest,
    OptInRule,
    OptOutRule,
    Subscriber,
    Subscription,
    Suppression,
)
from tests import sending_world as world
from tracking import possible_opt_outs, replies
from tracking.models import PossibleOptOut, Reply
from tracking.webhooks.base import Inbound

OPTED_IN, OPTED_OUT = Subscription.Status.OPTED_IN, Subscription.Status.OPTED_OUT


def says(sender: Sender, phone: str, body: str, provider_id: str = "") -> Reply | None:
    provider_id = provider_id or f"IN{Reply.objects.count()}"
    return replies.receive(sender, Inbound(provider_id, phone, body))


def answered(purpose: str = "confirmation") -> list[str]:
    return list(
        SentLog.objects.filter(purpose=purpose).order_by("id").values_list("body", flat=True)
    )


def joins(brand: Brand, area: str = world.NEW_YORK) -> Subscriber:
    """Somebody fills in the form of a brand with double opt-in."""
    OptInRule.objects.get_or_create(brand=brand, effective_from=world.clock.now())
    (person,) = world.make_people(
        world.make_brand("x", workspace=brand.workspace), [world.number(area=area)]
    )
    consent.opt_in(person, brand, at=clock.now(), source=ConsentSource.API, evidence={})
    return person


def status(person: Subscriber, brand: Brand) -> str:
    return Subscription.objects.get(subscriber=person, brand=brand).status


def test_a_pending_person_is_asked_once_and_yes_subscribes(brand: Brand, sender: Sender) -> None:
    person = joins(brand)

    assert [opt_in_requests.ask_waiting() for _ in range(3)] == [1, 0, 0]
    assert answered("opt_in") == [opt_in_requests.body_for(brand)]
    assert QueuedText.objects.get().lane == QueuedText.Lane.HIGH
    (sent,) = world.pass_gate(brand, sender)[1]
    assert sent.text.to == person.phone
    says(sender, person.phone, "Yes!")

    assert status(person, brand) == OPTED_IN
    assert [body for body in answered() if "subscribed" in body]


def test_no_campaign_text_goes_to_who_has_not_said_yes(brand: Brand, sender: Sender) -> None:
    person = joins(brand)
    opt_in_requests.ask_waiting()
    world.plan(world.make_campaign(brand))

    assert not SentLog.objects.filter(subscriber=person, purpose="campaign", state=State.PLANNED)


def test_two_tickers_at_once_ask_once(brand: Brand, sender: Sender) -> None:
    joins(brand)

    world.at_once(*[opt_in_requests.ask_waiting] * 4)

    assert len(answered("opt_in")) == 1


def test_a_tick_that_dies_asks_nobody_twice(brand: Brand, sender: Sender) -> None:
    joins(brand)
    world.killed_at_the_end_of(opt_in_requests.ask_waiting)
    assert answered("opt_in") == []

    assert opt_in_requests.ask_waiting() == 1
    assert len(answered("opt_in")) == 1


def test_the_question_waits_for_the_persons_hours(brand: Brand, sender: Sender) -> None:
    joins(brand, area=world.HAWAII)
    opt_in_requests.ask_waiting()

    assert world.pass_gate(brand, sender)[1] == []
    assert SentLog.objects.get(purpose="opt_in").state == State.PLANNED
    assert QueuedText.objects.get().due_at > clock.now()


def test_who_says_stop_before_the_question_leaves_is_not_asked(
    brand: Brand, sender: Sender
) -> None:
    person = joins(brand)
    opt_in_requests.ask_waiting()
    says(sender, person.phone, "STOP")

    (sent,) = world.pass_gate(brand, sender)[1]

    assert "unsubscribed" in sent.text.body
    assert SentLog.objects.get(purpose="opt_in").state == State.SKIPPED


@pytest.mark.parametrize("body", ["YES", "yes please", "ok", "HELP", "sure"])
def test_yes_means_nothing_where_nobody_waits_for_it(
    brand: Brand, sender: Sender, body: str
) -> None:
    (person,) = world.make_people(brand, 1)
    says(sender, person.phone, "STOP")

    says(sender, person.phone, body)

    assert status(person, brand) == OPTED_OUT
    assert consent.is_suppressed(brand.workspace, person.phone, brand)


def test_start_is_confirmed_once_and_only_where_it_changes_something(
    brand: Brand, sender: Sender
) -> None:
    (person,) = world.make_people(brand, 1)
    says(sender, person.phone, "START")
    assert answered() == []
    says(sender, person.phone, "STOP")

    for _ in range(2):
        says(sender, person.phone, "START")

    assert len([body for body in answered() if "You are subscribed" in body]) == 1


def test_start_of_a_stranger_makes_a_subscriber(brand: Brand, sender: Sender) -> None:
    stranger = world.number()
    says(sender, stranger, "STOP")
    says(sender, stranger, "START")

    assert Subscription.objects.get(subscriber__phone=stranger).status == OPTED_IN
    assert not Suppression.objects.exists()


def test_start_does_not_lift_what_an_operator_barred(brand: Brand, sender: Sender) -> None:
    (person,) = world.make_people(brand, 1)
    consent.opt_out(
        brand.workspace,
        person.phone,
        brand=None,
        at=clock.now(),
        source=ConsentSource.OPERATOR,
        reason="asked by letter",
    )

    says(sender, person.phone, "START")

    assert consent.is_suppressed(brand.workspace, person.phone, brand)
    assert answered() == []


def test_help_is_answered_with_the_brands_text_once_in_minutes(
    brand: Brand, sender: Sender
) -> None:
    brand.help_text = "{brand}: call 1-800-555-0100 {or not}"
    brand.save()
    sender = Sender.objects.get(pk=sender.pk)
    (person, other) = world.make_people(brand, 2)

    for _ in range(3):
        says(sender, person.phone, "Help!")
    says(sender, other.phone, "INFO")

    assert answered() == [f"{brand.name}: call 1-800-555-0100 {{or not}}"] * 2
    later = clock.now() + 2 * answers.HELP_AGAIN_AFTER
    to = answers.To(brand, person.phone, subscriber_id=person.pk, cause="IN", at=later)
    assert answers.help_person(to)


def test_help_reaches_who_opted_out_and_changes_nothing(brand: Brand, sender: Sender) -> None:
    (person,) = world.make_people(brand, 1)
    says(sender, person.phone, "STOP")

    says(sender, person.phone, "HELP")

    assert len(world.pass_gate(brand, sender)[1]) == 2
    assert status(person, brand) == OPTED_OUT


def test_many_helps_at_once_are_answered_once(brand: Brand, sender: Sender) -> None:
    phone = world.number()

    world.at_once(*[lambda i=i: says(sender, phone, "HELP", f"IN{i}") for i in range(6)])

    assert len(answered()) == 1


def test_from_its_date_on_a_stop_counts_for_the_workspace_and_says_so(
    brand: Brand, sender: Sender
) -> None:
    other = world.make_brand("ta", workspace=brand.workspace)
    earlier, later = world.make_people(brand, 2)
    world.opt_in(other, [earlier, later])
    world.plan(world.make_campaign(other))
    says(sender, earlier.phone, "STOP")
    OptOutRule.objects.create(
        workspace=brand.workspace, effective_from=clock.now(), scope=OptOutRule.Scope.WORKSPACE
    )

    says(sender, later.phone, "STOP")

    assert not consent.is_suppressed(brand.workspace, earlier.phone, other)
    assert consent.is_suppressed(brand.workspace, later.phone, other)
    assert SentLog.objects.get(brand=other, subscriber=later).state == State.CANCELLED
    assert SentLog.objects.get(brand=other, subscriber=earlier).state == State.PLANNED
    first, second = answered()
    assert "all brands" not in first
    assert f"all brands of {brand.workspace.name}" in second


def test_a_return_after_a_stop_to_everything_is_to_one_brand(brand: Brand, sender: Sender) -> None:
    other = world.make_brand("ta", workspace=brand.workspace)
    OptOutRule.objects.create(
        workspace=brand.workspace, effective_from=clock.now(), scope=OptOutRule.Scope.WORKSPACE
    )
    (person,) = world.make_people(brand, 1)
    world.opt_in(other, [person])

    says(sender, person.phone, "STOP")
    says(sender, person.phone, "START")

    person.refresh_from_db()
    assert person.status == Subscriber.Status.ACTIVE
    assert (status(person, brand), status(person, other)) == (OPTED_IN, OPTED_OUT)
    assert consent.is_suppressed(brand.workspace, person.phone, other)


FREELY = "please stop texting me"


def test_own_words_are_obeyed_confirmed_once_and_shown_to_a_person(
    brand: Brand, sender: Sender
) -> None:
    text, *_ = world.planned_texts(brand)
    for body in (FREELY, "no mas", "STOP"):
        says(sender, text.phone, body)

    assert Suppression.objects.get().source == ConsentSource.KEYWORD  # the clearer word
    assert world.reload(text).state == State.CANCELLED
    assert len(answered()) == 1
    assert PossibleOptOut.objects.filter(status="open").count() == 2


def test_a_second_stop_to_another_sender_is_not_confirmed(brand: Brand, sender: Sender) -> None:
    second = world.make_sender(brand, "mitto")
    phone = world.number()

    world.at_once(
        lambda: says(sender, phone, "STOP", "A"),
        lambda: says(second, phone, FREELY, "B"),
        lambda: says(second, phone, "STOP", "C"),
    )

    assert len(answered()) == 1


def test_a_guess_that_was_none_is_undone_with_a_reason(brand: Brand, sender: Sender) -> None:
    (person,) = world.make_people(brand, 1)
    says(sender, person.phone, FREELY)
    possible = PossibleOptOut.objects.get()

    possible_opt_outs.take_back(possible, actor="ada", reason="a joke")

    assert status(person, brand) == OPTED_IN
    assert not Suppression.objects.exists()
    possible.refresh_from_db()
    assert (possible.status, possible.decided_by, possible.reason) == ("undone", "ada", "a joke")
    assert ConsentEvent.objects.get(kind="undo").evidence["actor"] == "ada"
    with pytest.raises(possible_opt_outs.CannotUndo):
        possible_opt_outs.take_back(possible, actor="ada", reason="again")


def test_a_guess_is_not_undone_where_the_person_also_said_stop(
    brand: Brand, sender: Sender
) -> None:
    (person,) = world.make_people(brand, 1)
    says(sender, person.phone, FREELY)
    says(sender, person.phone, "STOP")

    with pytest.raises(possible_opt_outs.CannotUndo, match="START"):
        possible_opt_outs.take_back(PossibleOptOut.objects.get(), actor="ada", reason="a joke")

    assert consent.is_suppressed(brand.workspace, person.phone, brand)
    assert PossibleOptOut.objects.get().status == "open"


def test_a_guess_that_is_confirmed_leaves_the_list_and_stays_in_force(
    brand: Brand, sender: Sender
) -> None:
    (person,) = world.make_people(brand, 1)
    says(sender, person.phone, FREELY)
    ids = [PossibleOptOut.objects.get().pk]

    assert possible_opt_outs.confirm(ids, actor="ada") == 1
    assert possible_opt_outs.confirm(ids, actor="bob") == 0

    assert PossibleOptOut.objects.get().decided_by == "ada"
    assert consent.is_suppressed(brand.workspace, person.phone, brand)


def test_nobody_is_sent_to_after_their_own_words_have_committed(
    brand: Brand, sender: Sender
) -> None:
    """F12 for free wording."""
    people = world.make_people(brand, 15)
    world.plan(world.make_campaign(brand))
    committed: dict[int, Any] = {}

    def gates() -> None:
        for _ in range(15):
            world.pass_gate(brand, sender, at_most=1)

    def words() -> None:
        for one in people:
            says(sender, one.phone, FREELY, f"IN{one.pk}")
            committed[one.pk] = clock.now()

    world.at_once(gates, words)

    sent = SentLog.objects.filter(purpose="campaign", state=State.SENDING)
    assert all(text.sent_at <= committed[text.subscriber_id] for text in sent)
    assert len(answered()) == 15


def test_a_request_that_expired_while_nothing_was_sent_asks_nobody(
    brand: Brand, sender: Sender
) -> None:
    joins(brand)
    PlatformPolicy.objects.update(sending_enabled=False)
    OptInRequest.objects.update(expires_at=clock.now())

    assert opt_in_requests.ask_waiting() == 1

    assert answered("opt_in") == []
    assert double_opt_in.waiting(10) == []
