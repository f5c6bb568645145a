"""How parkeeper logs: the standard library's loggers, one line an event, as text or as JSON.

    2026-11-24T21:52:07.123Z INFO    parkeeper.keeper serving keeper=3 addresses=0.0.0.0:2181

What a caller passes in `extra` becomes `key=value` pairs, or keys of the JSON object. Text from clients and stores
cannot start a line of its own: control characters are escaped.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, TextIO


class Format(StrEnum):
    """How a line looks."""

    TEXT = "text"
    JSON = "json"


class Level(StrEnum):
    """The least that is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


_OWN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""Attributes every record has; what else there is came in `extra`."""

_ESCAPES: Final = {
    code: repr(chr(code))[1:-1] for code in (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029)
}  # control characters and the other ends of a line


def set_up(level: Level, form: Format, stream: TextIO) -> None:
    """Log to a stream from now on, in place of whatever was set up before.

    The libraries we use are heard from WARNING on: their debug lines would repeat what an etcd password is sent in.
    """
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines() if form is Format.JSON else TextLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("parkeeper").setLevel(level.value.upper())


class TextLines(logging.Formatter):
    """A line to be read by people, and by those who split at blanks and `=`."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end; an exception's traceback follows, indented, so that it starts no line either."""
        pairs = "".join(f" {key}={_quoted(value)}" for key, value in _extra(record).items())
        message = record.getMessage().translate(_ESCAPES)
        line = f"{_time(record)} {record.levelname:<7} {record.name} {message}{pairs}"
        trace = _trace(self, record)
        return "\n  ".join([line, *(part.translate(_ESCAPES) for part in trace.splitlines())])


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, logger, message, what `extra` had, exception."""

    def format(self, record: logging.LogRecord) -> str:
        """The object. Its own keys win over those of `extra`."""
        event = {
            **_extra(record),
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        trace = _trace(self, record)
        if trace:
            event["exception"] = trace
        return json.dumps(event, default=str)


def _extra(record: logging.LogRecord) -> dict[str, object]:
    return {key: value for key, value in vars(record).items() if key not in _OWN}


def _time(record: logging.LogRecord) -> str:
    return (
        datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )


def _trace(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    return formatter.formatException(record.exc_info) if record.exc_info else ""


def _quoted(value: object) -> str:
    text = str(value).translate(_ESCAPES)
    plain = text and not any(character in text for character in ' "=')
    return text if plain else '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
