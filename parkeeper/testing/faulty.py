"""A store that fails on command.

`FaultyStore(inner)` stands between a keeper and any store. Every operation has a `Switch`, which says what
happens to its next calls and counts them; the stream has a `StreamSwitch`; `down()` and `up()` turn all of it
off and on:

    store = FaultyStore(MemoryStore(server))
    store.commits.fail_next(LoseAnswer())           # the next commit is applied, and in doubt
    with store.beats.failing(Refuse(Unavailable)):
        await store.beats.wait_entered(3)           # three heartbeats have been refused
    with store.commits.holding() as held:           # commits wait before they reach the store
        await store.commits.wait_entered(1)
        held.set()
    store.stream.cut()                              # the stream breaks, and can be followed again

The faults are in `parkeeper.testing.faults`. Nothing here sleeps by itself or chooses by chance.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Generator
from contextlib import ExitStack, contextmanager
from typing import NoReturn, TypeVar

import trio

from parkeeper.errors import Cut, StoreError, Unavailable
from parkeeper.store.facade import Commit, Event, Item, Receipt, Snapshot, Store, StoreLimits, Survey
from parkeeper.testing.faults import Fault, HoldAnswer, HoldRequest, Refuse
from parkeeper.testing.faulty_stream import StreamSwitch

T = TypeVar("T")

_DOWN = Refuse(Unavailable, "the store is down (by a test)")


class Switch:
    """What happens to the calls of one operation.

    A call takes the first fault of the queue; with the queue empty, the standing one; with none, it just reaches
    the store. While the store is down it is refused, and takes nothing.

    Attributes:
        entered: calls made by the keeper, whatever became of them.
        succeeded: calls that returned.
        failed: calls that raised a `StoreError` (not those that were cancelled).
    """

    def __init__(self) -> None:
        self.entered = 0
        self.succeeded = 0
        self.failed = 0
        self.is_down = False
        self._queue: deque[Fault] = deque()
        self._standing: Fault | None = None
        self._changed = trio.Event()

    def __repr__(self) -> str:
        return f"<Switch entered={self.entered} succeeded={self.succeeded} failed={self.failed}>"

    def fail_next(self, *faults: Fault, times: int = 1) -> None:
        """What happens to the next calls, one fault each, in order; the whole of them `times` times over.

        A fault that is itself a state, such as a `Straggle`, may be given several times: it is one object.
        """
        self._queue.extend(faults * times)

    def fail_all(self, fault: Fault) -> None:
        """What happens to every call from now on, after those of the queue; until `heal`."""
        self._standing = fault

    def heal(self) -> None:
        """Forget all faults, queued and standing. Calls that are held stay held."""
        self._queue.clear()
        self._standing = None

    @contextmanager
    def failing(self, fault: Fault) -> Generator[None, None, None]:
        """Every call within the block meets this fault; then it is as before."""
        before, self._standing = self._standing, fault
        try:
            yield
        finally:
            self._standing = before

    @contextmanager
    def holding(self) -> Generator[trio.Event, None, None]:
        """Calls within the block wait before they reach the store, until the event is set or the block ends."""
        released = trio.Event()
        try:
            with self.failing(HoldRequest(released)):
                yield released
        finally:
            released.set()

    @contextmanager
    def holding_answers(self) -> Generator[trio.Event, None, None]:
        """Calls within the block reach the store, but return only when the event is set or the block ends."""
        released = trio.Event()
        try:
            with self.failing(HoldAnswer(released)):
                yield released
        finally:
            released.set()

    async def wait_entered(self, more: int = 1) -> None:
        """Wait until so many calls were made after this one began to wait. Give it a deadline with `trio.fail_after`."""
        await self._wait(lambda: self.entered, self.entered + more)

    async def wait_answered(self, more: int = 1) -> None:
        """Wait until so many calls returned or failed after this one began to wait."""
        await self._wait(lambda: self.succeeded + self.failed, self.succeeded + self.failed + more)

    async def pass_on(self, send: Callable[[], Awaitable[T]]) -> T:
        """Make one call under this switch."""
        self.entered += 1
        self._tell()
        fault = _DOWN if self.is_down else self._queue.popleft() if self._queue else self._standing
        try:
            answer = await (send() if fault is None else fault(send))
        except StoreError:
            self.failed += 1
            raise
        else:
            self.succeeded += 1
            return answer
        finally:
            self._tell()

    async def _wait(self, count: Callable[[], int], wanted: int) -> None:
        while count() < wanted:
            await self._changed.wait()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = trio.Event()


class FaultyStore:
    """A `Store` that does what another one does, unless told otherwise.

    Args:
        inner: the store that is really asked.

    Attributes:
        opens: switch of `open`; the others likewise.
        loads: of `load`.
        commits: of `commit`.
        puts: of `put`.
        reads: of `read`.
        heads: of `head`.
        surveys: of `survey`.
        beats: of `beat`.
        compactions: of `compact`.
        stream: of `follow`.
    """

    def __init__(self, inner: Store) -> None:
        self.inner = inner
        self.opens = Switch()
        self.loads = Switch()
        self.commits = Switch()
        self.puts = Switch()
        self.reads = Switch()
        self.heads = Switch()
        self.surveys = Switch()
        self.beats = Switch()
        self.compactions = Switch()
        self.stream = StreamSwitch()

    def __repr__(self) -> str:
        return f"<FaultyStore of {self.inner!r}>"

    def down(self) -> None:
        """From now on the store can't be reached: calls get `Unavailable`, streams are cut. Calls under way go on."""
        self._set_down(True)
        self.stream.cut("the store is down (by a test)")

    def up(self) -> None:
        """It can be reached again."""
        self._set_down(False)

    @contextmanager
    def outage(self) -> Generator[None, None, None]:
        """`down` for the time of the block."""
        self.down()
        try:
            yield
        finally:
            self.up()

    @contextmanager
    def frozen(self) -> Generator[None, None, None]:
        """Calls within the block wait before they reach the store, and streams are silent; then all of it goes on."""
        with ExitStack() as held:
            for switch in self._switches:
                held.enter_context(switch.holding())
            held.enter_context(self.stream.holding())
            yield

    def _set_down(self, down: bool) -> None:
        for switch in self._switches:
            switch.is_down = down
        self.stream.is_down = down

    @property
    def _switches(self) -> tuple[Switch, ...]:
        return (
            self.opens,
            self.loads,
            self.commits,
            self.puts,
            self.reads,
            self.heads,
            self.surveys,
            self.beats,
            self.compactions,
        )

    @property
    def limits(self) -> StoreLimits:
        """Of the inner store."""
        return self.inner.limits

    def fits(self, guards: int, puts: int, deletes: int, size: int) -> bool:
        """Of the inner store."""
        return self.inner.fits(guards, puts, deletes, size)

    async def open(self) -> None:
        """Under `opens`."""
        await self.opens.pass_on(self.inner.open)

    async def aclose(self) -> None:
        """Always reaches the inner store."""
        await self.inner.aclose()

    async def load(self) -> Snapshot:
        """Under `loads`."""
        return await self.loads.pass_on(self.inner.load)

    async def commit(self, commit: Commit) -> Receipt:
        """Under `commits`."""
        return await self.commits.pass_on(lambda: self.inner.commit(commit))

    async def put(self, name: str, value: bytes | None) -> None:
        """Under `puts`."""
        await self.puts.pass_on(lambda: self.inner.put(name, value))

    async def read(self, name: str) -> Item | None:
        """Under `reads`."""
        return await self.reads.pass_on(lambda: self.inner.read(name))

    async def head(self) -> int:
        """Under `heads`."""
        return await self.heads.pass_on(self.inner.head)

    async def survey(self) -> Survey:
        """Under `surveys`."""
        return await self.surveys.pass_on(self.inner.survey)

    async def beat(self, keeper: int, guard: int, value: bytes) -> int:
        """Under `beats`."""
        return await self.beats.pass_on(lambda: self.inner.beat(keeper, guard, value))

    async def follow(self, after: int, deliver: Callable[[Event], None]) -> NoReturn:
        """Under `stream`."""
        if self.stream.is_down:
            await trio.lowlevel.checkpoint()
            raise Cut("the store is down (by a test)")
        await self.stream.follow(self.inner, after, deliver)

    async def compact(self, revision: int) -> None:
        """Under `compactions`."""
        await self.compactions.pass_on(lambda: self.inner.compact(revision))
