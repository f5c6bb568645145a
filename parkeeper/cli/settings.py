"""From what was typed to what the server is given: defaults that depend on the machine, secrets, checks."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from parkeeper.cli.addresses import Address
from parkeeper.errors import ConfigError
from parkeeper.log import Format, Level
from parkeeper.options import Options
from parkeeper.store.urls import StoreOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything `serve` was asked to do.

    Args:
        url: of the store.
        bind: where clients come in.
        options: of the keeper.
        store: how to use the store.
        ready_file: gets the bound addresses once clients are served; None: not wanted.
        workers: processes that share the port.
        level, form: of the log.
        control: where the control port of a test listens; None: there is none.
        control_open: whether that may be elsewhere than on loopback.
    """

    url: str
    bind: Sequence[Address]
    options: Options
    store: StoreOptions
    ready_file: Path | None
    workers: int
    level: Level
    form: Format
    control: Address | None = None
    control_open: bool = False


def default_url() -> str:
    """A SQLite file where this user's programs keep their state; its folder is made."""
    state = os.environ.get("XDG_STATE_HOME") or Path("~/.local/state").expanduser()
    folder = Path(state) / "parkeeper"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"{folder} cannot be made ({error}); say with --backend-url where the data shall be"
        ) from error
    return f"sqlite://{folder.absolute() / 'parkeeper.db'}"


def words(text: str) -> frozenset[str]:
    """A whitelist of four-letter words: names separated by commas, or `*`."""
    from parkeeper.admin.words import ALL, WORDS  # no other command needs the words

    names = frozenset(name.strip() for name in text.split(",") if name.strip())
    unknown = sorted(name for name in names - {ALL} if name.encode() not in WORDS)
    if unknown:
        known = " ".join(sorted(word.decode() for word in WORDS))
        raise ConfigError(f"no such four-letter word: {' '.join(unknown)}; there are: {known}, and * for all")
    return names


def secret(variable: str, file: Path | None) -> str | None:
    """A secret out of a file, else out of the environment; never out of the command line, which everybody can read.

    The end of the file's last line is not part of it. An empty variable is none.
    """
    if file is None:
        return os.environ.get(variable) or None
    try:
        return file.read_text().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} cannot be read: {error}") from error
