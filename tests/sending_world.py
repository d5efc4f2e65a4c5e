"""What the tests of sending and tracking send with: a sandbox brand, its senders, people, texts.

A sandbox brand's clock is shifted to 13:00 Eastern on a weekday, so that a test means the same at
any hour: New York may be texted, Hawaii still sleeps.
"""

import contextlib
import datetime as dt
import itertools
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.db import connection, connections, transaction

from campaigns import lifecycle, policy
from campaigns.models import Campaign, LegalWindow, LegalWindowEvent, Message, Run
from config.demo.world import shift_to_afternoon
from sending import gate, planning, queues
from sending.archive_models import kept_since
from sending.gate import Departing
from sending.identity import identify
from sending.models import QueuedText, Sender, SentLog, State
from subscribers import clock, consent, phones, upsert
from subscribers.consent import OptIn
from subscribers.models import Brand, ConsentSource, Subscriber, Workspace
from subscribers.secrets import phone_hash

CREDENTIALS = {
    "lime": {
        "user": "user-one",
        "api_id": "key-one",
        "reference_parameter": "reference",
        "message_id_field": "messageId",
        "stop_errors": "Invalid user or api_id",
    },
    "mitto": {
        "api_key": "key-two",
        "traffic_account_id": "3b1e7f0a-0000-4000-8000-00000000000a",
        "webhook_secret": "secret-of-mitto",
    },
    "twilio": {"account_sid": "AC0001", "auth_token": "token-of-twilio"},
}
ADDRESSES = {"lime": "71441", "mitto": "Carillon", "twilio": "+14155550199"}
NEW_YORK, HAWAII = "212", "808"

_plain = itertools.count()
_magic = itertools.count()


def make_brand(slug: str = "wswd", *, workspace: Workspace | None = None, **rules: Any) -> Brand:
    """A sandbox brand at 13:00 Eastern; `rules` are fields of its policy."""
    if workspace is None:
        workspace = Workspace.objects.create(slug=f"of_{slug}", name=f"Workspace of {slug}")
    brand = Brand.objects.create(
        workspace=workspace,
        slug=slug,
        name=f"Brand {slug}",
        sandbox=True,
        clock_shift=shift_to_afternoon(clock.now()),
    )
    own = policy.of_brand(brand)
    for name, value in rules.items():
        setattr(own, name, value)
    own.save()
    return brand


def make_sender(brand: Brand, gateway: str = "twilio", **fields: Any) -> Sender:
    """A sender with credentials that the fake carrier lets in, and plenty of throughput."""
    credentials = CREDENTIALS[gateway] | fields.pop("credentials", {})
    values = {"address": ADDRESSES[gateway], "rate": 500} | fields
    return Sender.objects.create(brand=brand, gateway=gateway, credentials=credentials, **values)


def number(last_four: str | None = None, *, area: str = NEW_YORK) -> str:
    """A number that no other test texts; without `last_four` one without magic at the carrier."""
    if last_four is None:
        count = next(_plain)
        return f"+1{area}{200 + count // 8000}{1000 + count % 8000}"
    return f"+1{area}{500 + next(_magic) % 400}{last_four}"


def make_people(brand: Brand, numbers: int | Sequence[str], **fields: Any) -> list[Subscriber]:
    """Subscribers that opted in to the brand a month ago, in the order of their ids."""
    if isinstance(numbers, int):
        numbers = [number() for _ in range(numbers)]
    workspace = brand.workspace_id
    rows = Subscriber.objects.bulk_create(
        Subscriber(
            workspace_id=workspace,
            phone=phone,
            phone_hash=phone_hash(workspace, phone),
            **{**upsert.derived(phones.parse(phone), {}), **fields},
        )
        for phone in numbers
    )
    opt_in(brand, rows)
    return rows


def opt_in(brand: Brand, people: Iterable[Subscriber]) -> None:
    """Subscribe people to a brand, a month ago."""
    at = clock.now() - dt.timedelta(days=30)
    consent.opt_in_many(
        brand,
        [OptIn(one.pk, bytes(one.phone_hash), at, {"from": "a test"}) for one in people],
        source=ConsentSource.LIST_SYNC,
    )


def opt_out(brand: Brand, person: Subscriber) -> None:
    """The person says STOP, now."""
    consent.opt_out(
        brand.workspace,
        person.phone,
        brand=brand,
        at=clock.now(),
        source=ConsentSource.KEYWORD,
        reason="a test",
    )


def make_campaign(brand: Brand, *bodies: str, launched: bool = True, **fields: Any) -> Campaign:
    """A broadcast (or what `fields` say) with a message per body; launched to start now."""
    campaign = Campaign.objects.create(brand=brand, name="Sale", **fields)
    for body in bodies or ("{{ brand }}: the sale is on. Reply STOP to opt out.",):
        Message.objects.create(campaign=campaign, body=body)
    if launched:
        lifecycle.launch(campaign, now=clock.now())
    return campaign


def plan(campaign: Campaign) -> Run:
    """Plan a launched broadcast to its end, as the ticker does."""
    planning.plan_due(budget=60)
    campaign.refresh_from_db()
    return campaign.runs.get()


