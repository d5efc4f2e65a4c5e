"""Lime's `optedInNumbers` answer, read record by record. Source: providers.md (A).

The whole list is one answer of up to 50 MB, so it is parsed as it streams and nothing is kept.
"""

from collections.abc import Iterator
from typing import BinaryIO

from lxml import etree

FIELDS = (
    "MobileNumber",
    "OptInDate",
    "FirstName",
    "LastName",
    "Gender",
    "DateOfBirth",
    "Email",
    "Zipcode",
    "Keyword",
    "ShortCode",
)
LONGEST_FIELD = 200  # characters: what is longer is no name
MOST_FIELDS = 500  # elements of one record: what has more is none, and would be kept in memory


class ListError(Exception):
    """What came is not a contact list; the message says what it is and what to do."""


class ListCutError(ListError):
    """The list ended in the middle; what was read until then is good."""


def records(stream: BinaryIO) -> Iterator[dict[str, str]]:
    """Each `Mobile` element as a dict of its non-empty fields, `UserDefine1` and so on included.

    Raises ListError for anything but a list, ListCutError where a list breaks off. A document
    type is refused, since it can declare entities; none is ever expanded.
    """
    events = etree.iterparse(
        stream,
        events=("start", "end"),
        resolve_entities=False,
        load_dtd=False,
        no_network=True,
        huge_tree=False,
        recover=False,
        remove_comments=True,
        remove_pis=True,
    )
    inside, depth, fields = False, 0, 0
    try:
        for event, element in events:
            if not inside:
                _check_root(element)
                inside = True
            if event == "start":
                depth += 1
                fields += 1
                _check_size(fields)
                continue
            depth -= 1
            if depth == 1:
                if element.tag == "Mobile":
                    yield _record(element)
                _forget(element)
                fields = 0
    except etree.XMLSyntaxError as error:
        if not inside:
            raise ListError(f"This is not a contact list in XML: {_first_line(error)}.") from None
        raise ListCutError(f"The list broke off: {_first_line(error)}.") from None
    if not inside:
        raise ListError("The answer is empty; check the list's id and try again.")


def _check_root(element: etree._Element) -> None:
    if element.getroottree().docinfo.internalDTD is not None:
        raise ListError("The list declares a document type, which is refused.")
    if element.tag != "Mobiles":
        raise ListError(
            f"This is not a contact list: it starts with <{str(element.tag)[:40]}>, not <Mobiles>;"
            " check the provider's address and the list's id."
        )


def _check_size(fields: int) -> None:
    if fields > MOST_FIELDS:
        raise ListCutError(f"The list broke off: a record has more than {MOST_FIELDS} fields.")


def _record(element: etree._Element) -> dict[str, str]:
    found = {}
    for child in element:
        if not isinstance(child.tag, str):
            continue
        text = (child.text or "").strip()[:LONGEST_FIELD]
        if text and (child.tag in FIELDS or child.tag.startswith("UserDefine")):
            found[child.tag] = text
    return found


def _forget(element: etree._Element) -> None:
    """Free the record: without this the tree grows to the size of the list."""
    element.clear()
    parent = element.getparent()
    while parent is not None and element.getprevious() is not None:
        del parent[0]


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:120] if str(error) else "it is empty"
