"""`celery_tasks.py enqueue TEXTS`, `celery_tasks.py work THREADS`: a task a text.

Runs with Celery's own packages and imports nothing of ours.
"""

import os
import sys
import threading

import requests
from celery import Celery
from psycopg_pool import ConnectionPool

app = Celery("bench", broker=f"redis+socket://{os.environ['BENCH_SOCKET']}?virtual_host=1")
app.conf.update(task_ignore_result=True, broker_connection_retry_on_startup=True)
URL = f"{os.environ['BENCH_PROVIDER']}/2010-04-01/Accounts/AC1/Messages.json"
pool = ConnectionPool("", min_size=1, max_size=20, open=False, kwargs={"autocommit": True})
local = threading.local()


@app.task(name="send")
def send(text: int) -> None:
    pool.open()
    with pool.connection() as connection:
        phone, body = connection.execute(
            "UPDATE bench_rival SET state = 'sending', sent_at = clock_timestamp() WHERE id = %s"
            " RETURNING phone, body",
            [text],
        ).fetchone()
    if not hasattr(local, "session"):
        local.session = requests.Session()
        local.session.auth = ("AC1", "token")
    form = {"ValidityPeriod": "3600", "To": phone, "Body": body, "From": "+12125550100"}
    sid = local.session.post(URL, data=form, timeout=30).json()["sid"]
    with pool.connection() as connection:
        connection.execute(
            "UPDATE bench_rival SET state = 'accepted', provider_id = %s,"
            " changed_at = clock_timestamp() WHERE id = %s",
            [sid, text],
        )


def enqueue(texts: int) -> None:
    with app.producer_pool.acquire(block=True) as producer:
        for text in range(1, texts + 1):
            send.apply_async((text,), producer=producer)


def work(threads: int) -> None:
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel=ERROR"]
    name = f"--hostname=bench{os.getpid()}@%h"
    app.worker_main(["worker", "--pool=threads", f"--concurrency={threads}", name, *quiet])


if __name__ == "__main__":
    {"enqueue": enqueue, "work": work}[sys.argv[1]](int(sys.argv[2]))
