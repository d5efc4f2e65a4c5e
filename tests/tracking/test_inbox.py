"""The inbox: what a provider told is kept once before it is answered, and applied once after."""

import contextlib
import datetime as dt
import threading
from collections.abc import Callable
from itertools import product

import pytest
from django.db import OperationalError, connection
from django.http import HttpResponse
from django.test import RequestFactory

from sending import progress
from sending.models import ProviderMessage, Sender, SentLog, State
from subscribers import clock
from subscribers.models import Brand
from tests import sending_world as world
from tests.tracking.conftest import FORM, signature
from tracking import inbox, receipts
from tracking.applier import Applier
from tracking.inbox_models import InboundEvent
from tracking.models import TrackingEvent, WaitingReceipt
from tracking.together import Together
from tracking.webhooks import doors
from tracking.webhooks.base import Receipt
from tracking.webhooks.wsgi import ReceiptsFirst

Post = Callable[..., HttpResponse]
SENT = b"MessageSid=P1&MessageStatus=sent"
DELIVERED = b"MessageSid=P1&MessageStatus=delivered"


@pytest.fixture
def text(sender: Sender) -> SentLog:
    """A text that Twilio accepted as P1."""
    made = world.make_text(sender.brand, State.ACCEPTED, sender=sender, provider_message_id="P1")
    ProviderMessage.objects.create(provider_id="P1", sender=sender, text_id=made.pk)
    return made


def told(sender: Sender, body: bytes = DELIVERED) -> None:
    inbox.store(sender.pk, query="", body=body)


def test_a_request_told_five_times_is_kept_and_applied_once(sender: Sender, text: SentLog) -> None:
    for _ in range(5):
        told(sender)

    assert inbox.apply_due() == 1
    told(sender)
    assert inbox.apply_due() == 0

    assert world.reload(text).state == State.DELIVERED
    assert TrackingEvent.objects.count() == 1


def test_what_died_between_keeping_and_applying_is_applied_afterwards(
    sender: Sender, text: SentLog
) -> None:
    told(sender)

    world.killed_at_the_end_of(inbox.apply_due)

    assert world.reload(text).state == State.ACCEPTED
    assert not TrackingEvent.objects.exists()
    assert inbox.apply_due() == 1
    assert world.reload(text).state == State.DELIVERED


def test_receipts_in_reverse_leave_the_text_delivered(sender: Sender, text: SentLog) -> None:
    for body in (DELIVERED, SENT):
        told(sender, body)
        inbox.apply_due()

    assert world.reload(text).state == State.DELIVERED
    assert TrackingEvent.objects.count() == 2


def test_any_order_and_any_repetition_of_receipts_gives_one_final_state(sender: Sender) -> None:
    """All 340 sequences of one to four receipts, each for a text of its own."""
    states = [State.ACCEPTED, State.SENT, State.UNDELIVERED, State.DELIVERED]
    sequences = [order for length in range(1, 5) for order in product(states, repeat=length)]
    texts = [world.make_text(sender.brand, State.SENDING, sender=sender) for _ in sequences]
    ProviderMessage.objects.bulk_create(
        ProviderMessage(provider_id=str(text.pk), sender=sender, text_id=text.pk) for text in texts
    )

    for turn in range(4):
        receipts.receive(
            sender,
            [
                Receipt(str(text.pk), order[turn], "30003" if order[turn] == "undelivered" else "")
                for text, order in zip(texts, sequences, strict=True)
                if turn < len(order)
            ],
        )

    for text, order in zip(texts, sequences, strict=True):
        found, furthest = world.reload(text), max(order, key=states.index)
        code = "30003" if furthest == State.UNDELIVERED else ""
        assert (found.state, found.error_code) == (furthest, code), order
        assert TrackingEvent.objects.filter(text_id=text.pk).count() == len(set(order))


def test_a_campaigns_totals_are_right_after_all_receipts_twice_and_shuffled(
    brand: Brand, sender: Sender
) -> None:
    texts = world.planned_texts(brand, 20)
    world.pass_gate(brand, sender)
    ProviderMessage.objects.bulk_create(
        ProviderMessage(provider_id=f"SM{n}", sender=sender, text_id=text.pk)
        for n, text in enumerate(texts)
    )
    bodies = [
        f"MessageSid=SM{n}&MessageStatus={state}".encode()
        for state in ("delivered", "sent")
        for n in range(20)
    ]

    for body in bodies + bodies[::-1]:
        told(sender, body)
        if body.endswith(b"SM7&MessageStatus=sent"):
            inbox.apply_due()
    inbox.apply_due()

    campaign = texts[0].campaign
    assert campaign is not None
    assert progress.of_campaign(campaign).by_state == {State.DELIVERED: 20}
    assert progress.recount(campaign).by_state == {State.DELIVERED: 20}


