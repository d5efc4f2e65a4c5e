"""Where a list comes from: files and real HTTP; whatever goes wrong is one sentence and exit 1."""

import asyncio
import base64
import gzip
import re
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from io import StringIO
from pathlib import Path
from queue import Queue

import pytest
import requests
from django.core.management import CommandError, call_command
from pytest_django import Settings

from sending.carrier import server
from subscribers.models import Brand, ContactList, Subscriber, Workspace
from tests.subscribers.conftest import list_xml, make_brand, record

# Characters that a query string escapes: a masked credential must be masked in both writings.
USER, API_ID = "mar/io", "s3cret+key&more"
ESCAPED = ("mar%2Fio", "s3cret%2Bkey%26more")

people = [record(number) for number in range(50)]


@pytest.fixture(scope="module")
def carrier(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a fake carrier that serves `people` as list 7."""
    folder = tmp_path_factory.mktemp("lists")
    (folder / "7.xml").write_bytes(list_xml(people))
    addresses: Queue[str] = Queue()
    loop, stop = asyncio.new_event_loop(), asyncio.Event()

    async def serve() -> None:
        options = server.Options(log=folder / "log.jsonl", lists=folder)
        async with server.serving(options) as url:
            addresses.put(url)
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=[serve()])
    thread.start()
    yield addresses.get(timeout=10)
    loop.call_soon_threadsafe(stop.set)
    thread.join(10)


@pytest.fixture
def knobs(carrier: str) -> Iterator[Callable[..., None]]:
    """knobs(list_mode="cut") makes the carrier misbehave until the test's end."""

    def turn(**wanted: object) -> None:
        asked = {"gateway": "lime", **wanted}
        requests.post(f"{carrier}/_carrier/knobs", json=asked, timeout=10).raise_for_status()

    yield turn
    requests.post(f"{carrier}/_carrier/reset", json={}, timeout=10).raise_for_status()


@pytest.fixture
def serve_bytes() -> Iterator[Callable[[bytes], str]]:
    """serve_bytes(answer) gives the address of a server that answers so and hangs up."""
    listeners = []

    def start(answer: bytes) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def run() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        asked = connection.recv(65536).split(b" ")[1]
                        connection.sendall(answer.replace(b"{asked}", asked))

        threading.Thread(target=run, daemon=True).start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    yield start
    for listener in listeners:
        listener.close()


@pytest.fixture
def brand(workspace: Workspace) -> Brand:
    return make_brand(workspace, sandbox=True)


@pytest.fixture
def contacts(brand: Brand) -> ContactList:
    return ContactList.objects.create(
        brand=brand, list_id="7", credentials={"user": USER, "api_id": API_ID}
    )


def sync(*arguments: str) -> str:
    """What the command prints."""
    out = StringIO()
    call_command("sync_subscribers", *arguments, stdout=out)
    return out.getvalue()


def refusal(*arguments: str) -> str:
    """The command's one sentence; a CommandError ends manage.py with exit code 1."""
    with pytest.raises(CommandError) as refused:
        sync(*arguments)
    sentence = str(refused.value)
    assert refused.value.returncode == 1
    assert sentence.endswith(".")
    assert len(sentence.splitlines()) == 1
    assert not any(word in sentence for word in (USER, API_ID, *ESCAPED))
    return sentence


@pytest.fixture
def at(settings: Settings, contacts: ContactList) -> Callable[[str], None]:
    """at(url) makes the contact list's provider live there."""

    def point(url: str) -> None:
        settings.FAKE_CARRIER_URL = url

    return point


def test_a_list_in_a_file_is_synced_and_reported(brand: Brand, tmp_path: Path) -> None:
    path = tmp_path / "people.xml"
    path.write_bytes(list_xml([record(0), record(1), record(1), {"MobileNumber": "12"}]))

    printed = sync("--brand", "wswd", "--file", str(path))

    assert printed.splitlines() == [
        "list people.xml: read 4, new 2, changed 0, unchanged 0, refused 2",
        "  refused, duplicate: 1",
        "  refused, phone_too_short: 1",
    ]


def test_a_zipped_list_in_a_file_is_synced(brand: Brand, tmp_path: Path) -> None:
    path = tmp_path / "people.xml.gz"
    path.write_bytes(gzip.compress(list_xml(people)))

    assert "read 50, new 50," in sync("--brand", "acme/wswd", "--file", str(path))


@pytest.mark.parametrize("end", [-1, -20, 200])
def test_a_zipped_list_that_breaks_off_keeps_what_was_read(
    brand: Brand, tmp_path: Path, end: int
) -> None:
    path = tmp_path / "people.xml.gz"
    many = [record(number, UserDefine1=secrets.token_hex(90)) for number in range(300)]
    path.write_bytes(gzip.compress(list_xml(many))[:end])

    if end == -1:  # only the check sum is damaged: everybody was read
        assert "new 300," in sync("--brand", "wswd", "--file", str(path))
        return
    sentence = refusal("--brand", "wswd", "--file", str(path))
    assert "broke off" in sentence or "not a contact list" in sentence
    assert Subscriber.objects.exists() == (end == -20)


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        (b"", "not a contact list|empty"),
        (b"\x1f\x8bno zip at all", "not a contact list|empty"),
        (b"<html></html>", "starts with <html>"),
        (b"<!DOCTYPE Mobiles><Mobiles/>", "document type"),
        (b"<Mobiles></Mobiles>", "List people.xml is empty: nobody was changed"),
    ],
)
def test_a_file_that_is_no_list_changes_nobody(
    brand: Brand, tmp_path: Path, document: bytes, sentence: str
) -> None:
    path = tmp_path / "people.xml"
    path.write_bytes(document)

    assert re.search(sentence, refusal("--brand", "wswd", "--file", str(path)))
    assert not Subscriber.objects.exists()


