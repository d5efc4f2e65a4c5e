"""Logs: one JSON object a line, events with fields, phone numbers masked, bodies and secrets never."""

import logging
import logging.config
import re
import time
from collections.abc import Callable, MutableMapping
from typing import Any

import structlog
from django.http import HttpRequest, HttpResponse

_PHONE = re.compile(r"(?<![\w.:-])(\+\d{1,4}|\b1)(\d{2,9})(\d{4})(?![\w:-])")
_SECRET_PARAMETER = re.compile(r"((?:user|api_id|key|token|password|secret)=)[^&\s\"']+", re.I)
_NEVER = {"body", "credentials", "authorization", "password", "token", "secret"}


def mask(text: str) -> str:
    """The text with the middle of every phone number, and every secret in an address, hidden."""
    text = _SECRET_PARAMETER.sub(r"\1***", text)
    return _PHONE.sub(lambda found: f"{found[1]}***{found[3]}", text)


def _mask_event(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key, value in event.items():
        if key in _NEVER:
            event[key] = "***"
        elif isinstance(value, str) and key not in ("timestamp", "level", "logger"):
            event[key] = mask(value)
    return event


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
            "root": {"handlers": ["stderr"], "level": options.get("level", "INFO")},
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
