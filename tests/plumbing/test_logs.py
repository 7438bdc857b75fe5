"""Logs: one record is one line, whatever it holds."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from plumbing.logs import setup_logs


@pytest.fixture(autouse=True)
def _restore_root() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)


def _fail_and_log() -> None:
    try:
        raise ValueError("first\nsecond")
    except ValueError:
        logging.getLogger("room").exception("it\nbroke")


def test_a_record_with_a_trace_is_one_line() -> None:
    out = io.StringIO()
    setup_logs("workers", stream=out)
    _fail_and_log()
    logging.getLogger("room").debug("not wanted")
    (line,) = out.getvalue().splitlines()
    assert " ERROR workers room: it | broke | Traceback" in line
    assert line.endswith("ValueError: first | second")


def test_json_lines_keep_the_trace_apart() -> None:
    out = io.StringIO()
    setup_logs("store", as_json=True, stream=out)
    _fail_and_log()
    fields = json.loads(out.getvalue())
    assert fields["level"] == "error"
    assert fields["process"] == "store"
    assert fields["message"] == "it\nbroke"
    assert "ValueError: first" in fields["error"]


def test_libraries_speak_only_when_debugging() -> None:
    out = io.StringIO()
    setup_logs("x", stream=out)
    logging.getLogger("kafka.conn").info("chatter")
    assert out.getvalue() == ""
    setup_logs("x", level="debug", stream=out)
    logging.getLogger("kafka.conn").info("chatter")
    assert "chatter" in out.getvalue()
