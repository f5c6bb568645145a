"""Log lines, as an operator and a log collector see them."""

from __future__ import annotations

import io
import json
import logging
import re

import pytest

from parkeeper.log import Format, Level, set_up


@pytest.fixture(autouse=True)
def restored():
    """Whatever pytest set up comes back."""
    root, ours = logging.getLogger(), logging.getLogger("parkeeper")
    handlers, level, own_level = list(root.handlers), root.level, ours.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    ours.setLevel(own_level)


def logged(form: Format, *, level: Level = Level.INFO):
    """A stream that is logged to from now on."""
    stream = io.StringIO()
    set_up(level, form, stream)
    return stream


def test_text_line_has_utc_time_level_logger_and_pairs():
    """One line: time in UTC with ms, level, logger, message, then what `extra` had."""
    stream = logged(Format.TEXT)
    logging.getLogger("parkeeper.keeper").info("serving %d clients", 3, extra={"keeper": 7, "why": "a b"})
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO    parkeeper\.keeper serving 3 clients keeper=7 why=\"a b\"\n",
        stream.getvalue(),
    )


def test_text_stays_one_line_when_a_client_sends_line_ends():
    """Nobody outside can forge a log line: control characters are escaped, in message and pairs."""
    stream = logged(Format.TEXT)
    logging.getLogger("parkeeper.x").warning(
        "path %s", "/a\n2026 FORGED\x1b[2J\x85", extra={"path": "/b\r\n"}
    )
    assert len(stream.getvalue().splitlines()) == 1
    assert r"/a\n2026 FORGED\x1b[2J\x85 path=/b\r\n" in stream.getvalue()


def test_json_line_is_one_object_with_what_extra_had():
    """One object a line; values that JSON does not know become text."""
    stream = logged(Format.JSON)
    logging.getLogger("parkeeper.keeper").info("line\nend", extra={"keeper": 7, "peer": b"\x00"})
    line, rest = stream.getvalue().split("\n")
    event = json.loads(line)
    assert rest == ""
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", event.pop("time"))
    assert event == {
        "level": "info",
        "logger": "parkeeper.keeper",
        "message": "line\nend",
        "keeper": 7,
        "peer": "b'\\x00'",
    }


@pytest.mark.parametrize("form", list(Format))
def test_traceback_is_kept_when_an_exception_is_logged(form):
    """The traceback follows the text line, or is a key of the object."""
    stream = logged(form)
    try:
        raise ValueError("broken")
    except ValueError:
        logging.getLogger("parkeeper.x").exception("failed")
    text = stream.getvalue()
    trace = json.loads(text)["exception"] if form is Format.JSON else text.split("\n", 1)[1]
    assert trace.lstrip().startswith("Traceback")
    assert "ValueError: broken" in trace


def test_traceback_starts_no_line_when_its_error_quotes_a_client():
    """Every line but the first is indented: what an exception quotes is never taken for an event."""
    stream = logged(Format.TEXT)
    try:
        raise ValueError("bad\n2026-01-01T00:00:00.000Z INFO forged")
    except ValueError:
        logging.getLogger("parkeeper.x").exception("failed")
    assert all(line.startswith("  ") for line in stream.getvalue().splitlines()[1:])


def test_level_filters_ours_and_libraries_stay_silent_below_warning():
    """debug is about parkeeper; httpx at debug would tell request after request."""
    stream = logged(Format.TEXT, level=Level.DEBUG)
    logging.getLogger("parkeeper.x").debug("ours")
    logging.getLogger("httpx").info("theirs")
    logging.getLogger("httpx").warning("theirs, but wrong")
    text = stream.getvalue()
    assert "ours" in text
    assert "theirs, but wrong" in text
    assert text.count("\n") == 2


def test_second_set_up_replaces_the_first():
    """No line is written twice."""
    first, second = logged(Format.TEXT), logged(Format.TEXT)
    logging.getLogger("parkeeper.x").info("once")
    assert first.getvalue() == ""
    assert second.getvalue().count("once") == 1
