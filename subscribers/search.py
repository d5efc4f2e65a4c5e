"""Finding people by what a person types: a number, an e-mail address or a name."""

import re

from django.db.models import Q, QuerySet

from subscribers import phones
from subscribers.models import Workspace
from subscribers.secrets import phone_hash

_NUMBER = re.compile(r"\+?[\d\s().-]*\d[\d\s().-]*")


def people(rows: QuerySet, term: str) -> QuerySet:
    """Subscribers whose number or name begins with `term`, or whose address it is.

    A whole number may be written as people write it. Numbers and addresses are found by index;
    names are read through.
    """
    term = term.strip()
    if "@" in term:
        return rows.filter(email__in={term, term.lower()})
    if not _NUMBER.fullmatch(term):
        return rows.filter(
            Q(first_name__istartswith=term)
            | Q(last_name__istartswith=term)
            | Q(name__istartswith=term)
        )
    whole = e164(term)
    if whole:
        return rows.filter(phone=whole)
    digits = re.sub(r"\D", "", term)
    prefixes = Q(phone__startswith=f"+{digits}")
    if not term.startswith("+"):
        prefixes |= Q(phone__startswith=f"+1{digits}")
    return rows.filter(prefixes)


def hashes(user: object, term: str) -> list[bytes]:
    """What stands for a number in each workspace that the user may see; none where it is none.

    Finds rows of people who were erased, and uses the hash's index.
    """
    whole = e164(term)
    if not whole:
        return []
    workspaces = Workspace.objects.for_user(user).values_list("pk", flat=True)  # type: ignore[arg-type]
    return [phone_hash(workspace, whole) for workspace in workspaces]


def e164(term: str) -> str:
    """The number in E.164 that somebody typed, '' where it is none."""
    try:
        return phones.parse(term).e164
    except phones.InvalidPhone:
        return ""
