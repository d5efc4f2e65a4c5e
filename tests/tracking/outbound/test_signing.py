"""Signatures, judged by the package of the standard."""

import datetime as dt
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from tracking.outbound import signing


def now() -> dt.datetime:
    """The package refuses what is older than five minutes, and so may a test run be."""
    return dt.datetime.now(dt.UTC)


@given(body=st.dictionaries(st.text(), st.text()).map(json.dumps))
def test_the_standards_own_package_verifies_any_body(body: str) -> None:
    secret = signing.new_secret()

    headers = signing.headers("msg_1", body.encode(), keys=[secret], now=now())

    Webhook(secret).verify(body, headers)


def test_while_a_secret_is_replaced_both_verify_and_afterwards_only_the_new_one() -> None:
    before = signing.fresh()
    moment = now()
    kept = signing.rotated(before, moment)
    last_moment = moment + signing.OVERLAP - dt.timedelta(seconds=1)

    both = signing.in_force(kept, last_moment)
    one = signing.in_force(kept, moment + signing.OVERLAP)

    headers = signing.headers("msg_1", b"{}", keys=both, now=now())
    assert headers["webhook-signature"].count("v1,") == 2
    for secret in (before["current"], kept["current"]):
        Webhook(secret).verify("{}", headers)
    assert one == [kept["current"]]
    with pytest.raises(WebhookVerificationError):
        Webhook(before["current"]).verify(
            "{}", signing.headers("msg_1", b"{}", keys=one, now=now())
        )


def test_a_changed_body_and_another_id_do_not_verify() -> None:
    secret = signing.new_secret()
    headers = signing.headers("msg_1", b'{"a": 1}', keys=[secret], now=now())

    for body, changed in (('{"a": 2}', headers), ('{"a": 1}', headers | {"webhook-id": "msg_2"})):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(body, changed)
