"""What a turn of an evergreen pool draws: the message, or the moment at which there may be one."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from campaigns import policy, variants
from campaigns.eligibility import Action, Decision, Policy
from campaigns.models import BrandPolicy, Campaign, Message
from sending.facts import Person
from sending.judge import Judge
from sending.writing import Writer
from subscribers.models import Brand

LOOK_AGAIN = dt.timedelta(hours=1)  # for who may not be texted at present, without a known end


class Turn(NamedTuple):
    """An EvergreenTurn: a model instance would cost more than the draw."""

    subscriber_id: int
    turn: int
    last_message_id: int | None
    next_at: dt.datetime


class Moved(NamedTuple):
    """Where a turn goes. `message_id` was drawn for it, or nothing was."""

    subscriber_id: int
    turn: int  # as it was
    next_at: dt.datetime
    message_id: int | None


@dataclass(frozen=True, slots=True)
class Pool:
    """A pool with the messages that are in use and the rules in force."""

    campaign: Campaign
    messages: Sequence[Message]
    policy: Policy

    @classmethod
    def of(cls, campaign: Campaign, now: dt.datetime, own: BrandPolicy) -> Pool:
        """`now`: the database's clock. `own`: the brand's rules."""
        messages = [message for message in campaign.messages.all() if message.weight > 0]
        rules = policy.build(
            campaign.brand, campaign, platform_remaining=1, today=now.date(), own=own
        )
        return cls(campaign, messages, rules)


class _Slip(NamedTuple):
    """A message in the hat. Its foreign key is read once: Django looks it up anew each time."""

    message_id: int
    campaign_id: int
    message: Message
    campaign: Campaign


class Draw:
    """The draws of one tick for a chunk of people, gathered by campaign."""

    def __init__(
        self,
        brand: Brand,
        pools: Sequence[Pool],
        now: dt.datetime,
        own: BrandPolicy,
        writing: type[Writer] = Writer,
    ) -> None:
        self.brand, self.now, self.next = brand, now, now + own.evergreen_gap
        self.pools = {pool.campaign.pk: pool for pool in pools}
        self.judges = {
            campaign_id: Judge(campaign_id, pool.policy, now + brand.clock_shift)
            for campaign_id, pool in self.pools.items()
        }
        self.messages = [message for pool in pools for message in pool.messages]
        self.writer = writing(own, self.messages)
        self.drawn: dict[int, list[tuple[int, Message, Decision]]] = defaultdict(list)
        self._hats: dict[tuple[str, int | None], Sequence[_Slip]] = {}

    def decide(self, turn: Turn, person: Person) -> tuple[Moved, dict[int, Decision]]:
        """Draw a message for a turn, or move the turn to when there may be one.

        Answers what was decided on the way as well, by campaign.
        """
        decisions: dict[int, Decision] = {}
        subscriber_id, number = turn[:2]
        for message_id, campaign_id, message, campaign in self._shuffled(turn, person.language):
            if campaign.holdout and variants.is_held_out(campaign, subscriber_id):
                continue
            decision = decisions.get(campaign_id)
            if decision is None:
                decision = decisions[campaign_id] = self.judges[campaign_id].decide(person)
            if decision.action is Action.SEND:
                self.drawn[campaign_id].append((subscriber_id, message, decision))
                return Moved(subscriber_id, number, self.next, message_id), decisions
        again = [
            decision.until - self.brand.clock_shift
            for decision in decisions.values()
            if decision.until
        ]
        next_at = min(again, default=self.now + LOOK_AGAIN)
        return Moved(subscriber_id, number, next_at, None), decisions

    def _shuffled(self, turn: Turn, language: str) -> Iterator[_Slip]:
        """The pools' messages in this turn's order, those that the person can read. The last one that
        was sent is not among them, even where it is the only one: nobody gets the same text twice in
        a row.

        Drawn one by one, as the first will mostly do, and the same each time: 512 bits are the
        order of 98 messages, and what more there are follow in their own.
        """
        hat = self._hat(language, turn.last_message_id)
        named = b"%d:%d" % (turn.subscriber_id, turn.turn)
        order = int.from_bytes(hashlib.blake2b(named, digest_size=64).digest(), "big")
        left: list[_Slip] = []
        for count in range(len(hat), 0, -1):
            order, place = divmod(order, count)
            yield left[place] if left else hat[place]
            left = left or list(hat)
            left[place] = left[count - 1]

    def _hat(self, language: str, last_message_id: int | None) -> Sequence[_Slip]:
        """What is drawn from, once for all who read this language and had that message last."""
        kind = language, last_message_id
        if kind not in self._hats:
            self._hats[kind] = [
                _Slip(one.pk, one.campaign_id, one, self.pools[one.campaign_id].campaign)
                for one in self.writer.readable(language)
                if one.pk != last_message_id
            ]
        return self._hats[kind]
