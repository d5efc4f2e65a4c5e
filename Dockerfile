# Two stages: pip, its cache and the compilers it might call stay in the first.
FROM python:3.13-slim AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build
RUN python -m venv /opt/venv
COPY requirements.txt ./
RUN /opt/venv/bin/pip install --no-cache-dir --require-hashes --only-binary :all: -r requirements.txt

FROM python:3.13-slim

# CARILLON_DEVELOPMENT=0: a missing variable is an error here, never an embedded server or a made-up
# secret.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    CARILLON_DEVELOPMENT=0 \
    PORT=8000 \
    WEB_CONCURRENCY=2

RUN useradd --system --uid 10001 --no-create-home --home-dir /nonexistent carillon
COPY --from=build /opt/venv /opt/venv
WORKDIR /app
COPY . .

# The settings want addresses and secrets; collecting files uses none of them.
RUN CARILLON_DEVELOPMENT=1 CARILLON_DATA=/tmp/build \
    DATABASE_URL=postgresql:///none REDIS_URL=redis://none \
    python manage.py collectstatic --noinput \
    && rm -r /tmp/build

USER 10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen('http://127.0.0.1:' + os.environ['PORT'] + '/healthz', timeout=4)"]

# gunicorn reads PORT and WEB_CONCURRENCY itself. Its control socket would need a home to write to.
CMD ["gunicorn", "config.wsgi", "--no-control-socket", "--worker-class", "gthread", "--threads", "8", "--max-requests", "10000", "--max-requests-jitter", "1000", "--graceful-timeout", "30", "--worker-tmp-dir", "/dev/shm"]
