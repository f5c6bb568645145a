"""An ensemble for synchronous code: `with Ensemble(keepers=3) as zookeeper`. The keepers live in a thread of their own.

The same names as `parkeeper.testing.embedded.AsyncEnsemble`, where each is described; `async with Ensemble(...)` gives
one of those.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from time import perf_counter
from types import TracebackType
from typing import Final, ParamSpec, Self, TypeVar

import anyio.from_thread
import trio

from parkeeper.options import Options
from parkeeper.store.urls import StoreOptions
from parkeeper.testing.backends import MEMORY
from parkeeper.testing.embedded import TICK, AsyncEnsemble
from parkeeper.testing.fleet import WAIT
from parkeeper.testing.looks import Node, SessionInfo, SessionName, Tree, Watch
from parkeeper.testing.records import KEPT, Record, render
from parkeeper.testing.rules import Fault

P = ParamSpec("P")
T = TypeVar("T")

RUNNING: Final[weakref.WeakSet[Ensemble]] = weakref.WeakSet()
"""Every ensemble that runs in this process; for reports of failed tests."""

ENDED: Final[deque[Ensemble]] = deque(maxlen=8)
"""Those that ended last: the clean-up of a test may come before the report of its failure."""


class Ensemble:
    """Keepers by number, from 0, over one store, for any number of threads.

    Args:
        keepers: how many.
        backend: URL of a store, as for `parkeeper serve`; one that is not in memory gets a namespace of its own, which
            is removed at the end.
        tick: ms; sessions expire in whole ticks.
        options: of every keeper.
        sockets: whether to listen; only for `async with`.
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
        self._inner = AsyncEnsemble(
            keepers, backend, tick=tick, options=options, sockets=sockets, bind=bind, store=store, kept=kept
        )
        self._stack = ExitStack()
        self._last: dict[int, list[Record]] = {}
        self._portal: anyio.from_thread.BlockingPortal | None = None

    def __enter__(self) -> Self:
        """Start it; returns when every keeper has answered a handshake."""
        with ExitStack() as stack:
            self._portal = stack.enter_context(anyio.from_thread.start_blocking_portal("trio"))
            stack.enter_context(self._portal.wrap_async_context_manager(self._inner))
            self._stack = stack.pop_all()
        RUNNING.add(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Kill all keepers, and remove what is in the store."""
        RUNNING.discard(self)
        ENDED.append(self)
        self._last = self.requests()
        try:
            self._stack.__exit__(kind, error, trace)
        finally:
            self._portal = None

    async def __aenter__(self) -> AsyncEnsemble:
        """The same in a Trio program, without a thread."""
        return await self._inner.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        """Kill all keepers, and remove what is in the store."""
        return await self._inner.__aexit__(kind, error, trace)  # noqa: ASYNC102  # it shields what it must

    # Where it is.

    @property
    def hosts(self) -> str:
        """For clients: `127.0.0.1:port` of every keeper, separated by commas."""
        return self._inner.hosts

    def host(self, keeper: int = 0) -> str:
        """`127.0.0.1:port` of one keeper, whether it lives or not."""
        return self._inner.host(keeper)

    @property
    def keepers(self) -> int:
        """How many there are, those that are down included."""
        return self._inner.keepers

    def is_up(self, keeper: int = 0) -> bool:
        """Whether a keeper lives: started, and neither stopped nor killed."""
        return self._look(self._inner.is_up, keeper)

    # Keepers that come and go. `keeper` None: all of them.

    def start(self, keeper: int | None = None) -> None:
        """Start keepers that are down, at the addresses they had."""
        self._do(self._inner.start, keeper)

    def stop(self, keeper: int | None = None) -> None:
        """Stop cleanly: connections end, sessions live on until their time is up."""
        self._do(self._inner.stop, keeper)

    def kill(self, keeper: int | None = None) -> None:
        """The end at once: no goodbye to clients, store or other keepers."""
        self._do(self._inner.kill, keeper)

    def restart(self, keeper: int | None = None) -> None:
        """Stop what lives, and start it at the same address."""
        self._do(self._inner.restart, keeper)

    def pause(self, keeper: int | None = None) -> None:
        """Like SIGSTOP: the connections stay, nothing is answered, and no session's clock goes on."""
        self._do(self._inner.pause, keeper)

    def resume(self, keeper: int | None = None) -> None:
        """Go on after `pause`."""
        self._do(self._inner.resume, keeper)

    # The network.

    def partition(self, keeper: int | None = None, *, store: bool = False, clients: bool = False) -> None:
        """Cut keepers off from store or clients, with neither named from both, until `heal`."""
        self._do(self._inner.partition, keeper, store=store, clients=clients)

    def heal(self, keeper: int | None = None) -> None:
        """End partitions and delays; faults that wait for requests stay (`clear_faults`)."""
        self._do(self._inner.heal, keeper)

    def store_down(self) -> None:
        """Take the store away from every keeper."""
        self._do(self._inner.store_down)

    def store_up(self) -> None:
        """Bring it back; returns when every keeper serves again."""
        self._do(self._inner.store_up)

    def delay(self, seconds: float, keeper: int | None = None) -> None:
        """Everything keepers send comes so much later; 0: at once."""
        self._do(self._inner.delay, seconds, keeper)

    # Sessions: each named by its id, by an ephemeral it owns, or by the kazoo client that holds it.

    def drop(self, session: SessionName) -> None:
        """Break its connection; it lives on, and the client comes back."""
        self._do(self._inner.drop, session)

    def expire(self, session: SessionName) -> None:
        """End it as if its time were up: its ephemerals go, its client is disconnected and told when it comes back."""
        self._do(self._inner.expire, session)

    def move(self, session: SessionName, keeper: int, seconds: float = WAIT) -> None:
        """Make its client go to another keeper: break its connection, and let it back in only there.

        Raises:
            TimeoutError: it did not come (it must know that keeper's address).
        """
        self._do(self._inner.move, session, keeper, seconds)

    # Faults of requests.

    def fail(
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
        """The next requests of a kind are answered with an error, before (or `after`) they take effect."""
        return self._do(
            self._inner.fail,
            times,
            op=op,
            path=path,
            error=error,
            after=after,
            session=session,
            keeper=keeper,
        )

    def lose(
        self,
        times: int = 1,
        *,
        op: str | int | None = None,
        path: str | None = None,
        after: bool = True,
        session: SessionName | None = None,
        keeper: int | None = None,
    ) -> Fault:
        """The connection breaks in place of the next replies of a kind; `after` False: before they take effect."""
        return self._do(
            self._inner.lose, times, op=op, path=path, after=after, session=session, keeper=keeper
        )

    def clear_faults(self) -> None:
        """Nothing goes wrong any more that has not yet."""
        self._do(self._inner.clear_faults)

    # Time.

    def advance(self, seconds: float) -> None:
        """Put the time forward: sessions, TTL nodes and containers that are due by then go now.

        A session with a living connection counts as having pinged.
        """
        self._do(self._inner.advance, seconds)

    # Looking.

    def tree(self) -> Tree:
        """Path -> data of every znode, `/` and `/zookeeper` left out; `load` takes the same."""
        return self._look(self._inner.tree)

    def node(self, path: str) -> Node | None:
        """One znode with its version, ACL, owner; None if there is none."""
        return self._look(self._inner.node, path)

    def sessions(self) -> dict[int, SessionInfo]:
        """Id -> session."""
        return self._look(self._inner.sessions)

    def watches(self) -> dict[str, set[Watch]]:
        """Path -> who watches it, and how."""
        return self._look(self._inner.watches)

    def requests(self) -> dict[int, list[Record]]:
        """Session -> its last requests (with what became of them) and events, oldest first; sessions that ended too."""
        return self._look(self._inner.requests)

    def report(self, since: float = 0.0) -> str:
        """The last requests and events of every session, as text; also after the end.

        Args:
            since: only those after this moment, as `mark` gave it.
        """
        all_of_them = self._last if self._portal is None else self.requests()
        asked = {
            session: [each for each in records if each.at > since] for session, records in all_of_them.items()
        }
        return render({session: records for session, records in asked.items() if records})

    def mark(self) -> float:
        """This moment: seconds since the ensemble started."""
        return self._look(self._inner.clock.elapsed)

    def session_id(self, session: SessionName) -> int:
        """The id of a session.

        Raises:
            LookupError: there is none of that name.
        """
        return self._look(self._inner.session_id, session)

    def wait_until(self, condition: Callable[[], T], seconds: float = WAIT) -> T:
        """Wait until a condition on any of these holds; returns what it returned.

        It is asked in this thread, again whenever something happened at a keeper.

        Raises:
            TimeoutError: not within so many seconds.
        """
        return self._inner.bell.until_in_thread(condition, seconds, perf_counter)

    # The tree.

    def load(self, tree: Mapping[str, bytes | str | None]) -> None:
        """Create these znodes, and what is missing above them; those that exist get the data."""
        self._do(self._inner.load, tree)

    def clear(self) -> None:
        """End all sessions and delete all znodes. Counters of sequential znodes go on below the root."""
        self._do(self._inner.clear)

    def reset(self) -> None:
        """As it was when it started: every keeper lives and serves an empty tree, nothing goes wrong, nobody is there."""
        self._do(self._inner.reset)

    # Inside.

    def _do(self, command: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a coroutine in the thread of the keepers."""
        try:
            return self._running().call(partial(command, *args, **kwargs))
        except trio.TooSlowError as error:
            raise TimeoutError("it did not happen in time") from error

    def _look(self, look: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function in the thread of the keepers, between two of their steps."""
        return self._running().call(partial(look, *args, **kwargs))

    def _running(self) -> anyio.from_thread.BlockingPortal:
        if self._portal is None:
            raise RuntimeError("the ensemble does not run: use it inside `with`")
        return self._portal