def test_a_file_that_cannot_be_read_is_named(brand: Brand, tmp_path: Path) -> None:
    missing = tmp_path / "none.xml"

    assert f"{missing} cannot be read" in refusal("--brand", "wswd", "--file", str(missing))
    assert f"{tmp_path} cannot be read" in refusal("--brand", "wswd", "--file", str(tmp_path))


def test_an_unknown_brand_is_refused_with_those_that_exist(brand: Brand) -> None:
    assert refusal("--brand", "nope") == "There is no brand 'nope'; there are: wswd."


def test_a_brand_of_two_workspaces_must_be_named_with_its_own(
    brand: Brand, other_workspace: Workspace
) -> None:
    make_brand(other_workspace)

    assert "say which: acme/wswd, zenith/wswd" in refusal("--brand", "wswd")


def test_a_brand_without_a_list_is_told_what_to_do(brand: Brand) -> None:
    assert "has no contact list; add one in the admin" in refusal("--brand", "wswd")


def test_a_list_of_the_provider_is_synced(
    carrier: str, at: Callable[[str], None], contacts: ContactList
) -> None:
    at(carrier)

    printed = sync("--brand", "wswd")

    contacts.refresh_from_db()
    assert printed == "list 7: read 50, new 50, changed 0, unchanged 0, refused 0\n"
    assert contacts.last_synced_at is not None


@pytest.mark.parametrize(
    ("mode", "sentence"),
    [
        ("error", "refused with HTTP 500 .*try again later"),
        ("html", "starts with <html>.*check the provider's address"),
        ("empty", "List 7 is empty: nobody was changed"),
    ],
)
def test_a_provider_that_serves_no_list_changes_nobody(
    carrier: str, at: Callable[[str], None], knobs: Callable[..., None], mode: str, sentence: str
) -> None:
    at(carrier)
    knobs(list_mode=mode)

    assert re.search(sentence, refusal("--brand", "wswd"))
    assert not Subscriber.objects.exists()
    assert ContactList.objects.get().last_synced_at is None


def test_a_wrong_key_says_which_settings_to_check(
    carrier: str, at: Callable[[str], None], contacts: ContactList
) -> None:
    at(carrier)
    contacts.credentials = {"user": "wrong-user", "api_id": API_ID}
    contacts.save()

    sentence = refusal("--brand", "wswd")

    assert "HTTP 400" in sentence
    assert "check the user and api_id" in sentence
    assert "wrong-user" not in sentence


def test_a_connection_that_is_cut_keeps_what_was_read_and_the_next_run_goes_on(
    carrier: str, at: Callable[[str], None], knobs: Callable[..., None]
) -> None:
    at(carrier)
    knobs(list_mode="cut", list_cut_after=4_000)

    sentence = refusal("--brand", "wswd")
    read = Subscriber.objects.count()
    knobs(list_mode="normal")
    printed = sync("--brand", "wswd")

    assert "broke off" in sentence
    assert "What was read is kept; run this again to go on." in sentence
    assert read == list_xml(people)[:4_000].count(b"</Mobile>")
    assert f"new {50 - read}, changed 0, unchanged {read}," in printed


def test_a_provider_that_cannot_be_reached_is_one_sentence(at: Callable[[str], None]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        dead = f"http://127.0.0.1:{taken.getsockname()[1]}"
    at(dead)

    assert "The provider cannot be reached" in refusal("--brand", "wswd")


HEAD = b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n"


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (b"", "cannot be reached"),
        (b"SSH-2.0-OpenSSH_9\r\n", "cannot be reached"),
        (HEAD % (b"404 Not Found", 500) + b"No page {asked} here", "HTTP 404"),
        (HEAD % (b"400 Bad Request", 35) + b"mar/io: s3cret+key&more is not valid", "HTTP 400"),
        (HEAD % (b"500 Oops", 0), "no words"),
        (HEAD % (b"500 Oops", 100) + b"half a", "HTTP 500"),
        (HEAD % (b"302 Found", 0), "HTTP 302"),
        (b"HTTP/1.1 302 Found\r\nLocation: gopher://x\r\n\r\n", "cannot be reached"),
        (HEAD % (b"200 OK", 0), "not a contact list|empty"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nno zip", "not a contact list|empty"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "not a contact|empty"),
    ],
)
def test_no_answer_of_a_provider_is_more_than_one_sentence_or_tells_credentials(
    at: Callable[[str], None], serve_bytes: Callable[[bytes], str], answer: bytes, sentence: str
) -> None:
    at(serve_bytes(answer))

    assert re.search(sentence, refusal("--brand", "wswd"))


def test_a_brand_that_is_no_sandbox_needs_the_address_of_its_provider(
    contacts: ContactList, settings: Settings
) -> None:
    Brand.objects.update(sandbox=False)
    settings.PROVIDER_URLS = {"lime": ""}

    assert "LIME_URL is not set" in refusal("--brand", "wswd")


def test_a_list_whose_clock_is_no_time_zone_is_one_sentence(
    carrier: str, at: Callable[[str], None], contacts: ContactList
) -> None:
    at(carrier)
    ContactList.objects.update(clock="Mars/Olympus")

    assert "'Mars/Olympus' is not a time zone" in refusal("--brand", "wswd")
    assert not Subscriber.objects.exists()


def test_credentials_that_no_key_opens_are_one_sentence(
    contacts: ContactList, settings: Settings
) -> None:
    settings.CREDENTIAL_KEYS = [base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()]

    assert "No key in CREDENTIAL_KEYS opens these credentials" in refusal("--brand", "wswd")
