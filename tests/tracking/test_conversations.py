"""Claims about conversations: what both wrote, in order, and answers that obey consent and the law."""

import datetime as dt
import uuid
from typing import Any

import pytest
from django.test import Client

from campaigns.keyword_models import Keyword
from campaigns.models import LegalWindow
from sending import answers, credits, dispatch, facts
from sending.answers import Refused
from sending.models import CreditAccount, QueuedText, Sender, SentLog, State
from subscribers import clock
from subscribers.models import Brand, Subscriber
from tests import sending_world as world
from tests.sending.conftest import Carrier
from tests.subscribers.conftest import api_key, make_key
from tracking import conversations, replies
from tracking.models import GivenAnswer, Reply
from tracking.webhooks.base import Inbound

HELLO = "Yes, until Friday. Reply STOP to opt out."


def wrote(sender: Sender, phone: str, body: str = "Is it on tomorrow?") -> Reply:
    reply = replies.receive(sender, Inbound(uuid.uuid4().hex, phone, body))
    assert reply is not None
    return reply


@pytest.fixture
def person(brand: Brand) -> Subscriber:
    return world.make_people(brand, 1)[0]


@pytest.fixture
def reply(sender: Sender, person: Subscriber) -> Reply:
    return wrote(sender, person.phone)


def answer(reply: Reply, body: str = HELLO, key: str = "one") -> answers.Planned:
    return conversations.answer(reply, body, key=key, by="ann")


def later(brand: Brand, hours: int) -> None:
    """The brand's clock, which began at 13:00 Eastern, is so much later."""
    brand.clock_shift += dt.timedelta(hours=hours)
    brand.save(update_fields=["clock_shift"])


def test_an_answer_goes_out_first_and_is_kept_with_who_gave_it(
    brand: Brand, sender: Sender, reply: Reply, provider: Carrier
) -> None:
    planned = answer(reply)

    assert not planned.later
    assert QueuedText.objects.get(pk=planned.id).lane == QueuedText.Lane.HIGH
    dispatch.drain(brand.pk)
    assert provider.accepted()[0]["body"] == HELLO
    given = GivenAnswer.objects.get()
    assert (given.reply, given.text_id, given.answered_by) == (reply, planned.id, "ann")
    assert SentLog.objects.get(pk=planned.id).state == State.ACCEPTED


def test_the_same_key_answers_once_and_another_key_again(reply: Reply) -> None:
    first = answer(reply)
    again = answer(reply)
    other = answer(reply, key="two")

    assert (again.id, again.new) == (first.id, False)
    assert other.id != first.id
    assert (SentLog.objects.count(), GivenAnswer.objects.count()) == (2, 2)


def test_one_key_never_stands_for_two_answers(reply: Reply) -> None:
    answer(reply)

    with pytest.raises(Refused, match="another answer before"):
        answer(reply, "Something else.")


def test_ten_at_once_with_one_key_answer_once(reply: Reply) -> None:
    told = world.at_once(*[lambda: answer(Reply.objects.get(pk=reply.pk)) for _ in range(10)])

    assert sum(planned.new for planned in told) == 1
    assert (SentLog.objects.count(), GivenAnswer.objects.count()) == (1, 1)


def test_stop_between_question_and_answer_refuses_it(sender: Sender, reply: Reply) -> None:
    wrote(sender, reply.phone, "STOP")

    with pytest.raises(Refused, match="has opted out"):
        answer(reply)
    assert not GivenAnswer.objects.exists()


def test_stop_between_answer_and_sending_is_obeyed_at_the_gate(
    brand: Brand, sender: Sender, reply: Reply
) -> None:
    planned = answer(reply)
    wrote(sender, reply.phone, "STOP")

    departing = [one.text.id for one in world.pass_gate(brand, sender)[1]]

    assert planned.id not in departing
    text = SentLog.objects.get(pk=planned.id)
    assert (text.state, text.reason) == (State.SKIPPED, "opted_out")


def test_who_wrote_first_is_answered_without_an_opt_in(brand: Brand, sender: Sender) -> None:
    (person,) = world.make_people(world.make_brand("ta", workspace=brand.workspace), 1)
    planned = answer(wrote(sender, person.phone))

    assert [one.text.id for one in world.pass_gate(brand, sender)[1]] == [planned.id]


def test_a_stranger_is_not_answered(sender: Sender) -> None:
    with pytest.raises(Refused, match="Nobody is known"):
        answer(wrote(sender, world.number()))


@pytest.mark.parametrize("body", ["", "  \n", "a\x00b", "x" * 1601])
def test_words_that_no_text_can_carry_are_refused(reply: Reply, body: str) -> None:
    with pytest.raises(Refused):
        answer(reply, body)
    assert not SentLog.objects.exists()