def test_many_brands_receipts_are_applied_in_as_many_statements_as_one_brands(
    brand: Brand,
    django_assert_max_num_queries: Callable[..., contextlib.AbstractContextManager[None]],
) -> None:
    for number in range(12):
        sender = world.make_sender(world.make_brand(f"brand{number}"))
        mine = world.make_text(sender.brand, State.ACCEPTED, sender=sender)
        ProviderMessage.objects.create(provider_id="P1", sender=sender, text_id=mine.pk)
        told(sender)

    with django_assert_max_num_queries(24):
        assert inbox.apply_due() == 12

    assert world.states() == {State.DELIVERED: 12}


def test_appliers_at_the_same_time_apply_each_event_once(sender: Sender) -> None:
    for number in range(50):
        mine = world.make_text(sender.brand, State.ACCEPTED, sender=sender)
        ProviderMessage.objects.create(provider_id=f"SM{number}", sender=sender, text_id=mine.pk)
        told(sender, f"MessageSid=SM{number}&MessageStatus=delivered".encode())

    assert sum(world.at_once(*[inbox.apply_due] * 4)) == 50
    assert world.states() == {State.DELIVERED: 50}


def test_what_cannot_be_read_any_more_is_noted_and_holds_nothing_up(
    sender: Sender, text: SentLog
) -> None:
    told(sender, b"nonsense")
    told(sender)

    assert inbox.apply_due() == 2

    assert world.reload(text).state == State.DELIVERED
    (noted,) = InboundEvent.objects.exclude(problem="")
    assert (noted.problem, bytes(noted.body)) == ("MessageSid is missing.", b"nonsense")


def test_an_applied_event_holds_no_number_and_is_forgotten_after_days(
    sender: Sender, text: SentLog
) -> None:
    told(sender, DELIVERED + b"&To=%2B12125550100")
    inbox.apply_due()
    assert bytes(InboundEvent.objects.get().body) == b""
    assert inbox.forget_applied() == 0

    then = clock.now() - dt.timedelta(days=3) - dt.timedelta(minutes=1)
    InboundEvent.objects.update(applied_at=then)

    assert inbox.forget_applied() == 1


def test_a_receipt_of_an_unknown_text_waits_in_one_place(sender: Sender) -> None:
    told(sender)
    inbox.apply_due()

    assert WaitingReceipt.objects.get().provider_id == "P1"
    assert inbox.apply_due() == 0


def test_a_connection_that_broke_is_replaced_and_the_event_kept(sender: Sender) -> None:
    with contextlib.suppress(OperationalError), connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    told(sender)

    assert InboundEvent.objects.count() == 1


def test_a_provider_is_asked_to_come_again_when_nothing_can_be_stored(text: SentLog) -> None:
    def away(*_: object) -> doors.Reply:
        raise OperationalError

    reply = doors.answer(away, "twilio", "token", None)  # type: ignore[arg-type]

    assert (reply.status, reply.headers) == (503, (("Retry-After", "5"),))


def test_an_applier_applies_what_was_told_soon(sender: Sender, text: SentLog) -> None:
    applier = Applier(idle=0.1)
    told(sender)
    applier.kick()
    assert InboundEvent.objects.filter(applied_at=None).exists()  # it is off by default

    applier.on = True
    applier.kick()

    (thread,) = [one for one in threading.enumerate() if one.name == "applier"]
    thread.join(30)  # it ends when nothing is told for a while
    assert not thread.is_alive()
    assert world.reload(text).state == State.DELIVERED


@pytest.fixture
def short_way() -> Callable[..., tuple[int, bytes]]:
    """short_way(path, body, **environ) posts as a web server does: its status and body."""

    def post(path: str, body: bytes, **environ: str) -> tuple[int, bytes]:
        request = RequestFactory().post(path, body, content_type=FORM)
        statuses: list[str] = []
        application = ReceiptsFirst(lambda *_: [b"passed on"])
        answer = application(request.environ | environ, lambda *given: statuses.append(given[0]))
        return int(statuses[0][:3]) if statuses else 0, b"".join(answer)

    return post


