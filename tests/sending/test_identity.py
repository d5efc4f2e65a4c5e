"""Ids: the same for the same cause, in order of time, and valid UUIDs."""

import datetime as dt
from uuid import RFC_4122, UUID

from hypothesis import given
from hypothesis import strategies as st

from sending.identity import identify, lower_bound, milliseconds, moment_of, namer

MILLISECOND = dt.timedelta(milliseconds=1)
EPOCH = dt.datetime(1970, 1, 2, tzinfo=dt.UTC)
moments = st.builds(
    lambda after, zone: (EPOCH + after).astimezone(zone),
    st.timedeltas(dt.timedelta(), dt.timedelta(days=2_900_000)),
    st.timezones(),
)
causes = st.lists(st.one_of(st.integers(), st.text(max_size=20)), max_size=4)


def floor(moment: dt.datetime) -> dt.datetime:
    """The moment without what an id cannot hold, in UTC."""
    moment = moment.astimezone(dt.UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


@given(moments, causes)
def test_the_same_cause_has_the_same_id(moment: dt.datetime, cause: list[object]) -> None:
    assert identify(moment, *cause) == identify(moment.astimezone(dt.UTC), *cause)


@given(moments, causes, causes)
def test_different_causes_have_different_ids(
    moment: dt.datetime, one: list[object], other: list[object]
) -> None:
    same = [str(part) for part in one] == [str(part) for part in other]
    joined = "\x1f".join(map(str, one)) == "\x1f".join(map(str, other))

    assert (identify(moment, *one) == identify(moment, *other)) is (same or joined)


@given(moments, causes)
def test_an_id_is_a_uuid_of_version_8_with_its_time_first(
    moment: dt.datetime, cause: list[object]
) -> None:
    identity = identify(moment, *cause)

    assert (identity.version, identity.variant) == (8, RFC_4122)
    assert moment_of(identity) == floor(moment)
    assert UUID(str(identity)) == identity


@given(moments, causes)
def test_an_id_lies_within_the_bounds_of_its_millisecond(
    moment: dt.datetime, cause: list[object]
) -> None:
    identity = identify(moment, *cause)

    assert lower_bound(moment) <= identity < lower_bound(moment + MILLISECOND)


@given(moments, causes, causes.filter(bool))
def test_a_namer_names_what_it_is_asked_for_like_anybody_else(
    moment: dt.datetime, cause: list[object], lasts: list[object]
) -> None:
    name = namer(moment, *cause)

    for last in lasts:
        assert name(last) == identify(moment, *cause, last)


@given(moments, moments, causes, causes)
def test_ids_are_in_the_order_of_their_times(
    one: dt.datetime, other: dt.datetime, cause: list[object], another: list[object]
) -> None:
    early, late = sorted((one, other), key=milliseconds)

    if milliseconds(early) < milliseconds(late):
        assert identify(early, *cause) < identify(late, *another)


def test_a_known_id_never_changes() -> None:
    """What is in databases was made by this very function."""
    moment = dt.datetime(2026, 1, 2, 3, 4, 5, 678_000, dt.UTC)

    assert str(identify(moment, "run", 7, 42)) == "019b7ca9-8f2e-8b70-9d5a-7a0f7384285a"
