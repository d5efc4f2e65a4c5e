"""Logs: one JSON object a line, events with fields, phone numbers masked, bodies and secrets never."""

import logging
import logging.config
import re
import time
from collections.abc import Callable, MutableMapping
from typing import Any

import structlog
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse

from subscribers import phones

# A number as people, providers, databases and addresses write it. Ids come first, to be left alone.
_AMERICAN = r"\(?[2-9]\d\d\)?[ .-]{0,2}\d{3}[ .-]?\d{4}"
_PHONE = re.compile(
    r"(?P<id>\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b)"
    r"|(?:\+|%2B|(?<!\w)(?:00|011)(?=[1-9]))"
    rf"(?P<whole>1[ .-]{{0,2}}{_AMERICAN}|[1-9]\d{{8,14}}|[1-9](?:[ .-]?\d){{6,14}})(?!\d)"
    rf"|(?<!\w)(?<!\d\.)(?:(?:1[ .-]{{0,2}})?{_AMERICAN}|\d{{11,15}})(?!\w|\.\d)",
    re.IGNORECASE,
)
_SECRETS = (
    re.compile(
        r"((?:user|api_id|key|token|password|secret)[\"']?\s?[=:]\s?[\"']?)[^&\s\"',;)}]+", re.I
    ),
    re.compile(r"(\b(?:api-key|basic|bearer) )[^\s\"',]+", re.I),
    re.compile(r"(://[^/\s:@]*:)[^/\s@]+(?=@)"),
)
_NEVER = {"body", "credentials", "authorization", "api_id", "password", "token", "secret"}
_AS_THEY_ARE = {"timestamp", "level", "logger"}


def mask(text: str) -> str:
    """The text with the middle of every phone number, and every secret in an address, hidden."""
    for secret in _SECRETS:
        text = secret.sub(r"\1***", text)
    return _PHONE.sub(_mask_number, text)


def _mask_number(found: re.Match[str]) -> str:
    if found["id"]:
        return found[0]
    digits = "".join(re.findall(r"\d", found["whole"] or found[0]))
    return phones.mask(f"+{digits}") if found["whole"] else f"***{digits[-4:]}"


def _mask_event(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key, value in event.items():
        if key not in _AS_THEY_ARE and not key.startswith("_"):
            event[key] = _masked(key, value)
    return event


def _masked(key: object, value: Any) -> Any:
    """A field's value without numbers and secrets, however deep they are; itself is not changed."""
    if str(key).lower() in _NEVER:
        return "***"
    if isinstance(value, dict):
        return {inner: _masked(inner, one) for inner, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_masked("", one) for one in value]
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    text = value if isinstance(value, str) else repr(value)
    masked = mask(text)
    return value if isinstance(value, int) and masked == text else masked


def _add_logger_name(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """From the record: a line that came through the standard library has no structlog logger."""
    record = event.get("_record")
    if record is not None:
        event["logger"] = record.name
    return event


SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    _add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
    _mask_event,
]


def configure(options: dict[str, Any]) -> None:
    """Django calls this with settings.LOGGING: `level` is the only option."""
    level = options.get("level", "INFO")
    if level not in logging.getLevelNamesMapping():
        raise ImproperlyConfigured(
            "LOG_LEVEL is wrong: use DEBUG, INFO, WARNING, ERROR or CRITICAL."
        )
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "json": {
                    "()": structlog.stdlib.ProcessorFormatter,
                    "foreign_pre_chain": [structlog.stdlib.ExtraAdder()],
                    "processors": [
                        *SHARED,
                        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                        structlog.processors.JSONRenderer(),
                    ],
                }
            },
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
            "root": {"handlers": ["stderr"], "level": level},
            "loggers": {
                "rq": {"level": "WARNING"},
                "rq.worker": {"level": "WARNING"},
                "axes": {"level": "WARNING"},
                "django.server": {"handlers": [], "propagate": True},
            },
        }
    )


class RequestLogMiddleware:
    """One line a request: method, route (never the path: it may hold a number), status, time."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self.log = structlog.get_logger("carillon.request")

    def __call__(self, request: HttpRequest) -> HttpResponse:
        started = time.perf_counter()
        response = self.get_response(request)
        match = request.resolver_match
        self.log.info(
            "request",
            method=request.method,
            route=match.route if match else "",
            status=response.status_code,
            ms=round((time.perf_counter() - started) * 1000, 1),
        )
        return response
