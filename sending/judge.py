"""Decides by one policy at one moment, once for all people of whom the same is known."""

from __future__ import annotations

import datetime as dt

import structlog

from campaigns.eligibility import Action, Decision, Facts, Policy, Reason, decide
from sending.facts import Person

log = structlog.get_logger("carillon.judge")


class Judge:
    """One policy of one campaign, or of what has none; `now`: the brand's clock."""

    def __init__(self, campaign_id: int | None, rules: Policy, now: dt.datetime) -> None:
        self.campaign_id, self.rules, self.now = campaign_id, rules, now
        # By the identity of facts that people share; kept beside it, so that it stays theirs.
        self._known: dict[int, tuple[Facts, Decision]] = {}

    def decide(self, person: Person) -> Decision:
        """The decision; where it cannot be made the person is passed over, visibly."""
        facts = person.for_campaign(self.campaign_id)
        known = self._known.get(id(facts))
        if known is None:
            decision = decide_safely(person, self.campaign_id, self.rules, self.now)
            known = self._known[id(facts)] = facts, decision
        return known[1]


def decide_safely(
    person: Person, campaign_id: int | None, rules: Policy, now: dt.datetime
) -> Decision:
    """The decision; where it cannot be made the person is passed over, visibly."""
    try:
        return decide(person.for_campaign(campaign_id), rules, now)
    except Exception:
        log.exception("decision_failed", subscriber=person.subscriber_id, campaign=campaign_id)
        return Decision(Action.SKIP, Reason.ERROR)
