"""Defaults, secrets and checks of what was typed."""

from __future__ import annotations

import pytest

from parkeeper.cli.settings import default_url, secret, words
from parkeeper.errors import ConfigError


def test_default_store_is_a_file_in_the_state_folder(tmp_path, monkeypatch):
    """Its folder is made, and nobody else may look into it."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert default_url() == f"sqlite://{tmp_path}/state/parkeeper/parkeeper.db"
    assert (tmp_path / "state/parkeeper").stat().st_mode & 0o777 == 0o700


def test_default_store_is_below_home_when_there_is_no_state_folder(tmp_path, monkeypatch):
    """As the XDG base directory specification says."""
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_url() == f"sqlite://{tmp_path}/.local/state/parkeeper/parkeeper.db"


def test_default_store_is_refused_when_its_folder_cannot_be_made(tmp_path, monkeypatch):
    """The message names the option to use."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    with pytest.raises(ConfigError, match="--backend-url"):
        default_url()


def test_words_are_names_with_or_without_blanks():
    """As ZooKeeper's whitelist: commas, blanks allowed, * for all."""
    assert words("ruok, srvr,,isro ") == {"ruok", "srvr", "isro"}
    assert words("*") == {"*"}
    assert words("") == frozenset()


def test_words_are_refused_when_one_is_unknown():
    """A typo is named, with what there is; it would show only when the monitoring stays silent."""
    with pytest.raises(ConfigError, match=r"no such four-letter word: ruko; there are: conf cons"):
        words("ruko,srvr")


def test_secret_is_the_files_when_there_is_one(tmp_path, monkeypatch):
    """The file wins; the end of its line is no part of the secret, blanks are."""
    file = tmp_path / "password"
    file.write_text("pass word \r\n")
    monkeypatch.setenv("SECRET", "other")
    assert secret("SECRET", file) == "pass word "
    assert secret("SECRET", None) == "other"


@pytest.mark.parametrize("value", [None, ""])
def test_secret_is_none_when_nothing_is_set(monkeypatch, value):
    """An empty variable is how one unsets it in many tools."""
    monkeypatch.delenv("SECRET", raising=False)
    if value is not None:
        monkeypatch.setenv("SECRET", value)
    assert secret("SECRET", None) is None


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_secret_file_is_named_when_it_cannot_be_read(tmp_path, content):
    """Absent or not text: the file's name is in the message, its content is not."""
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match="password cannot be read"):
        secret("SECRET", file)
