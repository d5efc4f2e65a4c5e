"""Lime's list in XML: read as a stream, whatever comes."""

import contextlib
import gzip
import io
import itertools
import os
import re
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subscribers import phones
from subscribers.sync import lime_xml
from subscribers.sync.lime_xml import ListCutError, ListError, records
from tests import nasty
from tests.subscribers.conftest import list_xml, record

ROOT = Path(__file__).parents[2]
STATUS = Path("/proc/self/status")

BILLION_LAUGHS = b"""<?xml version="1.0"?>
<!DOCTYPE Mobiles [
 <!ENTITY a "haha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">
 <!ENTITY d "&c;&c;&c;&c;&c;&c;&c;&c;"><!ENTITY e "&d;&d;&d;&d;&d;&d;&d;&d;">
]>
<Mobiles><Mobile><MobileNumber>12125551000</MobileNumber><FirstName>&e;</FirstName></Mobile></Mobiles>
"""
PIECES = (
    b"<Mobiles>", b"</Mobiles>", b"<Mobile>", b"</Mobile>", b"<Mobile/>", b"<FirstName>",
    b"</FirstName>", b"12125551000", b"&amp;", b"&e;", b"&#0;", b"<!-- x -->", b"<![CDATA[<]]>",
    b"<?xml version='1.0' encoding='utf-16'?>", b"<?xml version='1.0' encoding='none-such'?>",
    b"<!DOCTYPE Mobiles>", b"<?php ?>", b"\xff\xfe", b"\x00", b"\xc3(", b"<a:b>", b" ",
)  # fmt: skip


def read(document: bytes) -> list[dict[str, str]]:
    return list(records(io.BytesIO(document)))


def outcome(document: bytes) -> list[dict[str, str]] | str:
    """The records, or the sentence that refuses them."""
    try:
        return read(document)
    except ListError as error:
        return str(error)


def test_a_list_is_read_record_by_record() -> None:
    assert read(list_xml([record(0), record(1)])) == [record(0), record(1)]


def test_a_record_has_its_known_fields_and_the_user_defined_ones_that_are_not_empty() -> None:
    document = b"""<?xml version="1.0" encoding="UTF-8"?>
      <Mobiles><!-- made by hand -->
        <Mobile><MobileNumber> 12125551000 </MobileNumber><FirstName/><LastName> </LastName>
          <Gender>F</Gender><Shoe>42</Shoe><UserDefine1>gold</UserDefine1><UserDefine2/></Mobile>
        <Mobile/>
      </Mobiles>"""

    assert read(document) == [
        {"MobileNumber": "12125551000", "Gender": "F", "UserDefine1": "gold"},
        {},
    ]


def test_letters_of_every_alphabet_and_escapes_are_read() -> None:
    names = [record(FirstName=name) for name in ("Zoë", "王", "O'Neil & <Sons>")]

    assert read(list_xml(names)) == names


@pytest.mark.parametrize(
    "document",
    [
        BILLION_LAUGHS,
        b"<!DOCTYPE Mobiles><Mobiles><Mobile/></Mobiles>",
        b'<!DOCTYPE Mobiles SYSTEM "http://127.0.0.1:1/evil.dtd"><Mobiles><Mobile/></Mobiles>',
    ],
    ids=["billion laughs", "empty", "external"],
)
def test_a_document_type_is_refused_before_a_record_is_read(document: bytes) -> None:
    with pytest.raises(ListError, match="declares a document type"):
        next(records(io.BytesIO(document)))


def test_an_external_entity_is_never_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("the crown jewels")
    document = (
        f'<!DOCTYPE Mobiles [<!ENTITY file SYSTEM "{secret.as_uri()}">]><Mobiles><Mobile>'
        "<FirstName>&file;</FirstName></Mobile></Mobiles>"
    )

    with pytest.raises(ListError) as refused:
        read(document.encode())

    assert "jewels" not in str(refused.value)


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        (b"<html><body>Maintenance</body></html>", "starts with <html>, not <Mobiles>"),
        (b"<!DOCTYPE html><html><body>x</body></html>", "document type"),
        (b"Invalid optInListId", "not a contact list in XML"),
        (b'{"error": "busy"}', "not a contact list in XML"),
        (b"", "not a contact list in XML|answer is empty"),
        (b"  \n", "not a contact list in XML|answer is empty"),
        (b"<lists type='optin'/>", "starts with <lists>"),
        (b"<m:Mobiles xmlns:m='urn:x'/>", "not a contact list"),
    ],
)
def test_what_is_no_list_is_refused_in_one_sentence(document: bytes, sentence: str) -> None:
    with pytest.raises(ListError, match=sentence) as refused:
        read(document)

    assert not isinstance(refused.value, ListCutError)
    assert len(str(refused.value).splitlines()) == 1


def test_a_list_without_records_is_a_list() -> None:
    assert read(b"<Mobiles></Mobiles>") == []


