"""Consent: the only writer of subscriptions, suppressions and their evidence.

With `double_opt_in`, `suppressions` (whole lists) and `undo`, which work under its locks and rules.
Whoever decides whether a text may start locks the person first (`lock_people`), and so does every
change here: nothing starts after an opt-out has committed.
"""

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Any

from django.db import connection, transaction
from django.db.models import Value
from django.db.models.functions import Greatest

from subscribers import arrays, consent_rules, double_opt_in
from subscribers import consent_statements as statements
from subscribers.consent_statements import OptIn, OptOut
from subscribers.models import (
    Brand,
    ConsentEvent,
    ConsentSource,
    Subscriber,
    Subscription,
    Suppression,
    Workspace,
)
from subscribers.secrets import phone_hash

# Only the person's own text brings somebody back: no list, form or import does, whatever its date.
BRINGS_BACK = (ConsentSource.KEYWORD,)
# It lifts what the person said. What an operator, an import or a provider suppressed stays.
LIFTED_BY_NEWER_OPT_IN = (
    ConsentSource.KEYWORD,
    ConsentSource.FREE_TEXT,
    ConsentSource.API,
    ConsentSource.ERASURE,
)


def lock_people(subscriber_ids: Iterable[int]) -> None:
    """Lock subscribers until the transaction ends, in one order, so that two never deadlock."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM subscribers_subscriber WHERE id = ANY(%s::bigint[]) ORDER BY id"
            " FOR NO KEY UPDATE",
            [arrays.literal(sorted(set(subscriber_ids)))],
        )


def lock_numbers(hashes: Iterable[bytes]) -> None:
    """Lock numbers until the transaction ends, for texts to who is no subscriber. After `lock_people`.

    `hashes` are the numbers' keyed hashes: there may be no row to lock.
    """
    keys = sorted(_lock_key(hashed) for hashed in set(hashes))
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(key) FROM unnest(%s::bigint[]) WITH ORDINALITY"
            " AS given(key, place) ORDER BY place",
            [arrays.literal(keys)],
        )


def lock_free_people(subscriber_ids: Iterable[int]) -> set[int]:
    """Lock those of these subscribers whom nobody holds, until the transaction ends; answers them.

    For who holds other locks already: it never waits, so it takes part in no deadlock.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM subscribers_subscriber WHERE id = ANY(%s::bigint[]) ORDER BY id"
            " FOR NO KEY UPDATE SKIP LOCKED",
            ["{" + ",".join(map(str, set(subscriber_ids))) + "}"],
        )
        return {row[0] for row in cursor.fetchall()}


def lock_free_numbers(hashes: Iterable[bytes]) -> set[bytes]:
    """The same for numbers of who is no subscriber, by their keyed hashes."""
    wanted = sorted(set(hashes))
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_try_advisory_xact_lock(key) FROM unnest(%s::bigint[]) WITH ORDINALITY"
            " AS given(key, place) ORDER BY place",
            [[_lock_key(hashed) for hashed in wanted]],
        )
        got = [row[0] for row in cursor.fetchall()]
    return {hashed for hashed, locked in zip(wanted, got, strict=True) if locked}


def _lock_key(hashed: bytes) -> int:
    return int.from_bytes(hashed[:8], "big", signed=True)


def opt_in(
    subscriber: Subscriber, brand: Brand, *, at: dt.datetime, source: str, evidence: dict[str, Any]
) -> bool:
    """Record one opt-in; True when the person is subscribed to the brand afterwards."""
    row = OptIn(subscriber.pk, bytes(subscriber.phone_hash), at, evidence)
    opt_in_many(brand, [row], source=source)
    return Subscription.objects.filter(
        subscriber=subscriber, brand=brand, status=Subscription.Status.OPTED_IN
    ).exists()


@transaction.atomic
def opt_in_many(brand: Brand, rows: Sequence[OptIn], *, source: str) -> list[int]:
    """Record opt-ins to one brand; answers the subscribers whose subscription changed.

    An opt-in changes nothing where the person opted out, unless their own text says it, later than
    the opt-out; so a list can be read again and again. The evidence is kept either way. Where the
    brand's rule of that time wants a double opt-in, the person is pending until they text YES.
    """
    if not rows:
        return []
    lock_people(row.subscriber_id for row in rows)
    if source in BRINGS_BACK:
        return _subscribe(brand, rows, source)
    rules = consent_rules.opt_in_rules(brand)
    asking = [row for row in rows if consent_rules.needs_answer(rules, row.at)]
    others = [row for row in rows if not consent_rules.needs_answer(rules, row.at)]
    changed = _subscribe(brand, others, source)
    if asking:
        rule = consent_rules.in_force(rules, max(row.at for row in asking))
        changed += double_opt_in.ask(brand, asking, source=source, days=rule.answer_days)
    return changed


