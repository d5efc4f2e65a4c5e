"""Manual lists: the only writer of who is on one."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from django.db import connection

from subscribers import phones
from subscribers.models import Subscriber
from subscribers.segment_models import ManualList

MOST_LINES = 20_000  # of one request


class TooMany(ValueError):
    """More lines than one request may have."""


class Result(StrEnum):
    """What became of a line."""

    ADDED = "added"
    ALREADY = "already on the list"
    REMOVED = "removed"
    NOT_ON_IT = "not on the list"
    UNKNOWN = "unknown: no subscriber has this number"
    NOBODY = "unknown: no subscriber has this id"
    INVALID = "invalid: not a phone number"


@dataclass(frozen=True, slots=True)
class Answer:
    """One line as it was given, and what became of it."""

    line: str
    result: Result


def add(manual_list: ManualList, lines: Sequence[str]) -> list[Answer]:
    """Put the people with these numbers on the list; an answer a line. Raises TooMany.

    Only subscribers of the list's workspace are found. Three statements, however many lines.
    """
    numbers, known = _find(manual_list, lines)
    new = _change(_ADD, manual_list, list(known.values()))
    return _answers(lines, numbers, known, new, (Result.ADDED, Result.ALREADY))


def remove(manual_list: ManualList, lines: Sequence[str]) -> list[Answer]:
    """Take the people with these numbers off the list; an answer a line. Raises TooMany."""
    numbers, known = _find(manual_list, lines)
    gone = _change(_REMOVE, manual_list, list(known.values()))
    return _answers(lines, numbers, known, gone, (Result.REMOVED, Result.NOT_ON_IT))


def add_people(manual_list: ManualList, ids: Sequence[int]) -> list[Answer]:
    """Put the subscribers with these ids on the list; an answer an id. Raises TooMany."""
    known = _there(manual_list, ids)
    new = _change(_ADD, manual_list, sorted(known))
    return _answers_of_ids(ids, known, new, (Result.ADDED, Result.ALREADY))


def remove_people(manual_list: ManualList, ids: Sequence[int]) -> list[Answer]:
    """Take the subscribers with these ids off the list; an answer an id. Raises TooMany."""
    known = _there(manual_list, ids)
    gone = _change(_REMOVE, manual_list, sorted(known))
    return _answers_of_ids(ids, known, gone, (Result.REMOVED, Result.NOT_ON_IT))


def _change(statement: str, manual_list: ManualList, people: list[int]) -> set[int]:
    """Whom the statement put on the list, or took off it."""
    with connection.cursor() as cursor:
        cursor.execute(statement, [manual_list.pk, people])
        return {row[0] for row in cursor.fetchall()}


def _there(manual_list: ManualList, ids: Sequence[int]) -> set[int]:
    """Those of the ids that are people of the list's workspace and were not erased."""
    _check_count(ids)
    people = Subscriber.objects.filter(workspace=manual_list.workspace_id, erased_at=None)
    return set(people.filter(pk__in=set(ids)).values_list("pk", flat=True))


def _answers_of_ids(
    ids: Sequence[int], known: set[int], changed: set[int], results: tuple[Result, Result]
) -> list[Answer]:
    answers, seen = [], set()
    for pk in ids:
        result = results[0] if pk in changed and pk not in seen else results[1]
        answers.append(Answer(str(pk), result if pk in known else Result.NOBODY))
        seen.add(pk)
    return answers


def _check_count(lines: Sequence[object]) -> None:
    if len(lines) > MOST_LINES:
        raise TooMany(f"These are {len(lines):,} lines; give {MOST_LINES:,} at a time.")


def _find(manual_list: ManualList, lines: Sequence[str]) -> tuple[list[str], dict[str, int]]:
    """Each line's number ('' where it is none), and the subscribers who have them."""
    _check_count(lines)
    numbers = [_e164(line) for line in lines]
    with connection.cursor() as cursor:
        cursor.execute(_FIND, [manual_list.workspace_id, [one for one in numbers if one]])
        return numbers, dict(cursor.fetchall())


def _e164(line: str) -> str:
    try:
        return phones.parse(line).e164
    except phones.InvalidPhone:
        return ""


def _answers(
    lines: Sequence[str],
    numbers: Sequence[str],
    known: dict[str, int],
    changed: set[int],
    results: tuple[Result, Result],
) -> list[Answer]:
    answers, seen = [], set()
    for line, number in zip(lines, numbers, strict=True):
        pk = known.get(number)
        if not number:
            result = Result.INVALID
        elif pk is None:
            result = Result.UNKNOWN
        else:
            result = results[0] if pk in changed and pk not in seen else results[1]
            seen.add(pk)
        answers.append(Answer(line.strip(), result))
    return answers


_FIND = """
    SELECT phone, id FROM subscribers_subscriber
    WHERE workspace_id = %s AND phone = ANY(%s::text[])"""
_ADD = """
    INSERT INTO subscribers_manuallistmember (manual_list_id, subscriber_id)
    SELECT %s, pk FROM unnest(%s::bigint[]) AS pk ORDER BY pk
    ON CONFLICT DO NOTHING RETURNING subscriber_id"""
_REMOVE = """
    DELETE FROM subscribers_manuallistmember
    WHERE manual_list_id = %s AND subscriber_id = ANY(%s::bigint[]) RETURNING subscriber_id"""
