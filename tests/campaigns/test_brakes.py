"""What a marketer reads when a campaign paused by itself."""

import datetime as dt
from decimal import Decimal

import pytest

from campaigns import brakes
from campaigns.brakes import Cause, Share, Watched
from campaigns.models import Campaign


@pytest.mark.parametrize("cause", list(Cause))
def test_the_sentence_says_figures_limit_and_advice_and_fits(cause: Cause) -> None:
    long_ago = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    limits = {each: Decimal("12.5") for each in Cause}
    one = Watched(1, 1, long_ago, dt.timedelta(hours=1), None, 200, limits)

    words = brakes.sentence(one, Share(cause, 9_999_999, 10_000_000))

    assert "9,999,999 of 10,000,000 (100.0 %)" in words
    assert "the limit is 12.5 %" in words
    assert words.endswith("then resume or cancel.")
    assert len(words) <= Campaign._meta.get_field("status_reason").max_length