def planned_texts(brand: Brand, people: int | Sequence[str] = 1, **fields: Any) -> list[SentLog]:
    """Texts of a new broadcast to new people, planned and due, in the order of the people."""
    rows = make_people(brand, people)
    run = plan(make_campaign(brand, **fields))
    by_person = {text.subscriber_id: text for text in SentLog.objects.filter(run_id=run.pk)}
    return [by_person[person.pk] for person in rows]


def make_text(brand: Brand, state: str = State.PLANNED, **fields: Any) -> SentLog:
    """One text without a run, in any state; in the queue where it is planned."""
    now = clock.now()
    values: dict[str, Any] = {
        "id": identify(now, "test", uuid.uuid4()),
        "purpose": "campaign",
        "phone": "+12125550100",
        "body": "Hello",
        "segments": 1,
        "expires_at": now + dt.timedelta(hours=24),
    }
    text = SentLog.objects.create(brand=brand, state=state, **values | fields)
    if state == State.PLANNED:
        QueuedText.objects.create(
            id=text.id, brand=brand, subscriber_id=text.subscriber_id, lane=1, due_at=now
        )
    return text


def pass_gate(
    brand: Brand, sender: Sender, *, at_most: int = 500
) -> tuple[uuid.UUID, Sequence[Departing]]:
    """Take what is due and pass the gate with it, all by one sender."""
    batch = gate_batch(brand, sender, at_most=at_most)
    return batch.token, batch.departing


def gate_batch(brand: Brand, *senders: Sender, at_most: int = 500) -> gate.Batch:
    """The same by some senders, with what else is known of it."""
    share = gate.Share(brand, senders, {one.pk: at_most for one in senders}, at_most)
    return gate.pass_gate([share])[0]


@contextlib.contextmanager
def elsewhere(act: Callable[[], Any]) -> Iterator[None]:
    """Somebody else has done this and holds its locks until the block ends."""
    ready, done = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            act()
            ready.set()
            done.wait(30)
        connection.close()

    with ThreadPoolExecutor(1) as thread:
        holding = thread.submit(hold)
        try:
            assert ready.wait(30)
            yield
        finally:
            done.set()
        holding.result()


def due_soon() -> bool:
    """Whether a text waits that is due, or will be in a moment: the gate passed it over."""
    time.sleep(0.02)
    return QueuedText.objects.filter(due_at__lt=clock.now() + dt.timedelta(seconds=2)).exists()


def due_one_after_the_other() -> None:
    """Let what is due be so in an order that a test can foresee."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE sending_queuedtext AS queued"
            " SET due_at = now() - interval '1 hour' + place * interval '1 ms'"
            " FROM (SELECT id, row_number() OVER (ORDER BY id) AS place FROM sending_queuedtext"
            "       WHERE due_at <= now()) AS listed WHERE queued.id = listed.id"
        )


def all_due() -> None:
    """Let time pass until whatever is put off is due."""
    QueuedText.objects.filter(due_at__lt=queues.PARKED).update(due_at=clock.now())


def states(**conditions: Any) -> Counter[str]:
    """How many texts are in each state."""
    return Counter(SentLog.objects.filter(**conditions).values_list("state", flat=True))


def reload(text: SentLog) -> SentLog:
    return SentLog.objects.get(pk=text.pk)


def assert_books_balance() -> None:
    """Each run has one text per person of its audience; what waits, and only that, is queued."""
    counted = Counter(SentLog.objects.exclude(run=None).values_list("run_id", flat=True))
    since = kept_since() or dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    runs = Run.objects.filter(started_at__gte=since)
    audiences = {run.pk: run.audience for run in runs if run.audience}
    assert dict(counted) == audiences
    planned = set(SentLog.objects.filter(state=State.PLANNED).values_list("id", flat=True))
    assert set(QueuedText.objects.values_list("id", flat=True)) == planned


def empty_tables() -> None:
    """Empty the users' and those tables of our apps that hold rows, except the law's and its trail."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT oid::regclass::text FROM pg_class"
            " WHERE relkind IN ('r', 'p') AND NOT relispartition"
            " AND relname ~ '^(subscribers|campaigns|sending|tracking|auth_user)'"
            " AND relname <> ALL(%s)",
            [[LegalWindow._meta.db_table, LegalWindowEvent._meta.db_table]],
        )
        tables = [row[0] for row in cursor.fetchall()]
        looks = [f"SELECT '{table}' WHERE EXISTS (SELECT FROM {table})" for table in tables]
        cursor.execute(" UNION ALL ".join(looks))
        used = [row[0] for row in cursor.fetchall()]
        if used:
            cursor.execute(f"TRUNCATE {', '.join(used)} CASCADE")


class Killed(Exception):
    """The process ended here."""


def killed_at_the_end_of(job: Callable[[], Any]) -> None:
    """Do something and die before it is committed."""
    with contextlib.suppress(Killed), transaction.atomic():
        job()
        raise Killed


def at_once(*jobs: Callable[[], Any]) -> list[Any]:
    """Run each job in a thread with a database connection of its own; answers their results."""

    def alone(job: Callable[[], Any]) -> Any:
        try:
            return job()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(jobs)) as threads:
        return [future.result(60) for future in [threads.submit(alone, job) for job in jobs]]
