"""How the messages of a broadcast did: counted for its page, and for the one that wins by itself.

Counted are the texts of the first run, which chance divided among the messages: what the rest got
afterwards compares with nothing. Its texts, and the clicks on them, are one millisecond of ids.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import structlog
from django.db import connection
from django.db.models import Exists, OuterRef

from campaigns import lifecycle, variants, winners
from campaigns.models import Campaign, Message, Run
from campaigns.shares import WinnerBy
from campaigns.winners import Figure, Rule, Verdict
from sending.identity import lower_bound
from sending.models import MAY_HAVE_ARRIVED
from sending.parking import MILLISECOND_IDS
from subscribers import clock
from tracking import scanners

log = structlog.get_logger("carillon.winners")

AT_ONCE = 100  # campaigns that one turn of the ticker looks at


@dataclass(frozen=True, slots=True)
class _Counted:
    """Of one message: people, and where they bought what they spent, and its squares."""

    people: int = 0
    total: float = 0.0
    squares: float = 0.0


def choose_due() -> int:
    """Choose the winner of campaigns that do it by themselves (the ticker's job); answers how many."""
    chosen = 0
    for campaign in _waiting():
        now = clock.now()
        verdict = verdict_of(campaign, now=now)
        if verdict.winner is None:
            continue
        message = Message.objects.get(pk=verdict.winner.message_id)
        because = f"By {campaign.get_winner_by_display().lower()}: {verdict.because}"
        try:
            new = variants.choose_winner(campaign, message, now=now, because=because)
        except lifecycle.NotAllowed as error:  # somebody was faster
            log.info("winner_refused", campaign=campaign.pk, why=str(error))
            continue
        chosen += new
        if new:
            log.info("winner_chosen", campaign=campaign.pk, message=message.pk)
    return chosen


def _waiting() -> list[Campaign]:
    """Running broadcasts whose test was planned long enough ago and that have no winner yet."""
    runs = Run.objects.filter(campaign=OuterRef("pk"))
    rows = Campaign.objects.filter(
        ~Exists(runs.exclude(winner=None)),
        Exists(runs.filter(planned_at__isnull=False)),
        status=Campaign.Status.RUNNING,
        test_share__isnull=False,
    ).exclude(winner_by="")
    return list(rows.order_by("pk")[:AT_ONCE])


def verdict_of(campaign: Campaign, *, now: dt.datetime) -> Verdict:
    """What a campaign's own rule says of its messages now."""
    run = test_of(campaign)
    if run is None or run.planned_at is None:
        return Verdict(None, "Its test is not planned yet.")
    rule = Rule(campaign.winner_sample, campaign.winner_after, campaign.winner_deadline)
    waited = now - run.planned_at
    first_look = min(rule.after, rule.deadline or rule.after)
    if waited < first_look:  # without counting
        return winners.judge(_nothing(campaign), rule, waited=waited)
    return winners.judge(figures(campaign, run, campaign.winner_by), rule, waited=waited)


def test_of(campaign: Campaign) -> Run | None:
    """The run that chance divided among the messages."""
    return campaign.runs.filter(winner=None).order_by("pk").first()


test_of.__test__ = False  # type: ignore[attr-defined] - pytest: no test


def figures(campaign: Campaign, run: Run, by: str) -> list[Figure]:
    """How each message in use did by clicks, replies or revenue, the best first."""
    span = _span(run)
    texts = {row[0]: row[1] for row in _rows(_TEXTS, span)}
    counted = {
        row[0]: _Counted(row[1], *map(float, row[2:]))
        for row in _rows(_COUNT[WinnerBy(by)], span | {"campaign": campaign.pk})
    }
    buyers = sum(one.people for one in counted.values())
    usual = sum(one.total for one in counted.values()) / buyers if buyers else 0.0
    told = [
        _figure(message, texts.get(message.pk, 0), counted.get(message.pk, _Counted()), by, usual)
        for message in _in_use(campaign)
    ]
    return sorted(told, key=lambda one: (-one.value, one.message_id))


def _figure(message: Message, texts: int, counted: _Counted, by: str, usual: float) -> Figure:
    people = min(counted.people, texts)
    if by == WinnerBy.REVENUE:
        value = counted.total / texts if texts else 0.0
        interval = winners.per_text(
            texts, people, total=counted.total, squares=counted.squares, usual_order=usual
        )
    else:
        value = people / texts if texts else 0.0
        interval = winners.wilson(people, texts)
    return Figure(message.pk, str(message), texts, people, value, interval)


def _in_use(campaign: Campaign) -> Sequence[Message]:
    return campaign.messages.filter(weight__gt=0).order_by("pk")


def _nothing(campaign: Campaign) -> list[Figure]:
    return [_figure(message, 0, _Counted(), "", 0.0) for message in _in_use(campaign)]


def _span(run: Run) -> dict[str, Any]:
    first = lower_bound(run.started_at)
    return {
        "first": first,
        "end": UUID(int=first.int + MILLISECOND_IDS),
        "run": run.pk,
        "states": [str(state) for state in MAY_HAVE_ARRIVED],
        "person": scanners.PERSON,
    }


def _rows(statement: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchall()


_TEXTS = """
    SELECT message_id, count(*) FROM sending_sentlog
    WHERE id >= %(first)s AND id < %(end)s AND run_id = %(run)s AND state = ANY(%(states)s)
    GROUP BY message_id"""

_OF_RUN = """text.id >= %(first)s AND text.id < %(end)s AND text.run_id = %(run)s
      AND text.state = ANY(%(states)s)"""

# A click's id begins with its text's time: all clicks on the run are one range, too.
_CLICKS = f"""
    SELECT text.message_id, count(DISTINCT text.id)
    FROM tracking_trackingevent AS event JOIN sending_sentlog AS text ON text.id = event.text_id
    WHERE event.id >= %(first)s AND event.id < %(end)s
      AND event.kind = 'click' AND event.name = %(person)s AND {_OF_RUN}
    GROUP BY text.message_id"""

# What asks for no more texts, or for help, says nothing for a message.
_REPLIES = f"""
    SELECT text.message_id, count(DISTINCT text.id)
    FROM tracking_reply AS reply JOIN sending_sentlog AS text ON text.id = reply.text_id
    WHERE reply.campaign_id = %(campaign)s AND reply.meaning IN ('other', 'opt_in') AND {_OF_RUN}
      AND NOT EXISTS (SELECT FROM tracking_possibleoptout AS said
                      WHERE said.reply_id = reply.id AND said.status <> 'undone')
    GROUP BY text.message_id"""

_REVENUE = f"""
    SELECT message_id, count(*), sum(spent), sum(spent * spent)
    FROM (SELECT text.message_id, text.id, sum(share.amount) AS spent
          FROM tracking_attribution AS share JOIN sending_sentlog AS text ON text.id = share.text_id
          WHERE share.campaign_id = %(campaign)s AND {_OF_RUN}
          GROUP BY text.message_id, text.id HAVING sum(share.amount) > 0) AS buyer
    GROUP BY message_id"""

_COUNT = {WinnerBy.CLICKS: _CLICKS, WinnerBy.REPLIES: _REPLIES, WinnerBy.REVENUE: _REVENUE}