def test_an_answer_may_leave_after_the_brand_closes_but_never_outside_the_law(
    brand: Brand, sender: Sender, person: Subscriber
) -> None:
    LegalWindow.objects.filter(jurisdiction="US-NY").delete()  # New York is under the country's
    later(brand, 7)  # 20:00: the brand has closed, the law closes at 21
    early = answer(wrote(sender, person.phone))
    assert not early.later
    assert [one.text.id for one in world.pass_gate(brand, sender)[1]] == [early.id]

    later(brand, 2)
    late = answer(wrote(sender, person.phone))
    assert late.later
    assert late.leaves_at - clock.now() > dt.timedelta(hours=9)
    assert world.pass_gate(brand, sender)[1] == []
    assert SentLog.objects.get(pk=late.id).state == State.PLANNED


def test_a_day_after_the_persons_text_the_brands_hours_hold(
    brand: Brand, sender: Sender, reply: Reply
) -> None:
    later(brand, 7)
    Reply.objects.update(received_at=clock.now() - dt.timedelta(hours=25))
    reply.refresh_from_db()

    assert answer(reply).later


def test_what_the_law_puts_off_beyond_a_day_waits_for_the_brand_to_open(
    brand: Brand, reply: Reply
) -> None:
    LegalWindow.objects.filter(jurisdiction="US-NY").delete()
    later(brand, 9)  # 22:00: the law opens at 8, the brand at 9
    at_eight = answer(reply)
    Reply.objects.update(received_at=clock.now() - dt.timedelta(hours=23))
    reply.refresh_from_db()

    at_nine = answer(reply, key="two")

    apart = at_nine.leaves_at - at_eight.leaves_at
    assert abs(apart - dt.timedelta(hours=1)) < dt.timedelta(minutes=1)


def test_three_days_after_the_persons_text_it_is_too_late(reply: Reply) -> None:
    Reply.objects.update(received_at=clock.now() - dt.timedelta(hours=72))
    reply.refresh_from_db()

    with pytest.raises(Refused, match="more than 3 days ago"):
        answer(reply)


def test_answers_count_for_the_caps_and_obey_the_laws(
    brand: Brand, sender: Sender, person: Subscriber
) -> None:
    LegalWindow.objects.filter(jurisdiction="US").update(cap_per_24h=2, cap_scope="brand")
    LegalWindow.objects.filter(jurisdiction="US-NY").delete()
    asked = wrote(sender, person.phone)
    sent = [answer(asked, key=key).id for key in ("one", "two", "three")]

    departed = {one.text.id for one in world.pass_gate(brand, sender)[1]}

    assert len(departed) == 2  # of one batch, too
    assert departed < set(sent)
    known = facts.gather(brand, [person.pk], now=clock.now())[person.pk].facts
    assert len(known.brand_sent) == 2
    assert answer(asked, key="four").later


def test_answers_cost_credits_and_are_refused_without(
    brand: Brand, sender: Sender, reply: Reply
) -> None:
    credits.grant(brand.workspace, 2, note="", actor="ann", reference="first")
    CreditAccount.objects.update(enforced=True, opened_at=clock.now() - dt.timedelta(hours=1))
    answer(reply, "x" * 200)  # two segments
    account = CreditAccount.objects.get()
    assert (account.reserved, account.available) == (2, 0)

    with pytest.raises(credits.Short):
        answer(reply, key="two")
    assert GivenAnswer.objects.count() == 1

    world.pass_gate(brand, sender)
    SentLog.objects.update(state=State.DELIVERED)
    assert credits.differences() == []
    account.refresh_from_db()
    assert (account.spent, account.reserved) == (2, 0)


def test_an_answer_answers_what_was_written_before_and_not_what_came_after(
    sender: Sender, person: Subscriber
) -> None:
    first, second = (wrote(sender, person.phone, f"{one}?") for one in (1, 2))
    third = wrote(sender, person.phone, "3?")

    answer(second)

    waiting = Reply.objects.filter(answered_at=None)
    assert list(waiting) == [third]
    assert Reply.objects.filter(pk=first.pk, answered_at__isnull=False).exists()


@pytest.mark.parametrize(
    ("body", "waits"),
    [
        ("STOP", False),
        ("HELP", False),
        ("please stop texting me", False),
        ("Yes", True),
        ("?", True),
    ],
)
def test_what_answers_itself_is_not_to_be_answered(
    sender: Sender, person: Subscriber, body: str, waits: bool
) -> None:
    assert (
        Reply.objects.filter(pk=wrote(sender, person.phone, body).pk, answered_at=None).exists()
        is waits
    )


def test_a_keyword_goes_before_the_last_text(brand: Brand, sender: Sender) -> None:
    (text,) = world.planned_texts(brand)
    world.pass_gate(brand, sender)
    other = world.make_campaign(brand, launched=False)
    theirs = world.make_campaign(world.make_brand("ta"), launched=False)
    for campaign, word in ((other, "TEA TIME"), (theirs, "CAKE"), (other, "TEA")):
        Keyword.objects.create(campaign=campaign, brand=campaign.brand, word=word)

    named = wrote(sender, text.phone, "tea-time, please!")
    unnamed = wrote(sender, text.phone, "cake")

    assert (named.campaign_id, named.text_id) == (other.pk, None)
    assert (unnamed.campaign_id, unnamed.text_id) == (text.campaign_id, text.id)


