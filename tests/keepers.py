"""`parkeeper serve` as child processes, with the same words as the other servers of tests.

with Keepers(url="memory://", tick_time=200) as keeper:
    RawClient.connected(keeper.address)
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.processes import ROOT, Cluster, Process, free_port
from tests.servers import four_letter_word


class Keepers(Cluster):
    """One keeper, or several over one store.

    Args:
        url: `--backend-url`; "sqlite" stands for a file in this cluster's folder.
        tick_time: milliseconds.
        members: number of keepers; more than one needs a store that several processes share.
        flags: more command line flags.
        environment: more environment variables.
        ports: where they listen, one each; None: on free ones.
    """

    def __init__(
        self,
        url: str = "memory://",
        tick_time: int = 2000,
        members: int = 1,
        flags: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        ports: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.ports = list(ports) if ports else [free_port() for _ in range(members)]
        self.members = []
        for i, port in enumerate(self.ports):
            home = self._home(f"keeper{i}")
            command = [
                *(sys.executable, "-m", "parkeeper.cli", "serve"),
                *("--backend-url", f"sqlite:///{home}/tree.db" if url == "sqlite" else url),
                *("--bind-addr", f"127.0.0.1:{port}", "--tick-time", str(tick_time)),
                *("--4lw-whitelist", "*"),
                *flags,
            ]

            def ready(port: int = port) -> bool:
                return "Mode: " in four_letter_word(("127.0.0.1", port), "srvr")

            told = {"PYTHONPATH": str(ROOT), **(environment or {})}
            self.members.append(Process(f"keeper 127.0.0.1:{port}", command, ready, home, told))
        self.launch()

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Host and port of each keeper."""
        return [("127.0.0.1", port) for port in self.ports]

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the first."""
        return self.addresses[0]

    @property
    def hosts(self) -> str:
        """As clients take it: `host:port,...`."""
        return ",".join(f"{host}:{port}" for host, port in self.addresses)

    @property
    def home(self) -> Path:
        """Working directory of the first keeper."""
        return self.members[0].folder
