"""Real servers in a temporary folder, real processes that start, join, die and are killed."""

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from config import embedded
from config.embedded import processes

FAST = {"fsync": "off"}
PROJECT = Path(__file__).resolve().parent.parent.parent

# Starts (or joins) the servers as manage.py does, says which, and waits to be ended.
USER = """
import json, os, signal
from config import embedded
embedded.ensure_environment()
print(json.dumps({name: os.environ[name] for name in ("DATABASE_URL", "REDIS_URL")}), flush=True)
signal.pause()
"""


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    """A data folder whose servers are stopped at the end, whatever the test did to them."""
    folder = tmp_path / "data"
    yield folder
    for pid in server_pids(folder).values():
        command = processes.command_of(pid)
        if command and str(folder) in command:
            os.kill(pid, signal.SIGQUIT)


def server_pids(data: Path) -> dict[str, int]:
    files = {"postgres": data / "postgresql/postmaster.pid", "valkey": data / "valkey/valkey.pid"}
    found = {name: processes.pid_in(file) for name, file in files.items()}
    return {name: pid for name, pid in found.items() if pid is not None}


def spawn(data: Path, code: str = USER, **environment: str) -> subprocess.Popen[str]:
    variables = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=PROJECT,
        env=variables | {"CARILLON_DATA": str(data)} | environment,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a process group of its own, like a job in a terminal
    )


def addresses(user: subprocess.Popen[str]) -> dict[str, str]:
    assert user.stdout
    return dict(json.loads(user.stdout.readline()))


def end(user: subprocess.Popen[str], number: signal.Signals) -> int:
    user.send_signal(number)
    code = user.wait(20)
    assert user.stdout
    user.stdout.close()
    return code


def eventually(condition: Callable[[], bool], seconds: float = 10) -> bool:
    give_up = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > give_up:
            return False
        time.sleep(0.02)
    return True


def is_gone(pid: int) -> bool:
    return processes.command_of(pid) is None


