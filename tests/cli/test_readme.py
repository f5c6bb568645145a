"""The README tells of every option, with the default it has, and of every exit code and word."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from parkeeper.admin.words import WORDS
from parkeeper.cli import exits
from parkeeper.options import DEFAULT_WORDS, Limits, Options
from tests.cli.test_serve import options

README = (Path(__file__).resolve().parents[2] / "README.md").read_text()


def row(flag: str) -> str:
    """The row of the options' table that has an option."""
    return next((line for line in README.splitlines() if re.match(rf"\| `--[^|]*(?<=`--){flag}`", line)), "")


@pytest.mark.parametrize("name", sorted(options()))
def test_option_is_in_the_table(name):
    """None is missing."""
    assert row(name)


def test_table_has_no_option_that_does_not_exist():
    """None is made up, or left from earlier; the other half of a switch counts."""
    rows = re.findall(r"^\| (`--.*?) \|", README, re.MULTILINE)
    named = {flag for cell in rows for flag in re.findall(r"`--([a-z0-9-]+)`", cell)}
    assert {flag.removeprefix("no-") for flag in named} == set(options())


@pytest.mark.parametrize(
    ("name", "default"),
    [
        ("tick-time", f"{Options().tick_time} ms"),
        ("store-wait", f"{Options().store_wait:g} s"),
        ("stop-grace", f"{Options().stop_grace:g} s"),
        ("reap-interval", f"{Options().reap_interval:g} s"),
        ("jute-maxbuffer", f"{Limits().frame} bytes"),
        ("4lw-whitelist", ",".join(sorted(DEFAULT_WORDS))),
    ],
)
def test_default_in_the_table_is_the_real_one(name, default):
    """A default that changes must change here too."""
    assert default in row(name)


def test_every_word_is_named():
    """In the table of features."""
    line = next(line for line in README.splitlines() if line.startswith("| four-letter words"))
    assert {word.decode() for word in WORDS} <= set(re.findall(r"\w+", line))


def test_every_exit_code_is_explained():
    """In README and help alike."""
    codes = {exits.STOPPED, exits.FAILED, exits.MISUSED, exits.DENIED, exits.INCOMPATIBLE, exits.NO_ADDRESS}
    for text in (README.replace("\n", " "), exits.EPILOG):
        told = text[text.index("Exit codes:") :]
        assert {int(code) for code in re.findall(r"(?:: |; )(\d) ", told)[: len(codes)]} == codes
