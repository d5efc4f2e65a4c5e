"""What a person could forget: the import flow, migrations, file sizes, and what the README says."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.apps import apps
from django.conf import settings
from django.core.management import call_command, get_commands
from django.db import connection
from django.utils.module_loading import import_string

from sending.gateways.registry import GATEWAYS
from sending.partitions import PARTITIONED
from tracking.webhooks.adapters import WEBHOOKS

ROOT = Path(__file__).resolve().parent.parent
FLOW = ["subscribers", "campaigns", "sending", "tracking"]
SOURCES = [
    path
    for app in ["config", *FLOW]
    for path in (ROOT / app).rglob("*.py")
    if "migrations" not in path.parts
]


def test_imports_point_from_later_apps_to_earlier_ones():
    linted = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert linted.returncode == 0, linted.stdout


def test_foreign_keys_point_from_later_apps_to_earlier_ones():
    wrong = [
        f"{model.__name__}.{field.name} -> {field.related_model._meta.label}"
        for app in FLOW
        for model in apps.get_app_config(app).get_models()
        for field in model._meta.get_fields()
        if field.is_relation and not field.auto_created and field.related_model
        if field.related_model._meta.app_label in FLOW
        and FLOW.index(field.related_model._meta.app_label) > FLOW.index(app)
    ]
    assert wrong == []


@pytest.mark.django_db
def test_no_migration_is_missing():
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


@pytest.mark.django_db
def test_every_partitioned_table_is_in_the_list_that_the_ticker_keeps_ahead():
    with connection.cursor() as cursor:
        cursor.execute("SELECT relname FROM pg_class WHERE relkind = 'p'")
        partitioned = {row[0] for row in cursor.fetchall()}
    assert partitioned == {apps.get_model(label)._meta.db_table for label in PARTITIONED}


def test_every_job_of_the_ticker_can_be_found():
    assert all(callable(import_string(path)) for path, _ in settings.TICKER_JOBS)


def test_every_check_of_a_launch_can_be_found():
    assert all(callable(import_string(path)) for path in settings.LAUNCH_CHECKS)


def test_every_check_of_the_audit_can_be_found():
    assert all(callable(import_string(path)) for path in settings.AUDIT_CHECKS)


def test_every_gateway_has_a_webhook():
    assert WEBHOOKS.keys() == GATEWAYS.keys()


def test_every_table_of_a_brand_names_the_way_to_its_tenant():
    tenant_free = {"PlatformPolicy", "LegalWindow", "DailyTotal", "ProviderMessage", "SafeMode"}
    tenant_free |= {"UnknownCode", "TickerBeat", "ArchivedMonth"}
    tenant_free |= {"PlatformPolicyEvent", "LegalWindowEvent"}
    missing = [
        model.__name__
        for app in FLOW
        for model in apps.get_app_config(app).get_models()
        if not hasattr(model, "tenant_path")
        and not model._meta.auto_created
        and model.__name__ not in tenant_free
    ]
    assert missing == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_is_small_and_its_name_says_its_topic(path):
    assert len(path.read_text().splitlines()) <= 400
    assert path.stem not in {"utils", "common", "helpers", "misc", "services", "core"}


def _documents():
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_every_make_target_that_the_documents_name_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    named = {
        name
        for document in _documents()
        for name in re.findall(r"`make ([a-z-]+)", document.read_text())
    }
    assert named <= targets


def test_every_management_command_that_the_documents_name_exists():
    named = {
        name
        for document in _documents()
        for name in re.findall(r"manage\.py ([a-z_]+)", document.read_text())
    }
    assert named <= set(get_commands())


def test_every_file_that_the_documents_name_exists():
    missing = [
        f"{document.name}: {name}"
        for document in _documents()
        for name in re.findall(r"\]\(([^)#:]+)\)", document.read_text())
        if not (document.parent / name).exists()
    ]
    assert missing == []


def test_no_page_of_ours_says_where_a_package_registry_or_a_machine_is():
    hosts = re.compile(r"(pypi|pythonhosted|npmjs)\.(org|com)|(deb|security)\.debian\.org")
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split()
    found = [
        name
        for name in tracked
        if name != "tests/test_architecture.py"
        and not name.endswith((".gz", ".png"))
        and hosts.search((ROOT / name).read_text(errors="ignore"))
    ]
    assert found == []
