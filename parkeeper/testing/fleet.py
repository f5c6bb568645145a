"""The keepers of an ensemble as a group: each can be stopped, killed, paused and cut off, by its number or all at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import trio
import trio.testing

from parkeeper.server.transport import AnyStream
from parkeeper.testing.member import Member
from parkeeper.testing.notices import Bell

T = TypeVar("T")

WAIT = 10.0
"""Seconds that waiting for something takes at most, unless told otherwise."""


class Fleet:
    """Keepers by number, from 0.

    Attributes:
        bell: rings whenever something happened to any of them.
    """

    bell: Bell

    def __init__(self) -> None:
        self._members: list[Member] = []
        self._ports = 0

    # Where it is.

    @property
    def hosts(self) -> str:
        """For clients: `127.0.0.1:port` of every keeper, separated by commas."""
        return ",".join(self.host(each.number) for each in self._members)

    def host(self, keeper: int = 0) -> str:
        """`127.0.0.1:port` of one keeper, whether it lives or not."""
        host, port = self.address(keeper)
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def address(self, keeper: int = 0) -> tuple[str, int]:
        """Host and port of one keeper, whether it lives or not."""
        address = self._member(keeper).address
        if address is None:
            raise RuntimeError("this ensemble has no sockets")
        return address

    @property
    def keepers(self) -> int:
        """How many there are, those that are down included."""
        return len(self._members)

    def is_up(self, keeper: int = 0) -> bool:
        """Whether a keeper lives: started, and neither stopped nor killed."""
        return self._member(keeper).keeper is not None

    def is_serving(self, keeper: int | None = None) -> bool:
        """Whether a keeper serves; None: any of them."""
        return any(each.incarnation is not None for each in self._chosen(keeper))

    def stream(self, keeper: int = 0) -> trio.abc.Stream:
        """A client's end of a memory stream to a keeper.

        Raises:
            trio.BrokenResourceError: it is down.
        """
        server = self._member(keeper).keeper
        if server is None:
            raise trio.BrokenResourceError(f"keeper {keeper} is down")
        ours, theirs = trio.testing.memory_stream_pair()
        self._ports += 1
        server.connect(AnyStream(theirs, "127.0.0.1", self._ports))
        return ours

    # Keepers that come and go. `keeper` None: all of them.

    async def start(self, keeper: int | None = None) -> None:
        """Start keepers that are down, at the addresses they had."""
        for member in self._chosen(keeper):
            if member.keeper is None:
                await member.start()

    async def stop(self, keeper: int | None = None) -> None:
        """Stop cleanly: connections end, sessions live on until their time is up."""
        for member in self._chosen(keeper):
            await member.stop()

    async def kill(self, keeper: int | None = None) -> None:
        """The end at once: no goodbye to clients, store or other keepers."""
        for member in self._chosen(keeper):
            await member.kill()

    async def restart(self, keeper: int | None = None) -> None:
        """Stop what lives, and start it at the same address."""
        for member in self._chosen(keeper):
            await member.stop()
            await member.start()

    async def pause(self, keeper: int | None = None) -> None:
        """Like SIGSTOP: the connections stay, nothing is answered, and no session's clock goes on."""
        for member in self._chosen(keeper):
            member.pause()
        self.bell.ring()
        await trio.lowlevel.checkpoint()

    async def resume(self, keeper: int | None = None) -> None:
        """Go on after `pause`."""
        for member in self._chosen(keeper):
            await member.resume()
        self.bell.ring()

    # The network.

    async def partition(
        self, keeper: int | None = None, *, store: bool = False, clients: bool = False
    ) -> None:
        """Cut keepers off, until `heal`; with neither named, from both.

        Args:
            keeper: its number, None: all.
            store: from the store: calls fail, the change stream breaks.
            clients: from clients: connections stay, and nothing passes.
        """
        for member in self._chosen(keeper):
            if store or not clients:
                member.store.down()
            if clients or not store:
                member.line.close()
        self.bell.ring()
        await trio.lowlevel.checkpoint()

    async def heal(self, keeper: int | None = None) -> None:
        """End partitions and delays; faults that wait for requests stay (`clear_faults`)."""
        for member in self._chosen(keeper):
            member.store.up()
            member.line.delay = 0.0
            if not member.paused:
                member.line.open()
        self.bell.ring()
        await trio.lowlevel.checkpoint()

    async def store_down(self) -> None:
        """Take the store away from every keeper."""
        await self.partition(store=True)

    async def store_up(self) -> None:
        """Bring it back; returns when every keeper serves again."""
        for member in self._members:
            member.store.up()
        await self.wait_until(
            lambda: all(each.incarnation is not None for each in self._members if each.keeper is not None)
        )

    async def delay(self, seconds: float, keeper: int | None = None) -> None:
        """Everything keepers send comes so much later; 0: at once."""
        for member in self._chosen(keeper):
            member.line.delay = seconds
        await trio.lowlevel.checkpoint()

    # Waiting.

    async def wait_until(self, condition: Callable[[], T], seconds: float = WAIT) -> T:
        """Wait until a condition on any of these holds; returns what it returned.

        Raises:
            trio.TooSlowError: not within so many seconds.
        """
        return await self.bell.until(condition, seconds)

    # Inside.

    def _member(self, keeper: int) -> Member:
        if not 0 <= keeper < len(self._members):
            raise LookupError(f"there is no keeper {keeper}; there are {len(self._members)}")
        return self._members[keeper]

    def _chosen(self, keeper: int | None) -> list[Member]:
        return self._members if keeper is None else [self._member(keeper)]
