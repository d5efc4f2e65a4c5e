"""scripts/bootstrap, in a small project of its own whose PATH holds what each test puts there."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent
TOOLS = ["sh", "cat", "tr", "awk", "ls", "dirname", "cksum", "grep", "mkdir", "rm", "mv"]
THIS = f"{sys.version_info.major}.{sys.version_info.minor}"
BASE = os.path.normpath(sys._base_executable)  # type: ignore[attr-defined]
SYSTEM_PYTHONS = [
    path
    for folder in ("/opt/homebrew/bin", "/usr/local/bin", "/usr/bin")
    for path in Path(folder).glob("python3.1[2-9]")
]
needs_a_bare_system = pytest.mark.skipif(
    bool(SYSTEM_PYTHONS), reason="this system's own folders hold a Python that is new enough"
)

FAILS = "echo 'pyenv: command not found' >&2; exit 127"
REAL = f'exec {BASE} "$@"'
WITHOUT_ENSUREPIP = (
    f"exec {sys.executable} -c "
    '\'import sys; sys.modules["ensurepip"] = None; exec(sys.argv[2])\' "$@"'
)


class Project:
    """A folder with the script, a requirements file without packages, and a PATH of fakes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "project"
        self.fakes = folder / "fakes"
        self.home = folder / "home"
        for made in (self.folder / "scripts", self.fakes, self.home):
            made.mkdir(parents=True)
        shutil.copy(PROJECT / "scripts/bootstrap", self.folder / "scripts/bootstrap")
        (self.folder / ".python-version").write_text(f"{THIS}\n")
        (self.folder / "requirements.txt").touch()
        (self.folder / "requirements-dev.txt").touch()
        for tool in TOOLS:
            path = shutil.which(tool)
            assert path
            (self.fakes / tool).symlink_to(path)

    def command(self, name: str, body: str) -> None:
        path = self.fakes / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)

    def bootstrap(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["/bin/sh", self.folder / "scripts/bootstrap", *arguments],
            env={"PATH": str(self.fakes), "HOME": str(self.home)} | environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def interpreter(self, **environment: str) -> str:
        done = self.bootstrap("--print-interpreter", **environment)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_an_interpreter_that_exists_and_fails_is_passed_over(project: Project) -> None:
    project.command(f"python{THIS}", FAILS)
    project.command("python3", REAL)

    assert project.interpreter() == BASE


def test_a_failing_shim_does_not_hide_a_working_interpreter_of_its_name(project: Project) -> None:
    shims, behind = project.folder / "shims", project.folder / "bin"
    for folder, body in ((shims, FAILS), (behind, REAL)):
        folder.mkdir()
        (folder / "python3").write_text(f"#!/bin/sh\n{body}\n")
        (folder / "python3").chmod(0o755)

    assert project.interpreter(PATH=f"{shims}:{behind}:{project.fakes}") == BASE


def test_what_lies_beside_shims_is_found(project: Project) -> None:
    version = project.home / ".tool/versions/9.9/bin"
    version.mkdir(parents=True)
    (version / f"python{THIS}").symlink_to(BASE)
    shims = project.home / ".tool/shims"
    shims.mkdir()

    found = project.interpreter(PATH=f"{shims}:{project.fakes}")

    assert Path(found).samefile(BASE)


def test_an_interpreter_without_ensurepip_is_passed_over(project: Project) -> None:
    project.command(f"python{THIS}", WITHOUT_ENSUREPIP)
    project.command("python3", REAL)

    assert project.interpreter() == BASE


def test_the_version_of_the_file_is_preferred_to_a_newer_one(project: Project) -> None:
    project.command("python3.14", "echo 3.99 /newer/python")
    project.command("python3", f"echo {THIS} /wanted/python")

    assert project.interpreter() == "/wanted/python"


def test_another_version_is_taken_when_the_wanted_one_is_missing(project: Project) -> None:
    (project.folder / ".python-version").write_text("3.98\n")
    project.command("python3", "echo 3.99 /newer/python")

    assert project.interpreter() == "/newer/python"


def test_the_interpreter_that_the_user_names_comes_first(project: Project) -> None:
    project.command("python3", REAL)
    project.command("mine", "echo 3.99 /my/python")

    assert project.interpreter(PYTHON="mine") == "/my/python"


@needs_a_bare_system
def test_uv_is_asked_for_an_interpreter_where_none_is_new_enough(project: Project) -> None:
    project.command("python3", "exit 1")
    python = '"$UV_PYTHON_INSTALL_DIR/cpython-9/bin/python3"'
    body = f"#!/bin/sh\\necho {THIS} /from/uv\\n"
    project.command(
        "uv",
        f"mkdir -p ${{UV_PYTHON_INSTALL_DIR}}/cpython-9/bin\nprintf '{body}' > {python}\n/bin/chmod +x {python}",
    )

    assert project.interpreter() == "/from/uv"
    assert not any(project.home.iterdir())


@needs_a_bare_system
def test_without_any_interpreter_one_sentence_says_what_to_install(project: Project) -> None:
    project.command("python3", FAILS)

    done = project.bootstrap()

    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "Carillon needs Python 3.12 or newer" in done.stderr


def test_an_environment_counts_as_done_only_when_it_was_finished(project: Project) -> None:
    half = f"""case $2 in
    venv) mkdir -p .venv/bin && ln -s {BASE} .venv/bin/python && exit 1 ;;
    *_base_executable*) echo {THIS} $0 ;;
    *) {REAL} ;;
    esac"""
    project.command("half", half)
    project.command("ln", '/bin/ln "$@"')
    project.command("python3", REAL)

    interrupted = project.bootstrap(PYTHON="half")
    made = project.bootstrap()
    kept = project.bootstrap()
    (project.folder / "requirements-dev.txt").write_text("# changed\n")
    made_again = project.bootstrap()

    assert interrupted.returncode != 0
    assert "Making .venv" in made.stderr
    assert (kept.returncode, kept.stderr) == (0, "")
    assert "Making .venv" in made_again.stderr
    assert not any(project.home.iterdir())
