"""Manual lists: every line is answered, and only people of the workspace are found."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from subscribers.models import Workspace
from subscribers.segment_models import ManualList
from subscribers.segments import lists
from tests.subscribers.conftest import make_person, phone


@pytest.fixture
def staff(workspace: Workspace) -> ManualList:
    return ManualList.objects.create(workspace=workspace, name="staff")


def results(answers: list[lists.Answer]) -> list[str]:
    return [one.result.name for one in answers]


def test_each_line_is_answered(
    staff: ManualList, workspace: Workspace, other_workspace: Workspace
) -> None:
    ours = make_person(workspace, 1)
    make_person(other_workspace, 2)
    lines = ["(212) 555-1001", phone(2), "hello", "+12125551001", "'; --", ""]

    assert results(lists.add(staff, lines)) == [
        *("ADDED", "UNKNOWN", "INVALID", "ALREADY", "INVALID", "INVALID"),
    ]
    assert [one.subscriber_id for one in staff.members.all()] == [ours.pk]
    assert results(lists.add(staff, [phone(1)])) == ["ALREADY"]
    assert results(lists.remove(staff, [phone(1), phone(2), phone(1)])) == [
        *("REMOVED", "UNKNOWN", "NOT_ON_IT"),
    ]
    assert not staff.members.exists()


def test_many_lines_cost_as_many_queries_as_one_and_have_an_end(
    staff: ManualList, workspace: Workspace
) -> None:
    for number in range(20):
        make_person(workspace, number)
    with CaptureQueriesContext(connection) as queries:
        answers = lists.add(staff, [phone(number) for number in range(20)])

    assert results(answers) == ["ADDED"] * 20
    assert len(queries) == 2
    with pytest.raises(lists.TooMany, match="20,000 at a time"):
        lists.add(staff, ["x"] * 20_001)