def test_both_servers_answer_behind_a_private_socket_and_nowhere_else(data: Path) -> None:
    servers = embedded.start(data, settings=FAST)
    with psycopg.connect(servers.database_url) as connection:
        row = connection.execute(
            "SELECT current_database(), current_setting('listen_addresses'), rolsuper,"
            " current_setting('synchronous_commit') FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
    with redis.from_url(servers.redis_url) as client:
        port = client.config_get("port")["port"]
    mode = stat.S_IMODE((data / "sockets").stat().st_mode)
    servers.stop()

    assert row == ("carillon", "", False, "on")
    assert port == "0"
    assert mode == 0o700


def test_a_second_start_joins_the_running_servers_and_the_last_user_stops_them(data: Path) -> None:
    first = embedded.start(data, settings=FAST)
    pids = server_pids(data)
    second = embedded.start(data)
    joined = server_pids(data)
    first.stop()
    with psycopg.connect(second.database_url), redis.from_url(second.redis_url) as client:
        client.ping()
    second.stop()

    assert joined == pids
    assert set(pids) == {"postgres", "valkey"}
    assert all(is_gone(pid) for pid in pids.values())


def test_two_processes_that_start_at_once_share_the_servers(data: Path) -> None:
    one, other = spawn(data), spawn(data)
    assert addresses(one) == addresses(other)
    pids = server_pids(data)

    assert end(one, signal.SIGTERM) == 128 + signal.SIGTERM
    assert not any(is_gone(pid) for pid in pids.values())
    assert end(other, signal.SIGTERM) == 128 + signal.SIGTERM
    assert all(is_gone(pid) for pid in pids.values())


def test_ctrl_c_in_the_terminal_stops_the_servers_with_their_user(data: Path) -> None:
    user = spawn(data)
    addresses(user)
    pids = server_pids(data)
    os.killpg(user.pid, signal.SIGINT)

    assert end(user, signal.SIGCONT) == -signal.SIGINT
    assert all(is_gone(pid) for pid in pids.values())


def test_a_forked_child_that_ends_stops_nothing(data: Path) -> None:
    fork = "import sys\nif os.fork() == 0: sys.exit()\nos.wait()\nprint(flush=True)\nsignal.pause()"
    user = spawn(data, USER.replace("signal.pause()", fork))
    addresses(user)
    assert user.stdout
    user.stdout.readline()

    assert not any(is_gone(pid) for pid in server_pids(data).values())
    end(user, signal.SIGTERM)


def test_only_the_server_that_is_missing_is_started(data: Path) -> None:
    user = spawn(data, REDIS_URL="redis://elsewhere")

    assert addresses(user)["REDIS_URL"] == "redis://elsewhere"
    assert set(server_pids(data)) == {"postgres"}
    end(user, signal.SIGTERM)


def test_the_servers_of_a_killed_user_are_joined_and_stopped_by_the_next(data: Path) -> None:
    user = spawn(data)
    addresses(user)
    pids = server_pids(data)
    end(user, signal.SIGKILL)
    assert not any(is_gone(pid) for pid in pids.values())

    servers = embedded.start(data)
    assert server_pids(data) == pids
    servers.stop()

    assert eventually(lambda: all(is_gone(pid) for pid in pids.values()))


def test_what_was_committed_outlives_killed_servers(data: Path) -> None:
    servers = embedded.start(data)
    with psycopg.connect(servers.database_url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    for pid in server_pids(data).values():
        os.kill(pid, signal.SIGKILL)
    servers.stop()

    again = embedded.start(data)
    with psycopg.connect(again.database_url) as connection:
        row = connection.execute("SELECT answer, current_setting('fsync') FROM kept").fetchone()
    again.stop()

    assert row == (42, "on")


def test_a_lock_file_whose_process_id_is_somebody_elses_now_does_not_stop_a_start(
    data: Path,
) -> None:
    servers = embedded.start(data, settings=FAST, valkey=False)
    lock = data / "postgresql/postmaster.pid"
    for pid in server_pids(data).values():
        os.kill(pid, signal.SIGKILL)
    servers.stop()
    stranger = subprocess.Popen(["sleep", "60"])
    lock.write_text(f"{stranger.pid}\n" + lock.read_text().split("\n", 1)[1])

    again = embedded.start(data, settings=FAST, valkey=False)
    again.stop()

    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()


def test_sockets_of_a_folder_with_a_long_name_lie_elsewhere_and_are_cleared_away(
    data: Path,
) -> None:
    long = data / ("long, with spaces " * 6)
    servers = embedded.start(long, settings=FAST)
    sockets = Path(json.loads((long / "sockets.json").read_text())["sockets"])
    mode = stat.S_IMODE(sockets.stat().st_mode)
    with psycopg.connect(servers.database_url), redis.from_url(servers.redis_url) as client:
        client.ping()
    servers.stop()

    assert mode == 0o700
    assert not sockets.exists()


def test_data_of_another_postgresql_is_left_alone_and_named(data: Path) -> None:
    (data / "postgresql").mkdir(parents=True)
    (data / "postgresql/PG_VERSION").write_text("15\n")

    with pytest.raises(embedded.EmbeddedServerError, match="belongs to PostgreSQL 15"):
        embedded.start(data, valkey=False)


def test_a_folder_that_cannot_be_used_is_named(data: Path) -> None:
    data.write_text("a file")
    below = data / "data"

    with pytest.raises(embedded.EmbeddedServerError, match=f"{below} cannot be used"):
        embedded.start(below)
    data.unlink()


def test_a_server_that_cannot_start_is_named_with_the_end_of_its_log(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("config.embedded.server.STALE_SECONDS", 0.1)

    with pytest.raises(embedded.EmbeddedServerError, match=r"(?s)PostgreSQL does not start.*FATAL"):
        embedded.start(data, settings=FAST | {"max_connections": "none"}, valkey=False)


@pytest.mark.parametrize("arguments", [["help"], ["migrate", "--help"]])
def test_help_starts_no_server(data: Path, arguments: list[str]) -> None:
    done = manage(data, *arguments)

    assert done.returncode == 0
    assert done.stdout
    assert not (data / "postgresql").exists()


def test_a_wrong_setting_is_one_sentence(data: Path) -> None:
    done = manage(data, "check", CARILLON_DEVELOPMENT="0")

    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "SECRET_KEY is not set" in done.stderr


def manage(data: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, PROJECT / "manage.py", *arguments],
        env={"PATH": os.environ["PATH"], "CARILLON_DATA": str(data)} | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
