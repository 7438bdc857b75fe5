"""One record, one line, on standard error: for people, or as JSON for a log store. Set up once a process."""

import json
import logging
import sys
import time
from typing import IO

_QUIET = ("kafka", "aiokafka", "faust", "mode", "ray", "urllib3", "asyncio", "PIL", "aiohttp")
"""Libraries of which only warnings are wanted unless debugging."""


def _moment(record: logging.LogRecord) -> str:
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(record.created))}.{int(record.msecs):03d}Z"


def _one_line(text: str) -> str:
    return " | ".join(part.rstrip() for part in text.splitlines() if part.strip())


class LineFormatter(logging.Formatter):
    """`2026-01-01T12:00:00.123Z WARNING workers actors: text`, traces joined by ` | `."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        text = record.getMessage()
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return f"{_moment(record)} {record.levelname} {self._process} {record.name}: {_one_line(text)}"


class JsonFormatter(logging.Formatter):
    """One JSON object: at, level, process, logger, message, and error with its trace where there is one."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line of JSON."""
        fields = {
            "at": _moment(record),
            "level": record.levelname.lower(),
            "process": self._process,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["error"] = self.formatException(record.exc_info)
        return json.dumps(fields, ensure_ascii=False)


def setup_logs(process: str, *, level: str = "info", as_json: bool = False, stream: IO[str] | None = None) -> None:
    """Send every logger of this process to `stream` (standard error), replacing what was set up before.

    Args:
        process: name in each line, such as `workers`.
        level: debug, info, warning or error.
        as_json: JSON objects instead of text.
        stream: where to write.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter(process) if as_json else LineFormatter(process))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel("DEBUG" if level == "debug" else "WARNING")
    logging.captureWarnings(True)
