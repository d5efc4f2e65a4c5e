"""Secrets at rest: encrypted credentials whose keys rotate, and keyed hashes of numbers."""

import pytest
from cryptography.fernet import Fernet
from django.core import serializers
from django.db import connection
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pytest_django import Settings

from subscribers.models import Brand, ContactList, Subscriber, Workspace
from subscribers.secrets import CredentialsUnreadable, phone_hash
from tests.subscribers.conftest import make_person, phone

SECRET = {"user": "mario", "api_id": "s3cret é"}


@pytest.fixture
def row(brand: Brand) -> ContactList:
    return ContactList.objects.create(brand=brand, list_id="7", credentials=SECRET)


def new_key() -> str:
    return Fernet.generate_key().decode()


def stored() -> bytes:
    with connection.cursor() as cursor:
        cursor.execute("SELECT credentials FROM subscribers_contactlist")
        return bytes(cursor.fetchone()[0])


def test_credentials_come_back_and_are_stored_encrypted(row: ContactList) -> None:
    row.refresh_from_db()

    assert row.credentials == SECRET
    assert not any(word in stored() for word in (b"mario", b"s3cret", b"user", b"api_id"))


def test_the_same_credentials_are_never_stored_alike(row: ContactList) -> None:
    first = stored()

    row.save()

    assert stored() != first


def test_a_new_key_in_front_opens_the_old_and_closes_the_new(
    row: ContactList, settings: Settings
) -> None:
    old, new = settings.CREDENTIAL_KEYS[0], new_key()
    settings.CREDENTIAL_KEYS = [new, old]
    row.refresh_from_db()
    assert row.credentials == SECRET

    row.save()
    settings.CREDENTIAL_KEYS = [new]

    assert ContactList.objects.get().credentials == SECRET


def test_a_key_that_is_only_in_front_still_needs_the_old_one(
    row: ContactList, settings: Settings
) -> None:
    settings.CREDENTIAL_KEYS = [new_key(), new_key()]

    with pytest.raises(CredentialsUnreadable, match=r"No key in CREDENTIAL_KEYS .* enter them"):
        ContactList.objects.get()


@pytest.mark.parametrize("place", [0, 20, 60, -1])
def test_credentials_that_somebody_changed_are_unreadable(row: ContactList, place: int) -> None:
    changed = bytearray(stored())
    changed[place] ^= 1
    with connection.cursor() as cursor:
        cursor.execute("UPDATE subscribers_contactlist SET credentials = %s", [bytes(changed)])

    with pytest.raises(CredentialsUnreadable) as refused:
        ContactList.objects.get()

    assert refused.value.__cause__ is None
    assert "s3cret" not in str(refused.value)


def test_other_columns_are_read_where_no_key_opens_the_credentials(
    row: ContactList, settings: Settings
) -> None:
    settings.CREDENTIAL_KEYS = [new_key()]

    assert ContactList.objects.defer("credentials").get().list_id == "7"
    assert ContactList.objects.update(list_id="8") == 1


def test_credentials_that_no_key_opens_can_be_entered_again(
    row: ContactList, settings: Settings
) -> None:
    settings.CREDENTIAL_KEYS = [new_key()]
    again = ContactList.objects.defer("credentials").get()

    again.credentials = {"user": "luigi"}
    again.save()

    assert ContactList.objects.get().credentials == {"user": "luigi"}


def test_a_dump_of_the_database_holds_no_credentials(row: ContactList) -> None:
    dumped = serializers.serialize("json", [row])

    assert "s3cret" not in dumped
    assert "mario" not in dumped


def test_the_hash_of_a_number_differs_by_workspace(
    workspace: Workspace, other_workspace: Workspace
) -> None:
    ours, theirs = make_person(workspace), make_person(other_workspace)

    assert ours.phone == theirs.phone
    assert bytes(ours.phone_hash) != bytes(theirs.phone_hash)
    assert bytes(ours.phone_hash) == phone_hash(workspace.pk, ours.phone)


def test_the_hash_of_a_number_cannot_be_made_without_the_key(settings: Settings) -> None:
    before = phone_hash(1, phone())
    settings.PHONE_HASH_KEY = "x" * 48

    assert phone_hash(1, phone()) != before
    assert len(before) == 32


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(1000, 9999)), max_size=40))
@hypothesis_settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30
)
def test_two_hashes_are_the_same_only_for_the_same_number_of_the_same_workspace(
    pairs: list[tuple[int, int]],
) -> None:
    hashes = {phone_hash(workspace, f"+1{number}") for workspace, number in pairs}

    assert len(hashes) == len(set(pairs))


def test_the_stored_hash_follows_the_number(workspace: Workspace) -> None:
    person = make_person(workspace)
    person.phone = phone(1)

    person.save()

    found = Subscriber.objects.get(phone_hash=phone_hash(workspace.pk, phone(1)))
    assert found == person