@pytest.mark.parametrize("tail", [b"", b"<Mobile><FirstNa", b"<Mobile><MobileNumber>1212</Mobile>"])
def test_a_list_that_breaks_off_gives_what_was_read_and_says_so(tail: bytes) -> None:
    whole = list_xml([record(0), record(1)])
    stream = io.BytesIO(whole.removesuffix(b"</Mobiles>") + tail)
    found = []

    with pytest.raises(ListCutError, match="The list broke off"):  # noqa: PT012 - the loop is the act
        for one in records(stream):
            found.append(one)  # noqa: PERF402 - a list() would lose what came before the end

    assert found == [record(0), record(1)]


def test_a_field_of_a_megabyte_is_cut_to_a_name_and_the_rest_is_read() -> None:
    found = read(list_xml([record(0, FirstName="x" * 1_000_000), record(1)]))

    assert found[0]["FirstName"] == "x" * lime_xml.LONGEST_FIELD
    assert found[1] == record(1)


@nasty.THOROUGH
@given(nasty.seeds)
def test_whatever_comes_is_records_that_can_be_kept_or_a_list_error(random: Random) -> None:
    known = record(FirstName="Ada", UserDefine1="gold")
    document = nasty.body(random, lambda random: nasty.xml(random, "Mobiles", "Mobile", known))

    found = outcome(document)

    if isinstance(found, str):
        assert len(found.splitlines()) == 1
        return
    for one in found:
        assert all(0 < len(value) <= lime_xml.LONGEST_FIELD for value in one.values())
        assert all("\0" not in value and value.encode() for value in one.values())
        assert "root:" not in str(one)  # of a file that an entity names
        with contextlib.suppress(phones.InvalidPhone):
            number = phones.parse(one.get("MobileNumber", "")).e164
            assert re.fullmatch(r"\+[1-9][0-9]{6,14}", number, re.ASCII)


@settings(deadline=None, max_examples=300)
@given(st.binary() | st.lists(st.sampled_from(PIECES)).map(b"".join))
def test_no_bytes_raise_anything_but_a_list_error(document: bytes) -> None:
    found = outcome(document)

    assert isinstance(found, list) or len(found.splitlines()) == 1


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 400), st.binary(min_size=1, max_size=8))
def test_no_damage_in_the_middle_of_a_list_raises_anything_but_a_list_error(
    place: int, damage: bytes
) -> None:
    whole = list_xml([record(0), record(1)])

    found = outcome(whole[:place] + damage + whole[place + len(damage) :])

    assert isinstance(found, list) or len(found.splitlines()) == 1


def test_a_list_is_read_in_flat_memory() -> None:
    small, large = _peak(20_000), _peak(100_000)

    assert large - small < 4 * 1024  # kilobytes; the list itself grows by 30 megabytes


_MEASURE = """
import resource, sys
from subscribers.sync.lime_xml import records

class Stream:
    def __init__(self, count):
        self.parts = self.made(count)
        self.rest = b""

    def made(self, count):
        yield b"<Mobiles>"
        for number in range(count):
            yield b"<Mobile><MobileNumber>1212%07d</MobileNumber>" % number
            yield b"<Email>person%d@example.com</Email><UserDefine1>" % number
            yield b"x" * 300 + b"</UserDefine1></Mobile>"
        yield b"</Mobiles>"

    def read(self, size):
        while len(self.rest) < size:
            part = next(self.parts, b"")
            if not part:
                break
            self.rest += part
        given, self.rest = self.rest[:size], self.rest[size:]
        return given

count = int(sys.argv[1])
assert sum(1 for _ in records(Stream(count))) == count
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(peak // 1024 if sys.platform == "darwin" else peak)
"""


def _peak(count: int) -> int:
    """The most memory, in kilobytes, that a fresh process needs to read a list of so many."""
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE, str(count)],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True,
        capture_output=True, text=True,
    )  # fmt: skip
    return int(done.stdout)


@pytest.mark.skipif(not STATUS.exists(), reason="only Linux tells what is resident")
def test_what_is_no_record_is_not_kept_in_memory_either() -> None:
    parent = records(Strangers(300_000))

    before = _resident()
    assert list(parent) == []
    assert _resident() - before < 8 * 1024  # kilobytes; kept, they take 50 megabytes


class Strangers(io.RawIOBase):
    """A list of so many elements that nobody knows, with a comment before each."""

    def __init__(self, count: int) -> None:
        self.parts = iter([b"<Mobiles>", *[b"<x/><!--y--><?z?>"] * count, b"</Mobiles>"])

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return b"".join(itertools.islice(self.parts, 1000))


def _resident() -> int:
    """What this process has in memory, in kilobytes."""
    return int(STATUS.read_text().partition("VmRSS:")[2].split()[0])


@pytest.mark.parametrize(
    "inner", [b"<FirstName/>" * 600, b"<a>" * 200 + b"</a>" * 200 + b"<b/>" * 400]
)
def test_a_record_without_end_is_refused_before_it_is_kept(inner: bytes) -> None:
    with pytest.raises(ListError, match="more than 500 fields"):
        read(b"<Mobiles><Mobile>" + inner + b"</Mobile></Mobiles>")


def test_a_zipped_list_is_no_list_to_the_reader() -> None:
    with pytest.raises(ListError):
        read(gzip.compress(list_xml([record()])))
