"""Where an ensemble of a test keeps its tree: in memory, or in a real store under a namespace of its own."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

import trio

from parkeeper.store.facade import Store
from parkeeper.store.keys import Layout
from parkeeper.store.memory import MemoryServer, MemoryStore
from parkeeper.store.urls import StoreOptions, open_store

MEMORY: Final = "memory://"

PREFIX: Final = "parkeeper-test/"
"""What the namespaces of tests begin with, so that what a killed test run left behind can be found."""


_AT_ONCE: Final = 16


@runtime_checkable
class Erasable(Protocol):
    """A store with a way of its own to remove everything under its namespace."""

    async def erase(self) -> None:
        """Remove it; the store is open."""
        ...


class Backend:
    """One store, and the namespace in it that is in use.

    Args:
        url: as for `parkeeper serve --backend-url`; `memory://` has its own server for every namespace.
        options: how to use it, None: with a namespace of our own, removed afterwards. With options, their namespace is
            used as it is found, and kept.

    Raises:
        ConfigError: there is no such store.
    """

    def __init__(self, url: str = MEMORY, options: StoreOptions | None = None) -> None:
        self.url = url
        self.kept = options is not None
        self._options = options or StoreOptions()
        self._server = MemoryServer()
        self._file: Path | None = None
        self.namespace = self._options.namespace
        if not self.kept:
            self.renew()

    @property
    def in_memory(self) -> bool:
        """Whether a new namespace costs nothing, and an old one need not be removed."""
        return self.url == MEMORY

    @property
    def data_prefix(self) -> str:
        """Where data lies, "" for the namespace's own place."""
        layout = Layout(self.namespace, self._options.data_prefix)
        return layout.data if layout.data_apart else ""

    def renew(self) -> None:
        """From now on, another namespace: nothing is in it."""
        if self.in_memory:
            self._server = MemoryServer()
            return
        name = secrets.token_hex(8)
        self.namespace = f"{PREFIX}{name}/"
        self._options = StoreOptions(namespace=self.namespace)
        if self.url.startswith("sqlite://"):
            self._file = Path(f"{self.url.removeprefix('sqlite://')}.{name}")

    def store(self) -> Store:
        """Access of one more keeper."""
        if self.in_memory:
            return MemoryStore(self._server, self._options)
        return open_store(self.url if self._file is None else f"sqlite://{self._file}", self._options)

    async def remove(self) -> None:
        """Remove the namespace, unless it is to be kept. No keeper may use it any more.

        Raises:
            StoreError: it could not be removed.
        """
        if self.kept or self.in_memory:
            return
        if self._file is not None:
            for file in self._file.parent.glob(self._file.name + "*"):
                file.unlink(missing_ok=True)
            return
        store = self.store()
        try:
            await store.open()
            await (store.erase() if isinstance(store, Erasable) else _erase(store))
        finally:
            await store.aclose()


async def _erase(store: Store) -> None:
    """Item by item."""
    snapshot = await store.load()
    names = [*(each.name for each in snapshot.items), *(f"head/{keeper}" for keeper in snapshot.heads)]
    limiter = trio.CapacityLimiter(_AT_ONCE)

    async def remove(name: str) -> None:
        async with limiter:
            await store.put(name, None)

    async with trio.open_nursery() as nursery:
        for name in names:
            nursery.start_soon(remove, name)
