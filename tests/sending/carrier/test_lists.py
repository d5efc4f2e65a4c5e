"""The opted-in lists: how the fake carrier serves them, and what is in those that it ships with."""

from __future__ import annotations

import gzip
import http.client
from collections import Counter
from pathlib import Path
from typing import Any

import phonenumbers
import pytest

from sending.carrier import behaviour, demo_lists, server


def lime_api(carrier: Any, event: str, **query: str) -> tuple[int, Any]:
    """(status, text)"""
    more = "".join(f"&{name}={value}" for name, value in query.items())
    return carrier.fetch(f"/limeApi?user=u&api_id=a&ev={event}{more}")


def test_a_list_is_served_whole(carrier: Any) -> None:
    shipped = gzip.decompress((server.LISTS / "wswd.xml.gz").read_bytes()).decode()
    assert lime_api(carrier, "optedInNumbers", optInListId="wswd") == (200, shipped)
    _, numbers = lime_api(carrier, "optedInNumbers", optInListId="wswd", isOnlyNumbers="true")
    assert numbers.count("<Mobile>") == shipped.count("</MobileNumber>")
    assert "<Email" not in numbers


@pytest.mark.parametrize("name", ["nothing", "..%2Fwswd", "", "wswd.xml"])
def test_an_unknown_list_is_refused(carrier: Any, name: str) -> None:
    assert lime_api(carrier, "optedInNumbers", optInListId=name)[0] == 400


@pytest.mark.parametrize(
    ("mode", "status", "start"), [("html", 200, "<html>"), ("empty", 200, "<Mobiles></"), ("error", 500, "Int")]
)  # fmt: skip
def test_a_list_can_be_served_badly(carrier: Any, mode: str, status: int, start: str) -> None:
    carrier.post("/_carrier/knobs", {"list_mode": mode})
    got, body = lime_api(carrier, "optedInNumbers", optInListId="ta")
    assert (got, body.startswith(start)) == (status, True)


def test_a_list_can_be_cut_in_the_middle(carrier: Any) -> None:
    carrier.post("/_carrier/knobs", {"list_mode": "cut", "list_cut_after": 30_000})
    with pytest.raises(http.client.IncompleteRead) as caught:
        lime_api(carrier, "optedInNumbers", optInListId="ta")
    assert len(caught.value.partial) == 30_000


def test_an_opt_out_shows_in_the_status(carrier: Any) -> None:
    shipped = gzip.decompress((server.LISTS / "ta.xml.gz").read_bytes()).decode()
    mobile = shipped.partition("<MobileNumber>")[2].partition("<")[0]
    before = lime_api(carrier, "optinStatus", type="optin", mobile=mobile)[1]
    assert "<listId>ta</listId>" in before
    assert lime_api(carrier, "optinStatus", type="optout", mobile=mobile) == (200, "")
    assert lime_api(carrier, "optout", mobile=mobile)[0] == 400
    assert lime_api(carrier, "optout", mobile=mobile, list_id="ta") == (200, "OK")
    assert "ta" in lime_api(carrier, "optinStatus", type="optout", mobile=mobile)[1]
    assert lime_api(carrier, "optinStatus", type="optin", mobile=mobile) == (200, "")


def test_demo_lists_are_reproducible_and_as_shipped(tmp_path: Path) -> None:
    for path in demo_lists.write(tmp_path, seed=1):
        shipped = server.LISTS / path.name
        assert gzip.decompress(path.read_bytes()) == gzip.decompress(shipped.read_bytes())


def test_demo_lists_hold_what_they_promise() -> None:
    found: dict[str, list[str]] = {}
    for wanted in demo_lists.LISTS:
        xml = gzip.decompress((server.LISTS / f"{wanted.name}.xml.gz").read_bytes()).decode()
        parts = [part.partition("</MobileNumber>")[0] for part in xml.split("<MobileNumber>")[1:]]
        assert xml.count("<Mobile>") == wanted.records
        assert len(parts) - len(set(parts)) >= wanted.duplicates
        found[wanted.name] = parts
    people = set(found["wswd"]) | set(found["ta"])
    assert 800 <= len(set(found["wswd"]) & set(found["ta"])) < 830
    assert 4_900 < len(people) < 5_100
    valid = [to for to in people - set(demo_lists.INVALID) if is_valid(to)]
    assert len(valid) == len(people - set(demo_lists.INVALID))
    magic = Counter(to[-4:] for to in people if to[-4:] in behaviour.MAGIC)
    assert set(magic) == behaviour.MAGIC
    assert magic["0408"] + magic["0409"] <= 2


def is_valid(mobile: str) -> bool:
    return phonenumbers.is_valid_number(phonenumbers.parse(f"+{mobile}"))
