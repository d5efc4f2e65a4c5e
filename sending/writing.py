"""The bodies of the texts that one transaction plans, and the short links in them."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from uuid import UUID

from campaigns import destinations, languages, wording
from campaigns.destinations import Destinations
from campaigns.models import BrandPolicy, Message
from campaigns.wording import Hand, Written
from sending import short_links
from sending.short_links import NewLink


class Writer:
    """Writes a brand's messages for people; `keep` what it wrote after the texts are planned.

    Messages without a link cost no statement.
    """

    def __init__(self, own: BrandPolicy, messages: Sequence[Message]) -> None:
        self._own = own
        self._campaigns: dict[int, list[Message]] = defaultdict(list)
        for message in messages:
            self._campaigns[message.campaign_id].append(message)
        self._styles = {message.pk: wording.style_of(own, message) for message in messages}
        self._hands: dict[int, Hand] = {}
        self._links = self._destinations(messages) if own.shorten_links else {}
        self._new: list[NewLink] = []
        self._readable: dict[str, Sequence[Message]] = {}

    def _destinations(self, messages: Sequence[Message]) -> Destinations:
        return destinations.of_messages(messages)

    def readable(self, language: str) -> Sequence[Message]:
        """The messages that a person who reads `language` may get."""
        if language not in self._readable:
            default = self._own.default_language
            self._readable[language] = [
                message
                for of_campaign in self._campaigns.values()
                for message in languages.readable(of_campaign, language, default)
            ]
        return self._readable[language]

    def write(self, message: Message, fields: Mapping[str, str], text_id: UUID) -> tuple[str, int]:
        """The body of a text and its segments. Raises content.BadContent."""
        written = self._write(message, fields)
        if not written.urls:
            return written.parts[0], written.size.segments
        codes = []
        for url in written.urls:
            link = self._links[message.pk, url]
            codes.append(short_links.code_of(text_id, link))
            self._new.append(NewLink(codes[-1], text_id, link))
        return written.body(codes), written.size.segments

    def _write(self, message: Message, fields: Mapping[str, str]) -> Written:
        found = self._hands.get(message.id)
        if found is None:
            found = wording.hand(message.body, self._styles[message.id])
            self._hands[message.id] = found
        return found.write(fields)

    def keep(self) -> None:
        """Write the short links down: one statement, in the transaction of the texts."""
        short_links.keep(self._own.brand_id, self._new)
        self._new = []


class Sketch(Writer):
    """Writes what nobody gets, with links that lead nowhere: for forecasts, which change nothing."""

    def _destinations(self, messages: Sequence[Message]) -> Destinations:
        return {}

    def write(self, message: Message, fields: Mapping[str, str], text_id: UUID) -> tuple[str, int]:
        """A body as long as the person's own would be, and its segments."""
        written = self._write(message, fields)
        return written.sample(), written.size.segments
