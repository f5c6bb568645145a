"""`parkeeper serve` as one child process on a port the kernel picks, ready when its ready file says so.

(`tests.keepers` is for tests of what is served; this is for tests of the command.)
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from tests.processes import ROOT, Process
from tests.servers import four_letter_word

COMMAND = [sys.executable, "-P", "-m", "parkeeper.cli"]
"""Starts the command line of this checkout, installed or not, together with `ENVIRONMENT`."""
ENVIRONMENT = {"PYTHONPATH": str(ROOT)}


class KeeperProcess(Process):
    """A keeper in a process. As a context manager it is started, and killed and cleared away at the end.

    Args:
        url: of the store; "" for what `serve` takes by itself.
        options: more of `serve`'s command line. `--bind-addr` is 127.0.0.1:0 unless given here.
        environment: added to ours.
    """

    def __init__(self, url: str, *options: str, environment: Mapping[str, str] | None = None) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="parkeeper-test-")
        folder = Path(self._folder.name)
        self.ready_file = folder / "ready"
        command = [*COMMAND, "serve", "--ready-file", str(self.ready_file), *options]
        if url:
            command += ["--backend-url", url]
        if "--bind-addr" not in options:
            command += ["--bind-addr", "127.0.0.1:0"]
        super().__init__(
            f"parkeeper {url}",
            command,
            self.ready_file.exists,
            folder,
            {**ENVIRONMENT, **(environment or {})},
        )

    @property
    def hosts(self) -> str:
        """As clients take it: `host:port[,...]`; only while it serves."""
        return ",".join(self.ready_file.read_text().split())

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the first listener; only while it serves."""
        host, _, port = self.ready_file.read_text().split()[0].rpartition(":")
        return host, int(port)

    def word(self, word: str) -> str:
        """Answer to a four-letter word; empty if there was none."""
        return four_letter_word(self.address, word)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        super().close()
        self._folder.cleanup()
