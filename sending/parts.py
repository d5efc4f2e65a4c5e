"""Who of a chunk of the audience gets a row in a run: all, a test share, or those who waited."""

from collections.abc import Mapping, Sequence

from django.db import connection

from campaigns import variants
from campaigns.eligibility import Action, Decision, Reason
from campaigns.models import Run
from campaigns.variants import Part
from sending import arrays
from sending.identity import namer


def of_run(run: Run, subscriber_ids: Sequence[int]) -> Mapping[int, Part]:
    """Those of the people whom this run plans, with their part, in their order.

    In the run of the rest also who joined the audience since the test and belongs to its parts:
    whoever has a row of the test has had hers.
    """
    if not variants.divides(run.campaign):
        return dict.fromkeys(subscriber_ids, Part.TEST)
    parts = {pk: variants.part_of(run.campaign, pk) for pk in subscriber_ids}
    if run.winner_id is None:
        return {pk: part for pk, part in parts.items() if part is not Part.REST}
    had = _planned(run, [pk for pk, part in parts.items() if part is not Part.REST])
    return {pk: part for pk, part in parts.items() if pk not in had}


def _planned(run: Run, subscriber_ids: Sequence[int]) -> set[int]:
    """Who of them has a row of the campaign's earlier run."""
    test = Run.objects.filter(campaign_id=run.campaign_id, pk__lt=run.pk).first()
    if test is None or not subscriber_ids:
        return set()
    name = namer(test.started_at, "run", test.pk)
    ids = {name(pk): pk for pk in subscriber_ids}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM sending_sentlog WHERE id = ANY(%s::uuid[])", [arrays.ids(ids)]
        )
        return {ids[row[0]] for row in cursor.fetchall()}


def decision_for(part: Part, decision: Decision) -> Decision:
    """Who is held out gets nothing where she would have got something, and says so."""
    if part is Part.HOLD_OUT and decision.action is not Action.SKIP:
        return Decision(Action.SKIP, Reason.HOLD_OUT)
    return decision