def test_the_short_way_keeps_a_signed_receipt(
    sender: Sender, text: SentLog, short_way: Callable[..., tuple[int, bytes]]
) -> None:
    path = f"/webhooks/twilio/{sender.webhook_token}/status?text={text.pk}"
    fields = {"MessageSid": "P1", "MessageStatus": "delivered"}

    answer = short_way(path, DELIVERED, HTTP_X_TWILIO_SIGNATURE=signature(path, fields))
    inbox.apply_due()

    assert answer == (200, b"<Response/>")
    assert world.reload(text).state == State.DELIVERED


def test_the_short_way_opens_again_after_its_connection_broke(
    sender: Sender, text: SentLog, short_way: Callable[..., tuple[int, bytes]]
) -> None:
    path = f"/webhooks/twilio/{sender.webhook_token}/status"
    fields = {"MessageSid": "P1", "MessageStatus": "delivered"}
    proof = {"HTTP_X_TWILIO_SIGNATURE": signature(path, fields)}
    connection.health_check_done = True  # as after an earlier receipt
    with contextlib.suppress(OperationalError), connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    first, _ = short_way(path, DELIVERED, **proof)
    second, _ = short_way(path, DELIVERED, **proof)

    assert (first, second) == (503, 200)
    assert InboundEvent.objects.count() == 1


@pytest.mark.parametrize(
    ("status", "changes"),
    [
        (403, {"HTTP_X_TWILIO_SIGNATURE": "forged"}),
        (403, {}),
        (404, {"PATH_INFO": "/webhooks/twilio/nobodys/status"}),
        (404, {"PATH_INFO": "/webhooks/nobody/token/status"}),
        (405, {"REQUEST_METHOD": "GET"}),
        (411, {"CONTENT_LENGTH": "", "HTTP_TRANSFER_ENCODING": "chunked"}),
        (413, {"CONTENT_LENGTH": "999999999"}),
        (0, {"PATH_INFO": "/webhooks/twilio/token/inbound"}),
        (0, {"PATH_INFO": "/webhooks/a/b/c/status"}),
    ],
)
def test_the_short_way_refuses_with_a_sentence_or_passes_on(
    sender: Sender,
    short_way: Callable[..., tuple[int, bytes]],
    status: int,
    changes: dict[str, str],
) -> None:
    found, body = short_way(f"/webhooks/twilio/{sender.webhook_token}/status", DELIVERED, **changes)

    assert found == status
    assert body.endswith(b'."}') or (status == 0 and body == b"passed on")
    assert not InboundEvent.objects.exists()


@pytest.mark.parametrize(
    "body",
    [
        b"[" + b"{}," * 30_000 + b"{}]",
        b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
        b"1" * 100_000,
        b'{"messageId": ' + b"9" * 5000 + b', "deliveryStatus": "Sent"}',
        b'{"messageId": NaN}',
    ],
    ids=["many", "xml", "number", "long-number", "nan"],
)
def test_a_hostile_body_is_refused_with_a_sentence_and_not_kept(
    brand: Brand, post: Post, body: bytes
) -> None:
    answer = post(world.make_sender(brand, "mitto"), "status", body)

    assert answer.status_code == 400
    assert answer.json()["error"].endswith(".")
    assert not InboundEvent.objects.exists()


def test_a_form_of_many_fields_is_refused(brand: Brand, post: Post) -> None:
    fields = {"messageId": "P1", "status": "sent"} | {str(n): "x" for n in range(300)}

    answer = post(world.make_sender(brand, "lime"), "status", fields)

    assert answer.status_code == 400
    assert answer.json() == {"error": "Send at most 200 fields."}


def test_threads_write_together_and_each_item_once() -> None:
    written: list[int] = []
    batches: list[int] = []
    gate = threading.Event()

    def write(items: object) -> None:
        gate.wait(5)
        batches.append(len(items))  # type: ignore[arg-type]
        written.extend(items)  # type: ignore[arg-type]

    together: Together[int] = Together(write)
    threads = [threading.Thread(target=together.add, args=[n]) for n in range(30)]
    for thread in threads:
        thread.start()
    gate.set()
    for thread in threads:
        thread.join(10)

    assert sorted(written) == list(range(30))
    assert len(batches) <= 30
    together.add(99)
    assert written[-1] == 99


def test_every_thread_hears_that_its_item_was_not_written() -> None:
    gate, heard = threading.Event(), []

    def write(items: object) -> None:
        gate.wait(5)
        raise OperationalError("away")

    together: Together[int] = Together(write)

    def add(number: int) -> None:
        try:
            together.add(number)
        except OperationalError:
            heard.append(number)

    threads = [threading.Thread(target=add, args=[n]) for n in range(10)]
    for thread in threads:
        thread.start()
    gate.set()
    for thread in threads:
        thread.join(10)

    assert sorted(heard) == list(range(10))