def test_a_conversation_is_in_order_and_nothing_is_lost_between_its_pages(
    brand: Brand, sender: Sender, person: Subscriber, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversations, "PAGE", 3)
    for count in range(4):
        reply = wrote(sender, person.phone, f"question {count}")
        answer(reply, f"answer {count}", key=str(count))

    bodies: list[str] = []
    seen = conversations.of(brand, person)
    while True:
        assert [line.at for line in seen.lines] == sorted(line.at for line in seen.lines)
        bodies = [line.body for line in seen.lines] + bodies
        if seen.earlier is None:
            break
        seen = conversations.of(brand, person, before=seen.earlier)

    assert bodies == [f"{what} {n}" for n in range(4) for what in ("question", "answer")]


def page_of(brand: Brand, person: Subscriber) -> str:
    return f"/admin/tracking/reply/with/{brand.pk}/{person.pk}/"


def test_the_page_shows_the_conversation_and_sends_an_answer_once(
    ann: Client, brand: Brand, reply: Reply, person: Subscriber
) -> None:
    shown = ann.get(page_of(brand, person)).content.decode()
    assert "Is it on tomorrow?" in shown
    assert person.phone not in shown

    form = {"body": HELLO, "key": "k", "reply": reply.pk}
    for _ in range(2):
        ann.post(page_of(brand, person), form)

    shown = ann.get(page_of(brand, person)).content.decode()
    assert HELLO in shown
    assert "Planned" in shown
    assert GivenAnswer.objects.get().answered_by == "ann"


def test_the_page_says_why_an_answer_is_refused(
    ann: Client, brand: Brand, reply: Reply, person: Subscriber
) -> None:
    world.opt_out(brand, person)

    shown = ann.post(page_of(brand, person), {"body": HELLO, "key": "k", "reply": reply.pk})

    assert "cannot be answered: has opted out." in shown.content.decode()
    assert not SentLog.objects.exists()
    shown = ann.get(page_of(brand, person)).content.decode()
    assert "cannot be answered: has opted out." in shown
    assert "Send the answer" not in shown


def test_the_conversation_of_another_workspace_is_not_there(
    ann: Client, brand: Brand, person: Subscriber
) -> None:
    theirs = world.make_brand("ta")
    their_sender = world.make_sender(theirs)
    (their_person,) = world.make_people(theirs, 1)
    their_reply = wrote(their_sender, their_person.phone)
    form = {"body": HELLO, "key": "k", "reply": their_reply.pk}

    for page in (
        page_of(theirs, their_person),
        page_of(brand, their_person),
        page_of(theirs, person),
    ):
        assert ann.get(page).status_code == 404
        assert ann.post(page, form).status_code == 404
    assert ann.post(page_of(brand, person), form).status_code == 404
    assert not SentLog.objects.exists()


def test_the_list_tells_what_is_to_be_answered(
    ann: Client, sender: Sender, person: Subscriber
) -> None:
    wrote(sender, person.phone, "HELP")
    waiting = wrote(sender, person.phone, "When?")

    def listed(**query: Any) -> set[int]:
        shown = ann.get("/admin/tracking/reply/", query)
        return {one.pk for one in shown.context["cl"].result_list}

    assert listed(answer="open") == {waiting.pk}
    assert len(listed(answer="done")) == 1
    ann.post("/admin/tracking/reply/", {"action": "mark_done", "_selected_action": [waiting.pk]})
    assert listed(answer="open") == set()


def test_replies_are_listed_and_answered_by_api(client: Client, brand: Brand, reply: Reply) -> None:
    key = make_key(brand.workspace)
    told = client.get("/api/replies?answered=false", headers=api_key(key)).json()
    assert [one["id"] for one in told["results"]] == [reply.pk]

    def post(body: str) -> Any:
        return client.post(
            f"/api/replies/{reply.pk}/answer",
            {"body": body},
            content_type="application/json",
            headers=api_key(key) | {"Idempotency-Key": "k1"},
        )

    first, again = post(HELLO), post(HELLO)

    assert first.status_code == again.status_code == 202
    assert first.json() == again.json()
    assert SentLog.objects.get().body == HELLO
    assert client.get("/api/replies?answered=false", headers=api_key(key)).json()["results"] == []


def test_two_integrators_may_number_their_requests_alike(
    client: Client, brand: Brand, reply: Reply
) -> None:
    told = [
        client.post(
            f"/api/replies/{reply.pk}/answer",
            {"body": body},
            content_type="application/json",
            headers=api_key(make_key(brand.workspace)) | {"Idempotency-Key": "1"},
        ).status_code
        for body in ("One.", "Two.")
    ]

    assert told == [202, 202]
    assert {text.body for text in SentLog.objects.all()} == {"One.", "Two."}


def test_the_api_says_why_an_answer_is_refused(client: Client, brand: Brand, reply: Reply) -> None:
    world.opt_out(brand, Subscriber.objects.get(pk=reply.subscriber_id))

    told = client.post(
        f"/api/replies/{reply.pk}/answer",
        {"body": HELLO},
        content_type="application/json",
        headers=api_key(make_key(brand.workspace)),
    )

    assert told.status_code == 409
    assert "has opted out" in told.content.decode()
