"""One server, and two keepers on it: one behind a store that fails on command."""

from dataclasses import dataclass

from parkeeper.store.memory import MemoryServer
from parkeeper.testing.faulty import FaultyStore
from tests.store.writers import Writer


@dataclass
class World:
    """One server; keeper 1 behind a faulty store, keeper 2 beside it."""

    server: MemoryServer
    store: FaultyStore
    one: Writer
    two: Writer
