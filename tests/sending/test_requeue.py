"""What was certainly not sent can be queued again by a person; what is in doubt never."""

import datetime as dt
from collections.abc import Iterable
from typing import Any

import pytest
from django.contrib.admin import helpers
from django.contrib.auth.models import Permission, User
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from sending import dispatch, requeue
from sending.facts import LONGEST_WAIT
from sending.identity import identify
from sending.models import DailyTotal, QueuedText, Sender, SentLog, State
from subscribers import clock
from subscribers.models import Brand, Membership, Workspace
from tests import sending_world as world
from tests.sending.conftest import Carrier

BACKEND = "django.contrib.auth.backends.ModelBackend"
NOWHERE = "http://127.0.0.1:1"


def failed_texts(brand: Brand, count: int, settings: Any, **fields: Any) -> list[SentLog]:
    """Texts whose provider could not be reached five times."""
    texts = world.planned_texts(brand, count, **fields)
    there, settings.FAKE_CARRIER_URL = settings.FAKE_CARRIER_URL, NOWHERE
    for _ in range(5):
        world.all_due()
        dispatch.drain(brand.pk, seconds=20)
    settings.FAKE_CARRIER_URL = there
    assert {world.reload(text).state for text in texts} == {State.FAILED}
    return texts


def choose(*texts: SentLog) -> Any:
    return SentLog.objects.filter(pk__in=[text.pk for text in texts])


def test_failed_texts_are_sent_once_when_they_are_queued_again(
    brand: Brand, sender: Sender, provider: Carrier, settings: Any
) -> None:
    texts = failed_texts(brand, 4, settings)

    assert requeue.selection(choose(*texts)) == (4, 0)
    assert requeue.selection(choose(*texts)) == (0, 4)
    assert {world.reload(text).attempts for text in texts} == {0}
    dispatch.drain(brand.pk, seconds=20)

    assert world.states() == {State.ACCEPTED: 4}
    assert provider.accepted_by_number() == {text.phone: 1 for text in texts}
    assert DailyTotal.objects.get().sent == 4


def test_expired_texts_get_a_new_time_to_live(
    brand: Brand, sender: Sender, provider: Carrier
) -> None:
    (text,) = world.planned_texts(brand)
    SentLog.objects.update(expires_at=clock.now() - dt.timedelta(hours=1))
    dispatch.drain(brand.pk, seconds=20)
    assert world.reload(text).state == State.EXPIRED

    assert requeue.selection(choose(text)) == (1, 0)

    left = world.reload(text).expires_at - clock.now()
    assert dt.timedelta(hours=23) < left <= dt.timedelta(hours=24)
    dispatch.drain(brand.pk, seconds=20)
    assert world.states() == {State.ACCEPTED: 1}


@pytest.mark.parametrize("state", sorted(set(State) - {State.FAILED, State.EXPIRED}))
def test_what_was_or_may_have_been_sent_is_left_as_it_is(brand: Brand, state: State) -> None:
    text = world.make_text(brand, state)
    queued = QueuedText.objects.count()

    assert requeue.selection(choose(text)) == (0, 1)

    assert world.reload(text).state == state
    assert QueuedText.objects.count() == queued


@pytest.mark.parametrize(
    "doubt",
    [
        {"sent_at": dt.datetime(2026, 1, 1, tzinfo=dt.UTC)},
        {"provider_message_id": "SM1"},
        {"body": ""},
    ],
)
def test_a_failed_text_with_any_sign_of_having_left_is_left_as_it_is(
    brand: Brand, doubt: dict[str, Any]
) -> None:
    text = world.make_text(brand, State.FAILED, **doubt)

    assert requeue.selection(choose(text)) == (0, 1)
    assert world.reload(text).state == State.FAILED


def test_a_text_that_caps_would_not_count_is_left_as_it_is(brand: Brand) -> None:
    now = clock.now()
    old = now - LONGEST_WAIT
    texts = []
    for planned in (old, old + dt.timedelta(hours=2)):
        text = world.make_text(brand, State.FAILED)
        SentLog.objects.filter(pk=text.pk).update(id=identify(planned, "test", text.pk))
        texts.append(SentLog.objects.get(pk=identify(planned, "test", text.pk)))

    assert requeue.selection(choose(*texts)) == (1, 1)

    assert [world.reload(text).state for text in texts] == [State.FAILED, State.PLANNED]
    assert world.reload(texts[1]).expires_at <= old + dt.timedelta(hours=2) + LONGEST_WAIT