def _subscribe(brand: Brand, rows: Sequence[OptIn], source: str) -> list[int]:
    if not rows:
        return []
    values = {
        **statements.values_of(brand, rows, source, ConsentEvent.Kind.OPT_IN),
        "brings_back": source in BRINGS_BACK,
        "liftable": list(LIFTED_BY_NEWER_OPT_IN),
    }
    with connection.cursor() as cursor:
        cursor.execute(statements.INSERT_EVENTS, values)
        cursor.execute(statements.UPSERT_SUBSCRIPTIONS, values)
        changed = [row[0] for row in cursor.fetchall()]
        if source in BRINGS_BACK:
            cursor.execute(statements.SPREAD_OLDER_SUPPRESSIONS, values)
            cursor.execute(statements.LIFT_OLDER_SUPPRESSIONS, values)
            cursor.execute(statements.ACTIVATE, values)
    double_opt_in.close(changed, brand.pk)
    return changed


@transaction.atomic
def confirm(
    subscriber: Subscriber, brand: Brand, *, at: dt.datetime, evidence: dict[str, Any]
) -> bool:
    """The person texted YES: True where that was waited for and subscribes them."""
    lock_people([subscriber.pk])
    request = double_opt_in.open_request(subscriber, brand, at=at)
    if request is None:
        return False
    evidence = {**evidence, "request": request.evidence, "requested_by": request.source}
    return opt_in(subscriber, brand, at=at, source=ConsentSource.KEYWORD, evidence=evidence)


@transaction.atomic
def opt_out(
    workspace: Workspace,
    phone: str,
    *,
    brand: Brand | None,
    at: dt.datetime,
    source: str,
    reason: str,
    evidence: dict[str, Any] | None = None,
) -> Subscriber | None:
    """Suppress a number in a brand, or in the whole workspace where `brand` is None.

    Works for numbers without a subscriber too. Answers the subscriber, if there is one. Repeating
    it is harmless. `phone` is E.164, `at` an aware datetime.
    """
    rows = [OptOut(phone, evidence or {})]
    opt_out_many(workspace, rows, brand=brand, at=at, source=source, reason=reason)
    return Subscriber.objects.filter(workspace=workspace, phone=phone).first()


@transaction.atomic
def opt_out_many(
    workspace: Workspace,
    rows: Sequence[OptOut],
    *,
    brand: Brand | None,
    at: dt.datetime,
    source: str,
    reason: str,
) -> None:
    """`opt_out` of different numbers, in as many statements as for one."""
    if not rows:
        return
    phones = [row.phone for row in rows]
    people = Subscriber.objects.select_for_update(no_key=True).order_by("pk")
    known = dict(people.filter(workspace=workspace, phone__in=phones).values_list("phone", "pk"))
    hashes = {phone: phone_hash(workspace.pk, phone) for phone in phones}
    lock_numbers(hashes.values())
    values = {
        "workspace": workspace.pk,
        "brand": brand and brand.pk,
        "source": source,
        "reason": reason[:200],
        "at": at,
        "phones": arrays.literal(phones),
        "hashes": arrays.hashes(hashes.values()),
        "ids": arrays.literal(known.get(phone) for phone in phones),
        "evidence": statements.evidence_of(rows),
        "liftable": list(LIFTED_BY_NEWER_OPT_IN),
    }
    with connection.cursor() as cursor:
        cursor.execute(statements.INSERT_OPT_OUTS, values)
        cursor.execute(statements.UPSERT_SUPPRESSIONS, values)
    if known:
        _leave(sorted(known.values()), brand, at)
        double_opt_in.close(known.values(), brand and brand.pk)


def _leave(ids: Sequence[int], brand: Brand | None, at: dt.datetime) -> None:
    subscriptions = Subscription.objects.filter(subscriber__in=ids)
    if brand:
        Subscription.objects.bulk_create(
            [Subscription(subscriber_id=pk, brand=brand) for pk in ids], ignore_conflicts=True
        )
        subscriptions = subscriptions.filter(brand=brand)
    else:
        Subscriber.objects.filter(pk__in=ids).update(status=Subscriber.Status.OPTOUT)
    subscriptions.update(
        status=Subscription.Status.OPTED_OUT,
        opted_out_at=Greatest("opted_out_at", Value(at)),
        updated_at=at,
    )


def is_suppressed(workspace: Workspace, phone: str, brand: Brand | None) -> bool:
    """Whether a number must not be texted for a brand (or at all, where `brand` is None)."""
    rows = Suppression.objects.filter(
        workspace=workspace, phone_hash=phone_hash(workspace.pk, phone)
    )
    return any(row.brand_id is None or (brand and row.brand_id == brand.pk) for row in rows)
