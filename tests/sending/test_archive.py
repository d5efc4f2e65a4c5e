"""Old months leave the database, and nothing that is still needed goes with them."""

import csv
import datetime as dt
import hashlib
import io
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from campaigns.models import Campaign, Run
from sending import archive, archive_files, progress
from sending.archive_models import ArchivedMonth, kept_since
from sending.link_models import ShortLink
from sending.models import ProviderMessage, QueuedText, Sender, SentLog, State
from subscribers import clock
from subscribers.models import Brand
from tests import archive_world as old
from tests import sending_world as world
from tests.archive_world import NEXT, OLD

HOUR = dt.timedelta(hours=1)


@pytest.fixture
def folder(installed: None, tmp_path: Path, settings: Any) -> Iterator[Path]:
    """Where the files go; two old months are there, and gone afterwards."""
    settings.ARCHIVE_DIR = tmp_path / "archive"
    old.make_months(OLD, NEXT)
    yield settings.ARCHIVE_DIR
    old.drop_months(OLD, NEXT)


@pytest.fixture
def run(folder: Path, brand: Brand) -> Run:
    """Five texts of the older month."""
    run = old.make_run(brand, OLD + HOUR)
    old.make_texts(run, world.make_people(brand, 5), (State.DELIVERED, State.SKIPPED))
    return run


def archived(*arguments: str) -> str:
    told = io.StringIO()
    call_command("archive", *arguments, stdout=told)
    return told.getvalue()


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open("rb") as file:
        told = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True).read()
    return list(csv.DictReader(io.StringIO(told.decode())))


def test_an_old_month_is_in_files_and_no_longer_in_the_database(run: Run, folder: Path) -> None:
    ids = {str(pk) for pk in SentLog.objects.values_list("id", flat=True)}

    told = archived()

    assert "2021-05 is archived: 5 texts, 0 events" in told
    assert old.months() == []
    assert not SentLog.objects.exists()
    assert {row["id"] for row in rows_of(folder / "sending_sentlog_2021_05.csv.zst")} == ids
    month = ArchivedMonth.objects.get(month=OLD.date())
    assert (month.texts, month.events) == (5, 0)
    file = next(one for one in month.files if one["rows"])
    assert file["sha256"] == hashlib.sha256((folder / file["name"]).read_bytes()).hexdigest()
    assert kept_since() == dt.datetime(2021, 7, 1, tzinfo=dt.UTC)


def test_the_files_hold_no_number_and_no_words(run: Run, folder: Path) -> None:
    texts = list(SentLog.objects.all())
    archived()

    told = json.dumps(rows_of(folder / "sending_sentlog_2021_05.csv.zst"))

    assert all(text.phone not in told and text.phone[1:] not in told for text in texts)
    assert "private" not in told
    assert (folder / "sending_sentlog_2021_05.csv.zst").stat().st_mode & 0o077 == 0


def test_a_dry_run_tells_what_would_go_and_changes_nothing(run: Run, folder: Path) -> None:
    told = archived("--dry-run")

    assert "2021-05 would go: 5 texts" in told
    assert "2 months would be archived" in told
    assert SentLog.objects.count() == 5
    assert not folder.exists()


def test_archiving_again_archives_nothing(run: Run) -> None:
    archived()

    assert archived().startswith("0 months were archived")
    assert ArchivedMonth.objects.count() == 2


def test_months_that_are_younger_than_the_setting_stay(run: Run, settings: Any) -> None:
    settings.KEEP_TEXTS_DAYS = (clock.now() - NEXT).days + 1

    assert archived().startswith("0 months")
    settings.KEEP_TEXTS_DAYS = (clock.now() - NEXT).days - 1

    assert archived().startswith("2021-05 is archived")
    assert old.months() == ["2021-06"]


def test_the_totals_stay_and_the_books_balance(run: Run, sender: Sender, capsys: Any) -> None:
    campaign = run.campaign
    before = progress.of_campaign(campaign)
    young = world.planned_texts(sender.brand, 2)

    archived()

    assert progress.of_campaign(campaign) == before
    call_command("audit_ledger")
    call_command("audit_ledger", campaign=campaign.pk)
    call_command("audit_ledger", campaign=young[0].campaign_id)
    assert capsys.readouterr().out.count("The books balance.") == 3


def test_an_audit_still_finds_what_is_wrong_in_the_months_that_stay(
    run: Run, sender: Sender
) -> None:
    text = world.planned_texts(sender.brand)[0]
    archived()
    Run.objects.filter(pk=text.run_id).update(audience=7)

    with pytest.raises(CommandError, match="1 differences"):
        call_command("audit_ledger")

    Run.objects.filter(pk=text.run_id).update(audience=6)


