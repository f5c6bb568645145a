"""What a benchmark asks for, as one value that travels to the processes that do it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum


class Work(StrEnum):
    """What is asked of the server, over and over."""

    GET = "get"
    EXISTS = "exists"
    CHILDREN = "children"
    SET = "set"
    CREATE = "create"
    EPHEMERAL_SEQUENTIAL = "ephemeral-sequential"
    MIXED = "mixed"
    CONNECT = "connect"


@dataclass(frozen=True, slots=True)
class Load:
    """One benchmark, or one process's part of it.

    Args:
        host, port: of the server.
        work: what to ask.
        base: the znode that holds all others.
        connections: of this process.
        first: number of its first connection: each has a znode of its own, to create below.
        depth: requests of one connection under way at once.
        size: bytes of data.
        seconds: how long.
        nodes: znodes to read and set, drawn at random.
        timeout: session timeout to ask for, ms.
    """

    host: str
    port: int
    work: Work
    base: str
    connections: int
    first: int
    depth: int
    size: int
    seconds: float
    nodes: int
    timeout: int = 30_000

    def node(self, number: int) -> str:
        """A znode that is read and set."""
        return f"{self.base}/n{number:05d}"

    def own(self, connection: int) -> str:
        """The znode below which a connection creates."""
        return f"{self.base}/c{connection:05d}"

    def split(self, processes: int) -> list[Load]:
        """The parts for so many processes, as equal as can be."""
        parts: list[Load] = []
        first = self.first
        for place in range(processes):
            connections = self.connections // processes + (place < self.connections % processes)
            parts.append(replace(self, connections=connections, first=first))
            first += connections
        return [part for part in parts if part.connections]
