"""A worker's lease must outlive the calls that it starts: the check that refuses to start otherwise."""

from typing import Any

import pytest

from config import checks


@pytest.mark.parametrize(("lease", "errors"), [(60.0, []), (50.0, []), (49.0, ["config.E001"])])
def test_a_lease_that_ends_before_its_calls_is_refused(
    settings: Any, lease: float, errors: list[str]
) -> None:
    settings.SENDING_LEASE_SECONDS = lease
    assert [error.id for error in checks.lease_outlives_its_calls()] == errors
