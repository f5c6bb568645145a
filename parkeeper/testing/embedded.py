"""An ensemble inside a Trio program: `async with AsyncEnsemble(keepers=3) as zookeeper`.

With sockets (the default) any client can use it; without, clients come over memory streams, and a mock clock moves
everything: sessions, TTLs, heartbeats.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

import trio

from parkeeper.errors import Unavailable
from parkeeper.options import Options
from parkeeper.server.incarnation import Incarnation
from parkeeper.store.urls import StoreOptions
from parkeeper.testing import looks, requests
from parkeeper.testing.advance import advance
from parkeeper.testing.backends import MEMORY, Backend
from parkeeper.testing.clock import Clock
from parkeeper.testing.fleet import WAIT, Fleet
from parkeeper.testing.line import Line
from parkeeper.testing.looks import Node, SessionInfo, SessionName, Tree, Watch
from parkeeper.testing.member import Member
from parkeeper.testing.notices import Bell
from parkeeper.testing.records import KEPT, Record, Recorder, render
from parkeeper.testing.rules import Fault, Rules, error_code
from parkeeper.tree.replica import Replica
from parkeeper.wire.codes import Code

TICK = 200
"""ms: short, so that what expires does so soon."""


def default_options(tick: int = TICK) -> Options:
    """Options of a keeper for tests: any session timeout from two ticks to ten minutes, every four-letter word."""
    return Options(
        tick_time=tick,
        max_session_timeout=600_000,
        reap_interval=1.0,
        words=frozenset("*"),
        stop_grace=2.0,
    )


class AsyncEnsemble(Fleet):
    """Keepers by number, from 0, over one store.

    Args:
        keepers: how many.
        backend: URL of a store, as for `parkeeper serve`; one that is not in memory gets a namespace of its own, which
            is removed at the end.
        tick: ms; sessions expire in whole ticks.
        options: of every keeper, in place of `default_options(tick)`.
        sockets: whether to listen. False: `stream` is the only way in.
        bind: host and port of each keeper, in place of `keepers` on 127.0.0.1 and ports that are free.
        store: how to use the store; its namespace is kept.
        kept: how many requests and events of each session are remembered.
    """

    def __init__(
        self,
        keepers: int = 1,
        backend: str = MEMORY,
        *,
        tick: int = TICK,
        options: Options | None = None,
        sockets: bool = True,
        bind: Sequence[tuple[str, int]] = (),
        store: StoreOptions | None = None,
        kept: int = KEPT,
    ) -> None:
        self.backend = Backend(backend, store)
        self._options = options or default_options(tick)
        self._bind = list(bind) or [("127.0.0.1", 0)] * keepers
        self._sockets = sockets or bool(bind)
        super().__init__()
        self._rules = Rules()
        self._recorder = Recorder(kept)
        self._moves: dict[int, int] = {}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Start it; returns when every keeper has answered a handshake."""
        self.clock = Clock()
        self.bell = Bell()
        async with AsyncExitStack() as stack:
            self._nursery = await stack.enter_async_context(trio.open_nursery())
            failure = await self._start_all(stack)
            if failure is None:
                self._stack = stack.pop_all()
            else:
                self._nursery.cancel_scope.cancel("the ensemble could not be started")
        if failure is not None:
            raise failure
        return self

    async def _start_all(self, stack: AsyncExitStack) -> Exception | None:
        """Start every keeper; returns what went wrong, which would come out of the nursery in a group."""
        try:
            for number, (host, port) in enumerate(self._bind):
                line = Line(number, self._rules, self._recorder, self.bell, self._moves, self.clock.elapsed)
                member = Member(number, self._options, self.backend, self.clock, line, self._nursery)
                self._members.append(member)
                stack.callback(member.release_address)
                if self._sockets:
                    await member.hold_address(host, port)
                await member.start()
        except Exception as error:  # noqa: BLE001 - it is raised again by the caller
            return error
        return None

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        """Kill all keepers, and remove what is in the store."""
        self._nursery.cancel_scope.cancel("the ensemble ends")
        try:
            if isinstance(error, Exception):  # the test's own: it is not to come out in a group
                return await self._stack.__aexit__(None, None, None)  # noqa: ASYNC102  # the nursery it leaves is cancelled already
            return await self._stack.__aexit__(kind, error, trace)  # noqa: ASYNC102  # the nursery it leaves is cancelled already
        finally:
            with trio.move_on_after(WAIT, shield=True):
                await self.backend.remove()

    # Sessions: each named by its id, by an ephemeral it owns, or by the kazoo client that holds it.

    async def drop(self, session: SessionName) -> None:
        """Break its connection; it lives on, and the client comes back."""
        await self._cut(self.session_id(session))

    async def expire(self, session: SessionName) -> None:
        """End it as if its time were up: its ephemerals go, its client is disconnected and told when it comes back."""
        await requests.ask(self._serving(), [requests.close_session(self.session_id(session))])
        await self._caught_up()

    async def move(self, session: SessionName, keeper: int, seconds: float = WAIT) -> None:
        """Make its client go to another keeper: break its connection, and let it back in only there.

        Raises:
            trio.TooSlowError: it did not come (it must know that keeper's address).
        """
        id = self.session_id(session)
        self._moves[id] = self._member(keeper).number

        def arrived() -> bool:
            info = self.sessions().get(id)
            return info is not None and info.connected and info.keeper == keeper

        try:
            if not arrived():
                await self._cut(id)
                await self.wait_until(arrived, seconds)
        finally:
            del self._moves[id]

    # Faults of requests.

    async def fail(
        self,
        times: int = 1,
        *,
        op: str | int | None = None,
        path: str | None = None,
        error: str | int = "CONNECTION_LOSS",
        after: bool = False,
        session: SessionName | None = None,
        keeper: int | None = None,
    ) -> Fault:
        """The next requests of a kind are answered with an error.

        Args:
            times: how many.
            op: ZooKeeper's name or number of the operation, `create` for every way to create; None: any.
            path: pattern (`/locks/*`) that its path must match, or one of a multi's; None: any.
            error: name or number.
            after: whether they take effect all the same.
            session: None: any.
            keeper: None: any.
        """
        return await self._spoil(times, op, path, error_code(error), after, session, keeper)

    async def lose(
        self,
        times: int = 1,
        *,
        op: str | int | None = None,
        path: str | None = None,
        after: bool = True,
        session: SessionName | None = None,
        keeper: int | None = None,
    ) -> Fault:
        """The connection of the next requests of a kind breaks in place of their replies.

        Args:
            times, op, path, session, keeper: as for `fail`.
            after: whether they take effect: True: the reply is lost; False: the request is.
        """
        return await self._spoil(times, op, path, None, after, session, keeper)

    async def clear_faults(self) -> None:
        """Nothing goes wrong any more that has not yet."""
        self._rules.clear()
        await trio.lowlevel.checkpoint()

    # Time.

    async def advance(self, seconds: float) -> None:
        """Put the time forward: sessions, TTL nodes and containers that are due by then go now.

        A session with a living connection counts as having pinged.
        """
        await advance(seconds, self._members, self.clock)
        self.bell.ring()

    # Looking.

    def tree(self) -> Tree:
        """Path -> data of every znode, `/` and `/zookeeper` left out; `load` takes the same."""
        return looks.tree_of(self._replica())

    def node(self, path: str) -> Node | None:
        """One znode with its version, ACL, owner; None if there is none."""
        return looks.node_of(self._replica(), path)

    def sessions(self) -> dict[int, SessionInfo]:
        """Id -> session."""
        return looks.sessions_of(self._replica(), self._members)

    def watches(self) -> dict[str, set[Watch]]:
        """Path -> who watches it, and how."""
        return looks.watches_of(self._members)

    def requests(self) -> dict[int, list[Record]]:
        """Session -> its last requests (with what became of them) and events, oldest first; sessions that ended too."""
        return self._recorder.all()

    def report(self) -> str:
        """The last requests and events of every session, as text."""
        return render(self._recorder.all())

    def session_id(self, session: SessionName) -> int:
        """The id of a session.

        Raises:
            LookupError: there is none of that name.
        """
        return looks.session_id(self._replica(), session)

    # The tree.

    async def load(self, tree: Mapping[str, bytes | str | None]) -> None:
        """Create these znodes, and what is missing above them; those that exist get the data."""
        there = self._replica().nodes
        wanted = looks.to_create(tree, there)
        make = [
            requests.set_data(path, data) if path in there else requests.create(path, data)
            for path, data in wanted.items()
        ]
        await requests.ask(self._serving(), make)
        await self._caught_up()

    async def clear(self) -> None:
        """End all sessions and delete all znodes. Counters of sequential znodes go on below the root."""
        incarnation = self._serving()
        replica = incarnation.replica
        gone = [int(Code.SESSION_EXPIRED), int(Code.NO_NODE)]
        await requests.ask(incarnation, [requests.close_session(each) for each in replica.sessions], gone)
        await requests.ask(incarnation, [requests.delete(path) for path in reversed(self.tree())], gone)
        await self._caught_up()

    async def reset(self) -> None:
        """As it was when it started: every keeper lives and serves an empty tree, nothing goes wrong, nobody is there."""
        self._rules.clear()
        for member in self._members:
            await member.kill()
            member.killed.clear()
            member.line.open()
            member.line.delay = 0.0
        if not self.backend.in_memory and self.backend.kept:
            await self.start()
            await self.clear()
        else:
            await self.backend.remove()
            self.backend.renew()
            await self.start()
        self._recorder.clear()

    # Inside.

    async def _spoil(
        self,
        times: int,
        op: str | int | None,
        path: str | None,
        error: int | None,
        after: bool,
        session: SessionName | None,
        keeper: int | None,
    ) -> Fault:
        await trio.lowlevel.checkpoint()
        id = None if session is None else self.session_id(session)
        return self._rules.add(Fault(op, path, error, after, id, keeper, times))

    async def _cut(self, session: int) -> None:
        """Break the connections a session has now; the next one may be there before this returns."""
        held = [
            (each.line, tap) for each in self._members for tap in each.line.taps if tap.session == session
        ]
        for _, tap in held:
            await tap.cut()
        await self.wait_until(lambda: not any(tap in line.taps for line, tap in held))

    def _serving(self) -> Incarnation:
        """One that can commit."""
        for member in self._members:
            if member.incarnation is not None and not member.paused and not member.store.commits.is_down:
                return member.incarnation
        raise Unavailable("no keeper serves")

    async def _caught_up(self) -> None:
        """Every keeper that can see it has seen the newest commit."""
        newest = self._serving().replica.revision
        for member in self._members:
            able = not member.paused and not member.store.commits.is_down
            if member.incarnation is not None and able:
                await member.incarnation.applier.wait_for(newest)

    def _replica(self) -> Replica:
        replica = looks.newest(self._members)
        if replica is None:
            raise Unavailable("no keeper serves")
        return replica