def test_what_names_the_texts_goes_with_them(run: Run, sender: Sender) -> None:
    text, young = SentLog.objects.first(), world.planned_texts(sender.brand)[0]
    for one in (text, young):
        ProviderMessage.objects.create(provider_id=f"P{one.pk}", sender=sender, text_id=one.pk)
        ShortLink.objects.create(
            code=one.pk.hex[-12:], text_id=one.pk, link_id=1, brand_id=one.brand_id
        )

    archived()

    assert ProviderMessage.objects.get().text_id == young.pk
    assert ShortLink.objects.get().text_id == young.pk


def still_planned(run: Run) -> None:
    text = SentLog.objects.filter(state=State.SKIPPED).first()
    SentLog.objects.filter(pk=text.pk).update(state=State.PLANNED)
    QueuedText.objects.create(id=text.pk, brand=run.brand, lane=1, due_at=clock.now())


def in_doubt(run: Run) -> None:
    SentLog.objects.filter(state=State.DELIVERED).update(state=State.UNKNOWN, reason="timeout")


def not_finished(run: Run) -> None:
    Run.objects.update(finished_at=None)


def paused(run: Run) -> None:
    Campaign.objects.update(status=Campaign.Status.PAUSED)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (still_planned, "2021-05 stays: 1 of its texts are planned or on their way."),
        (in_doubt, "3 of its texts are unknown and not closed"),
        (not_finished, r"run \d+ of campaign \d+ is not finished"),
        (paused, r"campaign \d+ is not over"),
    ],
)
def test_a_month_that_something_needs_stays_and_so_does_what_came_after(
    run: Run, folder: Path, spoil: Callable[[Run], None], says: str
) -> None:
    spoil(run)

    with pytest.raises(CommandError, match=says):
        archived()
    with pytest.raises(CommandError, match=says):
        archived("--dry-run")

    assert old.months() == ["2021-05", "2021-06"]
    assert SentLog.objects.count() == 5
    assert not folder.exists()


def fail(begin: dt.datetime, end: dt.datetime) -> None:
    raise ZeroDivisionError


def test_one_that_dies_before_the_drop_left_everything_and_the_next_one_goes_on(
    run: Run, folder: Path, settings: Any
) -> None:
    steps = settings.ARCHIVE_STEPS
    settings.ARCHIVE_STEPS = [*steps, f"{__name__}.fail"]
    with pytest.raises(ZeroDivisionError):
        archived()
    assert SentLog.objects.count() == 5
    assert not ArchivedMonth.objects.exists()
    (folder / "sending_sentlog_2021_05.csv.zst").write_bytes(b"half a file")

    settings.ARCHIVE_STEPS = steps
    archived()

    assert len(rows_of(folder / "sending_sentlog_2021_05.csv.zst")) == 5
    assert not SentLog.objects.exists()


def test_a_folder_that_cannot_be_written_is_said_in_a_sentence_and_drops_nothing(
    run: Run, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(CommandError, match="2021-05 stays: it cannot be written"):
        archived("--folder", str(tmp_path / "file" / "archive"))

    assert SentLog.objects.count() == 5


def test_a_month_that_changes_while_it_is_written_stays(run: Run, folder: Path) -> None:
    month = next(archive.old_months(clock.now()))
    written = archive_files.write(folder, archive.LOG, OLD, archive.COLUMNS[archive.LOG].split())
    SentLog.objects.filter(state=State.DELIVERED).update(changed_at=clock.now())

    with pytest.raises(archive.Kept, match="it changed while it was written"):
        archive._drop(month, [written])

    assert SentLog.objects.count() == 5


def test_of_two_that_archive_the_same_month_one_does(run: Run, folder: Path) -> None:
    month = next(archive.old_months(clock.now()))
    columns = archive.COLUMNS[archive.LOG].split()
    files = [archive_files.write(folder, archive.LOG, OLD, columns)]

    def drop() -> str:
        try:
            archive._drop(month, files)
        except archive.Kept as kept:
            return str(kept)
        return ""

    told = sorted(world.at_once(drop, drop))

    assert told[0] == ""
    assert "archived by another command" in told[1]
    assert ArchivedMonth.objects.count() == 1


def test_a_log_that_is_read_all_the_time_keeps_its_month_for_now(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "LOCK_TRIES", 1)
    monkeypatch.setattr(archive, "LOCK_SECONDS", 1)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM sending_sentlog")
        [told] = world.at_once(refused)

    assert told.startswith("2021-05 stays for now: the log is too busy")
    assert SentLog.objects.count() == 5


def refused() -> str:
    try:
        archived()
    except CommandError as error:
        return str(error)
    return ""


def test_a_damaged_file_is_noticed(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that keeps half of what it was given: the only way to have one is to pretend."""
    copied = archive_files._copy

    def halve(path: Path, query: str) -> str:
        digest = copied(path, query)
        shutil.copy(path, f"{path}.whole")
        path.write_bytes(zstandard.compress(b"id\n"))
        return digest

    monkeypatch.setattr(archive_files, "_copy", halve)

    with pytest.raises(CommandError, match="was not written whole"):
        archived()

    assert SentLog.objects.count() == 5
