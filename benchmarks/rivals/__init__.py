"""The same texts through BullMQ and through Celery: one job a text, as the replaced systems did.

Same stub provider, same PostgreSQL, same Valkey. Each text's state is one UPDATE before its call
and one after it. Their packages are no dependency of the product: they are installed into
`.carillon/bench` when a row first needs them. The time counts from the first hand-over to the last
record, as in the row `single`; putting the jobs into the queue is not counted, like planning there.
"""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from django.conf import settings
from django.db import connection

from benchmarks import cpu, world

HERE = Path(__file__).resolve().parent
FOLDER = cpu.DATA / "rivals"
PROCESSES = 2  # as many as the row `single` has workers
NODE_PACKAGES = ("bullmq", "ioredis", "pg")
PYTHON_PACKAGES = ("celery[redis]", "psycopg[binary,pool]", "requests")
BODY = "Bench: Hi Name{n}, all saddles are 20% off on Saturday. Reply STOP to opt out."


class NotInstalled(Exception):
    """A rival cannot run here; the text says what to do."""


def bullmq(texts: int) -> dict[str, float]:
    """10 workers of 100 concurrent jobs, as in the seeds, in as many processes as we have workers."""
    node = shutil.which("node")
    npm = shutil.which("npm")
    if not (node and npm):
        raise NotInstalled("BullMQ needs Node.js: install node and npm, or leave the row out.")
    folder = FOLDER / "node"
    if not (folder / "node_modules" / "ioredis").is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        _install([npm, "install", "--silent", "--prefix", str(folder), *NODE_PACKAGES])
    program = [node, str(HERE / "bullmq.cjs")]
    environment = {"NODE_PATH": str(folder / "node_modules")}
    return _race(texts, [*program, "enqueue"], [*program, "work", "5"], environment)


def celery(texts: int) -> dict[str, float]:
    """One task a text, in threads: processes would need 60 MB for each call that waits."""
    install_python("celery", *PYTHON_PACKAGES)
    environment = {"PYTHONPATH": os.pathsep.join([str(FOLDER / "python"), str(HERE)])}
    program = [sys.executable, str(HERE / "celery_tasks.py")]
    return _race(texts, [*program, "enqueue"], [*program, "work", "250"], environment)


def install_python(name: str, *packages: str) -> None:
    """Install packages beside the product unless the first one's module is there."""
    folder = FOLDER / "python"
    if not (folder / name).is_dir():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder)]
        _install([*command, *(packages or (name,))])


def _install(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise NotInstalled(
            f"Could not install what the row compares with ({' '.join(command[:2])}: {last})."
            " Check the network, or leave the row out."
        )


def _race(
    texts: int, enqueue: Sequence[str], work: Sequence[str], environment: Mapping[str, str]
) -> dict[str, float]:
    _make_table(texts)
    env = {**os.environ, **_addresses(), **environment}
    env.pop("DJANGO_SETTINGS_MODULE")  # Celery would look for ours
    world.queues.valkey().execute_command("FLUSHALL")
    subprocess.run([*enqueue, str(texts)], env=env, check=True, cwd=FOLDER)
    stub = world.Stub(200)
    try:
        with _workers(work, env) as processes:
            world.wait_until(lambda: _accepted()[0] > 0, seconds=60)  # they are up
            meter = cpu.Meter(workers=[one.pid for one in processes], stub=[stub.process.pid])
            world.wait_until(lambda: _accepted()[0] >= texts, seconds=300, every=0.5)
            count, seconds = _accepted()
            used = meter.read(texts)
    finally:
        stub.stop()
        world.queues.valkey().execute_command("FLUSHALL")
    return {"texts_per_second": count / seconds, "seconds": seconds, "texts": count, **used}


@contextlib.contextmanager
def _workers(
    command: Sequence[str], env: Mapping[str, str]
) -> Iterator[list[subprocess.Popen[bytes]]]:
    quiet = {**env, "PYTHONWARNINGS": "ignore"}
    processes = [
        subprocess.Popen(command, env=quiet, cwd=FOLDER, stdout=subprocess.DEVNULL)
        for _ in range(PROCESSES)
    ]
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()


def _addresses() -> dict[str, str]:
    """Where the servers are, in the words of libpq, of node's pg and of our two programs."""
    database = settings.DATABASES["default"]
    return {
        "PGHOST": database["HOST"],
        "PGPORT": str(database["PORT"] or 5432),
        "PGUSER": database["USER"],
        "PGPASSWORD": database["PASSWORD"] or "",
        "PGDATABASE": database["NAME"],
        "BENCH_SOCKET": world.queues.valkey().connection_pool.connection_kwargs["path"],
        "BENCH_PROVIDER": settings.FAKE_CARRIER_URL,
    }


def _make_table(texts: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS bench_rival")
        cursor.execute(
            """CREATE TABLE bench_rival (id int PRIMARY KEY, phone text, body text, state text,
                   provider_id text, sent_at timestamptz, changed_at timestamptz)
               WITH (fillfactor = 60)"""
        )
        cursor.execute(
            """INSERT INTO bench_rival (id, phone, body, state)
               SELECT n, '+1212' || lpad(n::text, 7, '0'), replace(%s, '{n}', (n %% 500)::text),
                      'planned' FROM generate_series(1, %s::int) AS n""",
            [BODY, texts],
        )
        cursor.execute("VACUUM ANALYZE bench_rival")


def _accepted() -> tuple[int, float]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*), extract(epoch FROM max(changed_at) - min(sent_at))::float8"
            " FROM bench_rival WHERE state = 'accepted'"
        )
        return cursor.fetchone()