def test_who_opted_out_in_the_meantime_gets_nothing(
    brand: Brand, sender: Sender, provider: Carrier, settings: Any
) -> None:
    (text,) = failed_texts(brand, 1, settings)
    world.opt_out(brand, text.subscriber)

    requeue.selection(choose(text))
    dispatch.drain(brand.pk, seconds=20)

    assert world.reload(text).state == State.SKIPPED
    assert provider.accepted() == []


def test_two_people_who_queue_the_same_texts_queue_them_once(
    brand: Brand, sender: Sender, provider: Carrier, settings: Any
) -> None:
    texts = failed_texts(brand, 20, settings)

    done = world.at_once(*[lambda: requeue.selection(choose(*texts))] * 4)

    assert sum(queued for queued, _ in done) == 20
    dispatch.drain(brand.pk, seconds=20)
    assert provider.accepted_by_number() == {text.phone: 1 for text in texts}


def test_a_selection_without_end_is_refused(brand: Brand) -> None:
    text = world.make_text(brand, State.FAILED)
    many = requeue.MOST_BY_HAND + 1
    values = {f.attname: getattr(text, f.attname) for f in SentLog._meta.concrete_fields}
    SentLog.objects.bulk_create(
        [
            SentLog(**values | {"id": identify(clock.now(), "many", number)})
            for number in range(many - 1)
        ]
    )

    with pytest.raises(ValueError, match="At most 10,000"):
        requeue.selection(SentLog.objects.all())

    assert world.states() == {State.FAILED: many}


def test_the_command_queues_a_campaigns_texts_by_code(
    brand: Brand, sender: Sender, provider: Carrier, settings: Any, capsys: Any
) -> None:
    texts = failed_texts(brand, 4, settings)
    other = failed_texts(brand, 2, settings)
    choose(*texts[:1]).update(error_code="21606")
    choose(*texts[3:]).update(state=State.UNKNOWN, sent_at=clock.now())

    call_command("requeue_failed", campaign=texts[0].campaign_id, code="21606")
    assert "Queued again: 1 texts" in capsys.readouterr().out
    call_command("requeue_failed", campaign=texts[0].campaign_id)
    assert "Queued again: 2 texts" in capsys.readouterr().out

    states = [world.reload(text).state for text in (*texts, *other)]
    assert states == [State.PLANNED] * 3 + [State.UNKNOWN] + [State.FAILED] * 2
    with pytest.raises(CommandError, match="There is no campaign 0"):
        call_command("requeue_failed", campaign=0)


def staff(brand: Brand, name: str, *permissions: str) -> Client:
    """A person of a brand's workspace with these permissions on the log, logged in."""
    user = User.objects.create_user(name, is_staff=True)
    Membership.objects.create(workspace=brand.workspace, user=user)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user, backend=BACKEND)
    return client


def act(client: Client, texts: Iterable[SentLog]) -> str:
    """Select texts in the log and choose "Queue again"; what the page says then."""
    answer = client.post(
        reverse("admin:sending_sentlog_changelist"),
        {"action": "queue_again", helpers.ACTION_CHECKBOX_NAME: [str(text.pk) for text in texts]},
        follow=True,
    )
    return " ".join(str(message) for message in answer.context["messages"])


def test_an_operator_queues_a_selection_and_is_told_what_was_left(brand: Brand) -> None:
    texts = [world.make_text(brand, state) for state in (State.FAILED, State.UNKNOWN, State.SENT)]
    client = staff(brand, "operator", "view_sentlog", "change_sentlog")

    said = act(client, texts)

    assert "Texts queued again: 1." in said
    assert "Texts left as they are: 2." in said
    assert [world.reload(text).state for text in texts] == [
        State.PLANNED,
        State.UNKNOWN,
        State.SENT,
    ]


def test_who_may_only_look_is_not_offered_it(brand: Brand) -> None:
    text = world.make_text(brand, State.FAILED)
    client = staff(brand, "viewer", "view_sentlog")

    act(client, [text])

    assert world.reload(text).state == State.FAILED
    page = client.get(reverse("admin:sending_sentlog_changelist")).content.decode()
    assert "Queue again" not in page


def test_another_tenants_texts_cannot_be_queued(brand: Brand) -> None:
    text = world.make_text(brand, State.FAILED)
    theirs = world.make_brand("theirs", workspace=Workspace.objects.create(slug="theirs", name="T"))
    client = staff(theirs, "stranger", "view_sentlog", "change_sentlog")

    act(client, [text])

    assert world.reload(text).state == State.FAILED
    assert not QueuedText.objects.exists()
