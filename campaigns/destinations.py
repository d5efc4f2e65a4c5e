"""The rows of the links in messages: one for each address that a message leads to."""

from collections.abc import Mapping, Sequence

from campaigns import links
from campaigns.models import Campaign, Link, Message

type Destinations = Mapping[tuple[int, str], int]


def of_messages(messages: Sequence[Message]) -> Destinations:
    """(message, address as it says it) -> link. Without links in them nothing is asked.

    Missing rows are made; the same address asked for twice is one row. `messages` know their
    campaign.
    """
    wanted = {
        (message.pk, url): message for message in messages for url in links.tracked(message.body)
    }
    if not wanted:
        return {}
    known = _known(messages)
    missing = [(message, url) for (pk, url), message in wanted.items() if (pk, url) not in known]
    if missing:
        Link.objects.bulk_create(
            [_row(message, url) for message, url in missing], ignore_conflicts=True
        )
        known = _known(messages)
    return known


def _known(messages: Sequence[Message]) -> Destinations:
    rows = Link.objects.filter(message__in=[message.pk for message in messages])
    return {(message, url): pk for message, url, pk in rows.values_list("message", "url", "pk")}


def _row(message: Message, url: str) -> Link:
    written = list(dict.fromkeys(found.url for found in links.find(message.body)))
    return Link(
        message=message,
        url=url,
        destination=links.with_parameters(url, _parameters(message.campaign)),
        position=written.index(url) + 1,
    )


def _parameters(campaign: Campaign) -> dict[str, str]:
    return {
        "utm_source": campaign.utm_source,
        "utm_medium": campaign.utm_medium,
        "utm_campaign": campaign.utm_campaign,
    }
